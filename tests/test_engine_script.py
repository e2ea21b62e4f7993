"""scripts/engine: its arguments, and an engine of the tests' own, started, hurt and stopped."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "engine"


def engine(*arguments: str, cache: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"WASMDOCK_CACHE": str(cache)} if cache else {}), **environ}
    argv = [str(SCRIPT), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, env=environment)


def docker(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The engine's own client, as `scripts/engine env` puts it on PATH."""
    client = str(ROOT / "dockerfiles" / "engine" / "bin" / "docker")
    argv = ["timeout", "-k", "5", "60", client, *arguments]
    environment = {**os.environ, "DOCKER_HOST": variables(cache)["DOCKER_HOST"]}
    return subprocess.run(argv, capture_output=True, text=True, env=environment)


def variables(cache: Path) -> dict[str, str]:
    lines = engine("env", cache=cache).stdout.splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def folder(cache: Path) -> Path:
    return Path(engine("root", cache=cache).stdout.strip()).parent


def processes(cache: Path) -> dict[int, str]:
    """The processes in the engine's PID namespace, by pid as the host sees it."""
    namespace = (folder(cache) / "pid").read_text().split()[1]
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str((path / "ns/pid").readlink()) == namespace:
                found[int(path.name)] = (path / "comm").read_text().strip()
        except OSError:  # it ended meanwhile
            continue
    return found


