"""Instances are counted in a process of their own, which ends with them, and with us."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import sample
from wasmdock.bench_load import density
from wasmdock.cli.bench_crowds import Instances
from wasmdock.errors import UnavailableError
from wasmdock.guest import Artifact, Target
from wasmdock.pack import extract, pack
from wasmdock.runtime import RunRequest

PROGRAM = """
import sys, time
from pathlib import Path
from tests.conftest import sample
from wasmdock.cli.bench_crowds import Instances
from wasmdock.runtime import RunRequest
crowd = Instances("hello", sample("hello"), RunRequest(), Path(sys.argv[1]))
print(crowd.process, flush=True)
time.sleep(60)
"""


def crowd(folder: Path, guest: str = "hello") -> Instances:
    return Instances(guest, sample(guest), RunRequest(), folder)


def is_alive(process: int) -> bool:
    """Whether there is such a process; one that only waits to be reaped is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_memory_of_each_does_not_depend_on_what_was_counted_before(tmp_path: Path) -> None:
    first, again = (density(crowd(tmp_path), 10_000_000) for _ in range(2))
    assert again.per_instance == pytest.approx(first.per_instance, rel=0.1)
    assert again.curve[-1][0] == pytest.approx(first.curve[-1][0], rel=0.3)


def test_guest_larger_than_a_pipe_is_kept(tmp_path: Path) -> None:
    padding = b"\x00\x84\x80\x10\x03pad" + bytes(256 << 10)  # a custom section
    large = pack(Artifact("large", Target.WASIP1, extract(sample("hello")) + padding))
    some = Instances("large", large, RunRequest(), tmp_path)
    some.start()()
    assert not is_alive(some.process)


def test_process_that_holds_them_ends_with_the_last(tmp_path: Path) -> None:
    some = crowd(tmp_path)
    stops = [some.start(), some.start()]
    stops[0]()
    assert is_alive(some.process)
    stops[1]()
    assert not is_alive(some.process)


def test_process_that_holds_them_ends_with_us(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    until = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(child)


def test_guest_that_traps_is_not_kept_and_leaves_no_process(tmp_path: Path) -> None:
    some = crowd(tmp_path, "trap")
    with pytest.raises(UnavailableError, match="keeping one more instance: .*wasm"):
        some.start()
    assert not is_alive(some.process)


def test_process_that_is_ended_from_outside_is_said_to_have_ended(tmp_path: Path) -> None:
    some = crowd(tmp_path)
    some.start()
    os.kill(some.process, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="ended \\(SIGKILL\\)"):
        some.start()
    with pytest.raises(UnavailableError, match="memory of instances|ended \\(SIGKILL\\)"):
        some.used()


def test_one_that_finds_no_room_leaves_the_others_and_their_memory(tmp_path: Path) -> None:
    some = crowd(tmp_path)
    stops = [some.start() for _ in range(3)]
    taken = int(Path(f"/proc/{some.process}/statm").read_text().split()[0]) * resource.getpagesize()
    room = taken + (32 << 20)  # for Python and the runtime, which end at once without any, but for no guest's memory
    resource.prlimit(some.process, resource.RLIMIT_AS, (room, room))
    with pytest.raises(UnavailableError, match="keeping one more instance"):
        some.start()
    assert some.used() > 1_000_000
    for stop in stops:
        stop()
    assert not is_alive(some.process)
