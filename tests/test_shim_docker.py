"""Wasm containers on a Docker engine with our runtime: plain docker commands, each ending as the guest ended."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.images import gzip_layer, image_of, tar_of
from tests.shim_matrix import CASES, HELLO, RUNTIME, Case, binaries, check, cli, engine_root, image, run
from wasmdock.docker import Docker
from wasmdock.pack import extract

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_container_ends_as_its_guest_did(case: Case) -> None:
    check(case)


@pytest.fixture
def container() -> Iterator[str]:
    """A name for a container that is gone after the test."""
    name = f"shim-test-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    cli("rm", "--force", "--volumes", name)


def start(name: str, guest: str, *options: str) -> None:
    done = cli("run", "--detach", "--pull=never", f"--name={name}", *RUNTIME, *options, image(guest))
    assert done.returncode == 0, done.stderr


def state(name: str) -> dict[str, object]:
    done = cli("inspect", "--format={{json .State}}", name)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("guest", ["spin", "sleep_hour", "print_forever"])
def test_stop_ends_any_guest_within_two_seconds(container: str, guest: str) -> None:
    start(container, guest, "--log-driver=none")
    began = time.monotonic()
    assert cli("stop", container).returncode == 0
    assert time.monotonic() - began < 2
    assert state(container)["ExitCode"] == 128 + 2  # the images name SIGINT


def test_kill_by_signal_shows_the_signal(container: str) -> None:
    start(container, "sleep_hour")
    cli("kill", "--signal=TERM", container)
    assert cli("wait", container).stdout.strip() == str(128 + 15)


def test_kill_ends_a_guest_in_a_loop(container: str) -> None:
    start(container, "spin")
    cli("kill", container)
    assert cli("wait", container).stdout.strip() == "137"


def test_container_restarts(container: str) -> None:
    start(container, "sleep_hour")
    assert cli("restart", container).returncode == 0
    assert state(container)["Running"] is True


def test_stopped_container_starts_again_with_its_log_kept(container: str) -> None:
    start(container, "hello")
    cli("wait", container)
    assert cli("start", "--attach", container).stdout == HELLO
    assert cli("logs", container).stdout == 2 * HELLO


def test_trap_is_in_the_log(container: str) -> None:
    start(container, "trap")
    assert cli("wait", container).stdout.strip() == "134"
    assert "wasm trap: " in cli("logs", container).stderr


def test_logs_follow_to_the_end(container: str) -> None:
    start(container, "hello")
    assert cli("logs", "--follow", container).stdout == HELLO


def test_attach_reads_what_the_guest_writes(container: str) -> None:
    options = ("--interactive", f"--name={container}", *RUNTIME)
    assert cli("create", *options, image("cat")).returncode == 0
    done = cli("start", "--attach", "--interactive", container, stdin="over attach")
    assert done.stdout == "over attach"


def test_stats_top_and_inspect_see_the_guest(container: str) -> None:
    start(container, "sleep_hour")
    stats = json.loads(cli("stats", "--no-stream", "--format={{json .}}", container).stdout)
    assert stats["PIDs"] != "0"
    assert "sleep_hour.wasm" in cli("top", container).stdout.replace("-", "_")
    assert state(container)["Pid"] != 0


def test_pause_and_unpause(container: str) -> None:
    start(container, "sleep_hour")
    assert cli("pause", container).returncode == 0
    assert state(container)["Paused"] is True
    assert cli("unpause", container).returncode == 0


def test_running_container_is_removed_by_force(container: str) -> None:
    start(container, "spin")
    assert cli("rm", "--force", container).returncode == 0
    assert cli("inspect", container).returncode == 1


def test_exec_runs_the_guest_again(container: str) -> None:
    start(container, "sleep_hour")
    done = cli("exec", "--env=WASMDOCK_TIMEOUT=300ms", container, "/sleep-hour.wasm", timeout=20)
    assert done.returncode == 124, done.stderr


def test_exec_of_anything_else_says_why_not(container: str) -> None:
    start(container, "sleep_hour")
    done = cli("exec", container, "sh")
    assert done.returncode in (126, 127)  # Docker 26 and those after it
    assert "this is a Wasm container" in done.stdout + done.stderr


def test_health_check_of_a_container_does_not_hang_it(container: str) -> None:
    start(container, "sleep_hour", "--health-cmd=true", "--health-interval=1s")
    time.sleep(1.5)
    assert state(container)["Running"] is True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that the engine sees too."""
    tmp_path.chmod(0o777)
    return tmp_path


def test_volume_is_a_folder_of_the_guest(folder: Path) -> None:
    (folder / "input.txt").write_text("from the host\n")
    done = run(image("read_file"), f"--volume={folder}:/data:ro", arguments=["input.txt"])
    assert (done.returncode, done.stdout) == (0, "from the host\n"), done.stderr