def require_host() -> None:
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists() or not Path("/dev/net/tun").exists():
        pytest.skip("scripts/engine needs root on a Debian host with /dev/net/tun")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with an engine of its own, so that one already running is not disturbed."""
    require_host()
    cache = tmp_path_factory.mktemp("cache")
    (cache / "engine").mkdir()
    usual = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wasmdock/engine"
    for tar in usual.glob("base-trixie-*.tar"):
        shutil.copy(tar, cache / "engine")
    started = engine("start", cache=cache)
    assert started.returncode == 0, started.stderr
    yield cache
    destroyed = engine("destroy", cache=cache)
    assert destroyed.returncode == 0, destroyed.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["dance"], 'unknown verb "dance"'),
        ([], 'unknown verb ""'),
        (["start", "--suite", "buzz"], 'unknown suite "buzz"'),
        (["start", "--suite"], 'unknown suite ""'),
        (["start", "--now"], 'unknown argument "--now"'),
    ],
)
def test_wrong_arguments_are_named_and_exit_with_2(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    done = engine(*arguments, cache=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"engine: {complaint}; usage: scripts/engine ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["start", "stop", "destroy"])
def test_without_root_it_says_so_in_one_line(verb: str) -> None:
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    if not os.access(SCRIPT, os.X_OK) or (nobody and ROOT.stat().st_mode & 0o005 != 0o005):
        pytest.skip("the checkout is not readable for other users")
    done = subprocess.run([str(SCRIPT), verb], capture_output=True, text=True, **nobody)  # type: ignore[call-overload]
    assert done.returncode == 1
    assert "run this as root" in done.stderr
    assert done.stderr.count("\n") == 1


def test_status_of_an_engine_never_started_exits_with_3(tmp_path: Path) -> None:
    done = engine("status", cache=tmp_path)
    assert done.returncode == 3
    assert done.stdout == "trixie does not run: scripts/engine start --suite trixie\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("left", ["", "4194305 pid:[1]\n"])
def test_client_of_a_stopped_engine_says_what_starts_it(left: str, tmp_path: Path) -> None:
    at = tmp_path / "engine" / "trixie-0123456789ab"
    at.mkdir(parents=True)
    if left:  # killed, not stopped
        (at / "pid").write_text(left)
    address = {"DOCKER_HOST": f"unix://{at}/root/run/docker.sock", "WASMDOCK_ENGINE_CLIENT": str(at)}
    client = ROOT / "dockerfiles" / "engine" / "bin" / "docker"
    done = subprocess.run([client, "ps"], capture_output=True, text=True, env={**os.environ, **address})
    said = "docker: the engine of scripts/engine is stopped: scripts/engine start --suite trixie starts it\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_root_names_the_folder_of_the_suite(tmp_path: Path) -> None:
    root = Path(engine("root", "--suite=sid", cache=tmp_path).stdout.strip())
    assert root.name == "root"
    assert root.parent.parent == tmp_path / "engine"
    assert root.parent.name.startswith("sid-")


def test_help_tells_every_verb() -> None:
    text = engine("--help").stdout
    assert all(f"\n  {verb} " in text for verb in ("start", "stop", "status", "env", "root", "destroy"))


@pytest.mark.docker
def test_a_mirror_that_does_not_answer_ends_in_one_line_and_leaves_no_half_engine(tmp_path: Path) -> None:
    require_host()
    done = engine("start", cache=tmp_path, WASMDOCK_DEBIAN_MIRROR="http://127.0.0.1:9/debian")
    assert done.returncode == 1
    assert done.stdout == ""
    step = "engine: fetching Debian trixie with debootstrap"
    assert done.stderr.startswith(f"{step}\n{step}: ")
    assert "http://127.0.0.1:9/debian" in done.stderr
    assert done.stderr.count("\n") == 2
    assert not [path for path in (tmp_path / "engine").iterdir() if path.is_dir()]


@pytest.mark.docker
def test_a_second_start_finds_the_first(cache: Path) -> None:
    before = time.monotonic()
    again = engine("start", cache=cache)
    assert again.stdout.splitlines()[-1] == f"DOCKER_HOST={variables(cache)['DOCKER_HOST']}"
    assert time.monotonic() - before < 5
    assert engine("status", cache=cache).returncode == 0


@pytest.mark.docker
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_container_runs_and_sees_the_hosts_folders(runtime: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("from the host")
    argv = ["run", "--rm", "--runtime", runtime, "-v", f"{tmp_path}:/given", "debian:trixie-slim"]
    done = docker(cache, *argv, "cat", "/given/note")
    assert done.stdout == "from the host", done.stderr


@pytest.mark.docker
def test_a_published_port_answers_at_the_engines_address_and_at_127_0_0_1(cache: Path) -> None:
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    listen = "$s = IO::Socket::INET->new(Listen => 9, LocalPort => 80) or die"
    script = f"use IO::Socket; {listen}; print {{$s->accept}} 'hi' while 1"
    argv = ["run", "-d", "--name", "port", "-p", f"{port}:80", "debian:trixie-slim", "perl", "-e", script]
    assert (started := docker(cache, *argv)).returncode == 0, started.stderr
    try:
        assert greeting(variables(cache)["WASMDOCK_ENGINE_ADDRESS"], port) == b"hi"
        assert greeting("127.0.0.1", port) == b"hi"
    finally:
        docker(cache, "rm", "-f", "port")


def greeting(address: str, port: int, seconds: float = 10) -> bytes:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), timeout=2) as connection:
                if data := connection.recv(100):
                    return data
        except OSError:
            pass
        time.sleep(0.1)
    return b""


@pytest.mark.docker
def test_an_engine_whose_dockerd_was_killed_starts_again_with_its_images(cache: Path) -> None:
    dockerd = [pid for pid, name in processes(cache).items() if name == "dockerd"]
    os.kill(dockerd[0], 9)
    deadline = time.monotonic() + 10
    while engine("status", cache=cache).returncode == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert engine("status", cache=cache).returncode == 3
    assert engine("start", cache=cache).returncode == 0
    assert docker(cache, "run", "--rm", "debian:trixie-slim", "echo", "back").stdout == "back\n"


@pytest.mark.docker
def test_stop_leaves_nothing_on_the_host(cache: Path) -> None:
    started = docker(cache, "run", "-d", "--rm", "--stop-timeout", "1", "debian:trixie-slim", "sleep", "1000")
    assert started.returncode == 0, started.stderr
    link = Path("/sys/class/net") / f"wasmdock{variables(cache)['WASMDOCK_ENGINE_ADDRESS'].split('.')[2]}"
    configuration = json.loads((folder(cache) / "root/etc/docker/daemon.json").read_text())
    groups = f"**{configuration['cgroup-parent']}"
    running = processes(cache)
    assert {"containerd", "dockerd", "containerd-shim"} <= set(running.values())
    assert link.exists()
    assert list(Path("/sys/fs/cgroup").glob(groups))

    assert engine("stop", cache=cache).returncode == 0
    assert not [pid for pid in running if Path(f"/proc/{pid}").exists()]
    assert str(cache) not in Path("/proc/mounts").read_text()
    assert not link.exists()
    assert not list(Path("/sys/fs/cgroup").glob(groups))
    assert engine("stop", cache=cache).returncode == 0
    assert engine("status", cache=cache).returncode == 3
    assert engine("start", cache=cache).returncode == 0
