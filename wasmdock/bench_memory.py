"""Memory of a program or container at its peak and at rest, watched in runs of their own that no clock sees."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from wasmdock.bench import Case
from wasmdock.errors import WasmdockError
from wasmdock.process import end_group, starting
from wasmdock.results import Weight

RUNS = 3
# What the numbers are, by who counts them.
BY_CGROUP = "cgroup: its processes, the pages of files it was the first to read, the kernel's own for it"
BY_PROCESS = "resident set: the program itself, without its children"
_CGROUPS, _PROC = Path("/sys/fs/cgroup"), Path("/proc")
# Peak and present use, in cgroup v2 and in v1 (cgroup-v2.rst, cgroup-v1/memory.rst).
_PEAKS = ("memory.peak", "memory.max_usage_in_bytes")
_NOW = ("memory.current", "memory.usage_in_bytes")
_LOOK = 0.0005  # seconds between two looks
_PATIENCE = 120.0


def weigh(case: Case, runs: int = RUNS) -> tuple[Weight, ...]:
    """Run a case so often and weigh it; empty where it cannot be weighed."""
    found = []
    with suppress(WasmdockError):
        for _ in range(runs if case.weigh else 0):
            weight = case.weigh() if case.weigh else Weight()
            if weight != Weight():
                found.append(weight)
    return tuple(found)


def weigh_program(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None, cwd: Path | None = None
) -> Weight:
    """Run a program to its end and look at its peak resident set until then (VmHWM, proc_pid_status(5)).

    wait4's ru_maxrss is no help: it begins with the size of the process that forked, which is ours.
    """
    with starting(argv, cwd):
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    peak, until = None, time.monotonic() + _PATIENCE
    try:
        threading.Thread(target=_feed, args=(process, stdin or b""), daemon=True).start()
        while process.poll() is None and time.monotonic() < until:
            peak = resident(process.pid).peak or peak
    finally:
        end_group(process)
    return Weight(peak)


def _feed(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    if process.stdin:
        with suppress(OSError), process.stdin as stream:
            stream.write(data)


def resident(process: int, proc: Path = _PROC) -> Weight:
    """Peak and present resident set of a process; nothing where it has ended or cannot be seen."""
    found = {}
    with suppress(OSError):
        for line in (proc / str(process) / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmHWM", "VmRSS"):
                found[name] = int(value.split()[0]) * 1024
    return Weight(found.get("VmHWM"), found.get("VmRSS"))


def weigh_container(run: Callable[[Path], object], folder: Path, cgroups: Path = _CGROUPS) -> Weight:
    """Run a container to its end and watch its cgroup, which goes when the container ends.

    `run` is given a file, not there yet, into which docker writes the container's id (--cidfile).
    """
    file = folder / f"container-{time.monotonic_ns()}"
    over, seen = threading.Event(), [Weight()]
    watcher = threading.Thread(target=_watch, args=(file, cgroups, over, seen), daemon=True)
    watcher.start()
    try:
        run(file)
    finally:
        over.set()
        watcher.join()
        file.unlink(missing_ok=True)
    return Weight(seen[0].peak)


def _watch(file: Path, cgroups: Path, over: threading.Event, seen: list[Weight]) -> None:
    group = None
    while not over.wait(_LOOK):
        if group is None:
            group = cgroup_of(_identity(file), cgroups)
            continue
        weight = group_weight(group)
        if weight == Weight():
            return
        seen[0] = weight


def _identity(file: Path) -> str:
    with suppress(OSError):
        return file.read_text().strip()
    return ""


def cgroup_of(identity: str, cgroups: Path = _CGROUPS) -> Path | None:
    """The cgroup of a container, by its id, where memory is counted; None where none is seen from here."""
    root = cgroups / "memory" if (cgroups / "memory").is_dir() else cgroups
    for folder, names, _ in os.walk(root) if identity else ():
        for name in names:
            if identity in name and _number(Path(folder, name), _NOW) is not None:
                return Path(folder, name)
    return None


def group_weight(group: Path) -> Weight:
    """Peak and present use of a cgroup; nothing where it is gone."""
    return Weight(_number(group, _PEAKS), _number(group, _NOW))


def _number(group: Path, names: Sequence[str]) -> int | None:
    for name in names:
        with suppress(OSError, ValueError):
            return int((group / name).read_text())
    return None
