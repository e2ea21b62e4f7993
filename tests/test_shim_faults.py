"""Many starts, and violent ends of the shim, the host, the compiler and containerd: nothing is left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim_matrix import HELLO, RUNTIME, cli, engine_root, image, run

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def leftovers() -> dict[str, int]:
    """What containers of the Wasm runtime have on the machine: processes, mounts, bundles, sockets, cgroups, files."""
    root = engine_root()
    names = [_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return {
        "hosts": sum(b"wasmdock-host" in name for name in names),
        "shims": sum(name.startswith(b"/usr/bin/containerd-shim-runc-v2") for name in names),
        "bundles": _count(root / "run/containerd/io.containerd.runtime.v2.task/moby"),
        "states": _count(root / "run/containerd/runc/moby"),
        "sockets": _count(root / "run/containerd/s"),
        "mounts": sum("/io.containerd.runtime.v2.task/moby/" in line for line in _mounts()),
        "temporaries": len(list((root / "var/cache/wasmdock/code").glob("*.tmp"))),
        "cgroups": sum(1 for _ in Path("/sys/fs/cgroup").glob("*/docker/*/cgroup.procs")),
    }


def _mounts() -> list[str]:
    """The mounts as the engine's containerd sees them."""
    watcher = "self" if str(engine_root()) == "/" else str(next(iter(_containerds()), "self"))
    return Path(f"/proc/{watcher}/mountinfo").read_text().splitlines()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _count(folder: Path) -> int:
    """What lies there, but for what an OCI runtime keeps for all containers (crun's .cache)."""
    return sum(not path.name.startswith(".") for path in folder.iterdir()) if folder.is_dir() else 0


def settles(before: dict[str, int], patience: float = 20) -> dict[str, int]:
    """What is left more than before, once the engine had time to clean up."""
    deadline = time.monotonic() + patience
    while True:
        more = {key: count for key, count in leftovers().items() if count > before[key]}
        if not more or time.monotonic() > deadline:
            return more
        time.sleep(0.2)


def started(name: str, guest: str = "sleep_hour") -> str:
    done = cli("run", "--detach", f"--name={name}", "--network=none", *RUNTIME, image(guest))
    assert done.returncode == 0, done.stderr
    return name


def pids(part: bytes, also: str) -> list[int]:
    """The processes whose command line holds both."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        line = _read(path)
        if part in line and also.encode() in line:
            found.append(int(path.parent.name))
    return found


def test_two_hundred_starts_in_a_row_leave_nothing() -> None:
    reference = image("hello")
    before = leftovers()
    for _ in range(200):
        assert run(reference, "--network=none").stdout == HELLO
    assert not settles(before)


def test_twenty_starts_at_once_leave_nothing() -> None:
    reference = image("hello")
    before = leftovers()
    argv = ["docker", "run", "--rm", "--network=none", *RUNTIME, reference]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    assert [child.communicate(timeout=120)[0] for child in children] == [HELLO] * 20
    assert not settles(before)


def _killed(name: str, victims: Callable[[str], list[int]]) -> None:
    started(name)
    full = cli("inspect", "--format={{.Id}}", name).stdout.strip()
    found = victims(full)
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def test_container_whose_host_is_killed_ends_with_137() -> None:
    before = leftovers()
    _killed("shim-fault-host", lambda _: pids(b"wasmdock-host", "sleep-hour.wasm"))
    assert cli("wait", "shim-fault-host").stdout.strip() == "137"
    assert cli("rm", "shim-fault-host").returncode == 0
    assert not settles(before)


def test_container_whose_shim_is_killed_can_be_removed() -> None:
    before = leftovers()
    _killed("shim-fault-shim", lambda full: pids(b"containerd-shim-runc-v2", full))
    done = cli("rm", "--force", "shim-fault-shim")
    assert done.returncode == 0, done.stderr
    assert not settles(before)


def test_compiler_that_is_killed_leaves_nothing() -> None:
    before = leftovers()
    for path in (engine_root() / "var/cache/wasmdock/code").glob("*.stamp"):
        path.unlink()
    child = subprocess.Popen(
        ["docker", "run", "--rm", "--network=none", *RUNTIME, image("component_cli")], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while not (found := pids(b"wasmdock-host\0compile", "")) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.001)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    child.wait(60)
    assert run(image("component_cli"), "--network=none").returncode == 0
    assert not settles(before)


@pytest.fixture
def kill_containerd() -> Callable[[], None]:
    """Kills the engine's containerd and waits for the next one, which whoever keeps the engine starts."""
    if str(engine_root()) == "/" or not _containerds():
        pytest.skip("the machine's own containerd is not ours to kill")
    reference = image("hello")

    def kill() -> None:
        _patiently(lambda: bool(_containerds()))
        old = _containerds()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        _patiently(lambda: bool(set(_containerds()) - set(old)))
        _patiently(lambda: run(reference, "--network=none", timeout=120).stdout == HELLO)

    return kill