def test_guest_without_a_volume_sees_no_file() -> None:
    assert run(image("read_file"), arguments=["read-file.wasm"]).returncode == 8


def test_volume_can_be_written_to(folder: Path) -> None:
    done = run(image("write_file"), f"--volume={folder}:/data", arguments=["output.txt"])
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir())


def test_read_only_volume_cannot_be_written_to(folder: Path) -> None:
    done = run(image("write_file"), f"--volume={folder}:/data:ro", arguments=["output.txt"])
    assert done.returncode not in (0, 134)
    assert not list(folder.iterdir())


def test_root_guest_writes_to_a_folder_of_another_user(folder: Path) -> None:
    folder.chmod(0o755)
    os.chown(folder, 1234, 1234)
    assert run(image("write_file"), f"--volume={folder}:/data", arguments=["output.txt"]).returncode == 0


def test_single_file_mount_is_the_only_file_in_its_folder(folder: Path) -> None:
    source = folder / "secret"
    source.write_text("a secret\n")
    done = run(image("read_file"), f"--volume={source}:/data/input.txt:ro", arguments=["input.txt"])
    assert (done.returncode, done.stdout) == (0, "a secret\n"), done.stderr


def test_images_own_folders_are_shown_only_where_asked_for() -> None:
    engine_root()
    layer = gzip_layer(tar_of({"app.wasm": extract(sample("read_file")), "data/x": b"own"}))
    packed = image_of(layer, run={"Entrypoint": ["/app.wasm"]})
    reference = "wasmdock-shim-test/own-folders:latest"
    Docker.connect(os.environ).load(packed, reference)
    assert run(reference, arguments=["x"]).returncode == 8
    shown = run(reference, "--env=WASMDOCK_ROOTFS=ro", arguments=["x"])
    assert (shown.returncode, shown.stdout) == (0, "own"), shown.stderr


def test_settings_for_the_host_are_not_the_guests() -> None:
    done = run(image("environ"), "--env=A=1", "--env=WASMDOCK_TIMEOUT=10s")
    assert "A=1\n" in done.stdout
    assert "WASMDOCK" not in done.stdout


def test_annotation_sets_a_limit() -> None:
    done = run(image("spin"), "--annotation=wasmdock.timeout=300ms")
    assert done.returncode == 124, done.stderr


def test_container_leaves_nothing_in_its_image(container: str) -> None:
    start(container, "hello")
    cli("wait", container)
    assert "wasmdock" not in cli("diff", container).stdout


def test_linux_program_runs_as_with_any_runtime(tmp_path: Path) -> None:
    engine_root()
    shutil.copy(binaries() / "wasmdock-shim", tmp_path)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY wasmdock-shim /\nENTRYPOINT ["/wasmdock-shim"]\n')
    built = cli("build", "--quiet", "--tag=wasmdock-shim-test/linux:latest", str(tmp_path))
    assert built.returncode == 0, built.stderr
    done = cli("run", "--rm", RUNTIME[0], "wasmdock-shim-test/linux:latest", "--version")
    assert done.stdout.startswith("wasmdock-shim "), done.stderr


def test_process_1_has_no_capabilities(container: str) -> None:
    start(container, "sleep_hour")
    status = _status_of(container)
    assert status["CapEff"].strip("0") == ""
    assert status["CapBnd"].strip("0") == ""
    assert status["NoNewPrivs"] == "1"


def _status_of(name: str) -> dict[str, str]:
    """The kernel's words on the container's process 1, read in the engine's own process namespace."""
    root = engine_root()
    pid = state(name)["Pid"]
    path = Path(f"{root}/proc/{pid}/status")
    if not path.exists():
        found = [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"sleep-hour.wasm" in _bytes(one)]
        path = found[-1].with_name("status")
    lines = (line.split(":", 1) for line in path.read_text().splitlines())
    return {key: value.strip() for key, value in lines}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_twenty_starts_at_once_compile_once(tmp_path: Path) -> None:
    reference = image("hello")
    argv = ["docker", "run", "--rm", "--network=none", *RUNTIME, reference]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    assert [child.communicate(timeout=120)[0] for child in children] == [HELLO] * 20


def test_spoiled_compiled_code_is_made_again() -> None:
    assert run(image("hello")).stdout == HELLO
    cache = engine_root() / "var/cache/wasmdock/code"
    spoiled = sorted(cache.glob("*.cwasm"))
    assert spoiled
    for path in spoiled:
        path.write_bytes(b"spoiled")
    assert run(image("hello")).stdout == HELLO
    assert not list(cache.glob("*.tmp"))