def _patiently(happens: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _is_running(name: str) -> bool:
    return cli("inspect", "--format={{.State.Running}}", name).stdout.strip() == "true"


def test_container_goes_on_without_containerd_and_is_stopped_by_the_next_one(
    kill_containerd: Callable[[], None],
) -> None:
    before = leftovers()
    name = started("shim-fault-containerd")
    try:
        kill_containerd()
        assert _is_running(name)
        assert name in cli("ps", "--format={{.Names}}").stdout.split()
        assert cli("stop", name).returncode == 0
        assert cli("wait", name).stdout.strip() == "130"  # the image names SIGINT
    finally:
        assert cli("rm", "--force", name, timeout=60).returncode == 0
    assert not settles(before, 40)


def test_container_that_ended_while_containerd_was_gone_can_be_stopped_and_removed(
    kill_containerd: Callable[[], None],
) -> None:
    before = leftovers()
    name = started("shim-fault-unseen")
    try:
        victims = pids(b"wasmdock-host", "sleep-hour.wasm")
        for pid in (*_containerds(), *victims):
            os.kill(pid, signal.SIGKILL)
        kill_containerd()  # and once more: the next one finds a shim without a guest
        # Docker misses such an end, a native container's too, until somebody asks for it.
        assert cli("stop", name).returncode == 0
        assert cli("inspect", "--format={{.State.Status}}", name).stdout.strip() == "exited"
    finally:
        assert cli("rm", "--force", name, timeout=60).returncode == 0
    assert not settles(before, 40)


def test_containers_that_start_while_containerd_dies_leave_nothing_of_ours(
    kill_containerd: Callable[[], None],
) -> None:
    """What containerd had begun and forgot is its own: bundles, sockets and, with 1.7, a shim with its state."""
    before = leftovers()
    label = f"--label=shim-fault={time.monotonic_ns()}"
    argv = ["docker", "run", "--rm", "--network=none", label, *RUNTIME, image("hello")]
    children = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(8)]
    time.sleep(0.4)
    kill_containerd()
    for name in cli("ps", "--all", "--quiet", f"--filter={label.removeprefix('--')}").stdout.split():
        cli("rm", "--force", name)  # those whose --rm the engine could not fulfil
    for child in children:
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:  # Docker missed the end, and its client waits for the news
            child.kill()
            child.wait()
    assert not settles(before, 40).keys() - {"bundles", "sockets", "shims", "states"}


def _containerds() -> list[int]:
    """containerd of this engine: the process whose root is the engine's."""
    root, found = engine_root(), []
    for path in Path("/proc").glob("[0-9]*/exe"):
        try:
            program, own = path.readlink().name, path.with_name("root").stat()
        except OSError:
            continue
        if program == "containerd" and (own.st_dev, own.st_ino) == _identity(root):
            found.append(int(path.parent.name))
    return found


def _identity(root: Path) -> tuple[int, int]:
    known = root.stat()
    return known.st_dev, known.st_ino
