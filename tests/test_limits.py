"""One table: each limit on each road, what the guest sees of it, its exit code, and what is said."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import hostile_modules as hostile
from tests.conftest import GUESTS, sample
from tests.requirements import require_docker
from tests.wat import image_of
from wasmdock.docker import Docker
from wasmdock.docker_run import DockerRuntime
from wasmdock.engine import assemble
from wasmdock.errors import UsageError
from wasmdock.inprocess import InProcessRuntime
from wasmdock.runtime import MIB, Limits, Mount, Outcome, RunRequest, Runtime, check_limits

SOON = 2.0  # seconds; a tenth is promised, twenty times that allows for whatever else this machine does
EXITED, TRAPPED, TIMED_OUT, OUT_OF_MEMORY = Outcome.EXITED, Outcome.TRAPPED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY
DOCKER = pytest.param("docker", marks=pytest.mark.docker)

TABLE: list[tuple[str, str, Limits, Outcome, int, str]] = [
    # the limit, the guest, its limits, how it ends, the exit code, what is said
    ("timeout, in a loop", "spin", Limits(timeout=0.3), TIMED_OUT, 124, "the time limit"),
    ("timeout, asleep", "sleep_hour", Limits(timeout=0.3), TIMED_OUT, 124, "the time limit"),
    ("memory, growing", "grow_memory", Limits(memory=64 * MIB), OUT_OF_MEMORY, 137, "out of memory"),
    ("memory, refused at once", "refused_alloc", Limits(), OUT_OF_MEMORY, 137, "out of memory"),
    ("memory, not refused", "refused_alloc", Limits(memory=600 * MIB), EXITED, 0, ""),
    ("memory, grown and not refused", "grown_panic", Limits(), TRAPPED, 134, "wasm trap: wasm `unreachable`"),
    ("memory, declared", "big_memory", Limits(memory=2 * MIB), OUT_OF_MEMORY, 137, "out of memory"),
    ("tables, declared", "big_table", Limits(tables=10_000), OUT_OF_MEMORY, 137, "out of memory"),
    ("tables, growing", "grow_table", Limits(tables=10_000), TRAPPED, 134, "(--tables)"),
    ("fuel", "spin", Limits(fuel=100_000), TRAPPED, 134, "wasm trap: all fuel consumed"),
    ("stack", "stack_overflow", Limits(), TRAPPED, 134, "wasm trap: call stack exhausted"),
    ("stack, smaller", "deep", Limits(stack=64 << 10), TRAPPED, 134, "wasm trap: call stack exhausted"),
    ("output, captured", "print_forever", Limits(output=100_000), TRAPPED, 134, "stopped: more than 100000 bytes"),
    ("none of them", "hello", Limits(memory=None, tables=None, output=None), EXITED, 0, ""),
]


@pytest.fixture(params=["process", DOCKER])
def road(request: pytest.FixtureRequest, runtime: InProcessRuntime) -> Runtime:
    if request.param == "process":
        return runtime
    require_docker()
    return DockerRuntime(Docker.connect(os.environ))


@pytest.mark.parametrize("name, limits, outcome, code, message", [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_limit_means_the_same_on_every_road(
    road: Runtime, name: str, limits: Limits, outcome: Outcome, code: int, message: str
) -> None:
    result = road.run(sample(name), RunRequest(limits=limits))
    assert (result.outcome, result.exit_code) == (outcome, code)
    assert message in result.message


@pytest.mark.parametrize("read_only, code, written", [(True, 63, []), (False, 0, ["out"])])
def test_read_only_means_that_no_folder_can_be_written_to(
    road: Runtime, tmp_path: Path, read_only: bool, code: int, written: list[str]
) -> None:
    mounts = (Mount(tmp_path, "/data"),)
    result = road.run(sample("write_file"), RunRequest(args=("out",), mounts=mounts, read_only=read_only))
    assert (result.exit_code, [path.name for path in tmp_path.iterdir()]) == (code, written)


@pytest.mark.parametrize(
    "stack, calls, outcome", [(512 << 10, 1, EXITED), (512 << 10, 9, TRAPPED), (64 * MIB, 9, EXITED)]
)
def test_larger_stack_lets_a_guest_call_deeper(road: Runtime, stack: int, calls: int, outcome: Outcome) -> None:
    request = RunRequest(args=("x",) * (calls - 1), limits=Limits(stack=stack))
    assert road.run(sample("deep"), request).outcome is outcome


# In this process


@pytest.mark.parametrize(
    "limits, complaint",
    [
        (Limits(memory=-1), "limiting memory to -1"),
        (Limits(memory=64e6), "limiting memory to 64000000.0"),  # type: ignore[arg-type]  # as users without types may
        (Limits(tables=-1), "limiting tables to -1"),
        (Limits(fuel=0), "limiting fuel to 0: no whole number from 1 on"),
        (Limits(output=True), "limiting output to True"),
        (Limits(stack=0), "limiting the stack to 0: not from 65536 to 1073741824 bytes"),
        (Limits(stack=1 << 63), "limiting the stack to"),
        (Limits(timeout=0), "limiting the time to 0: no positive number of seconds"),
        (Limits(timeout=float("nan")), "limiting the time to nan"),
    ],
)
def test_limit_that_is_none_is_refused_before_anything_runs(road: Runtime, limits: Limits, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        road.run(sample("hello"), RunRequest(limits=limits))
    assert complaint in caught.value.message


def test_limit_that_is_none_is_refused_however_equal_it_is_to_one_that_is() -> None:
    check_limits(Limits(memory=64, fuel=1))
    for limits in (Limits(memory=64.0, fuel=1), Limits(memory=64, fuel=True)):  # type: ignore[arg-type]  # as above
        with pytest.raises(UsageError, match="no whole number"):
            check_limits(limits)


@pytest.mark.parametrize("memory", [None, 2 << 30])
def test_guest_that_may_fill_a_large_memory_in_one_instruction_has_a_process_of_its_own(
    runtime: InProcessRuntime, memory: int | None
) -> None:
    text = """(module (memory (export "memory") 32000) (func (export "_start")
      (loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 2000000000)) (br $again))))"""
    before = threading.active_count()
    result = runtime.run(image_of(text), RunRequest(limits=Limits(memory=memory, timeout=0.3)))
    assert (result.outcome, result.exit_code) == (TIMED_OUT, 124)
    assert sum(result.phases.values()) < 0.3 + SOON and threading.active_count() <= before


@pytest.mark.parametrize("name", ["spin", "print_forever", "sleep_hour", "grow_table"])
def test_guest_is_stopped_soon_after_its_limit(runtime: InProcessRuntime, name: str) -> None:
    """Some 25 ms on a machine with nothing else to do; the guest's own time, which a child's start comes before."""
    runtime.prepare(sample(name))
    limits = Limits(timeout=0.2, output=None, tables=None)
    result = runtime.run(sample(name), RunRequest(limits=limits))
    assert result.outcome is TIMED_OUT
    assert 0.2 <= sum(result.phases.values()) < 0.2 + SOON


def test_stack_of_a_native_program_is_not_limited() -> None:
    from wasmdock.docker_call import run_arguments

    request = RunRequest(limits=Limits(stack=MIB))
    assert "WASMDOCK_STACK=1048576" in run_arguments("x", request, is_wasm=True, name="n").argv
    with pytest.raises(UsageError, match="limiting the stack in Docker: a native program has its own"):
        run_arguments("x", request, is_wasm=False, name="n")


@pytest.mark.parametrize("network", ["host", "mine"])
def test_network_is_there_in_docker_alone(runtime: InProcessRuntime, network: str) -> None:
    with pytest.raises(UsageError, match=f'granting network "{network}": in this process a guest has none'):
        runtime.run(sample("hello"), RunRequest(network=network))


def test_no_network_may_be_asked_for(runtime: InProcessRuntime) -> None:
    assert runtime.run(sample("hello"), RunRequest(network="none")).exit_code == 0


def test_flags_of_docker_say_what_the_request_does() -> None:
    from wasmdock.docker_call import run_arguments

    request = RunRequest(network="mine", read_only=True, mounts=(Mount(Path("/a"), "/b"),))
    argv = run_arguments("x", request, is_wasm=True, name="n").argv
    assert {"--network=mine", "--read-only", "type=bind,source=/a,target=/b,readonly"} <= set(argv)


# The command line


def wasmdock(
    tmp_path: Path, *words: str, program: str | bytes = "print_forever", on: str = "process"
) -> "subprocess.CompletedProcess[bytes]":
    file = tmp_path / "guest.wasm"
    if isinstance(program, str):
        program = assemble((GUESTS / f"{program}.wat").read_bytes(), program)
    file.write_bytes(program)
    argv = [sys.executable, "-m", "wasmdock", "run", "--on", on, *words, str(file)]
    env = {**os.environ, "WASMDOCK_CACHE": str(tmp_path / "cache")}
    return subprocess.run(argv, capture_output=True, timeout=60, env=env, check=False)


@pytest.mark.parametrize("on", ["process", DOCKER])
@pytest.mark.parametrize(
    "words, program, said",
    [
        (("--compile-time", "500ms"), hostile.looped_locals(701, 700), b"compiling"),
        (("--deny", "files"), "read_file", b"running a guest that asks for files: not granted by --deny"),
        (("--allow", "stdio"), "args", b"running a guest that asks for arguments: not granted by --allow"),
    ],
)
def test_guest_beyond_a_limit_is_refused_before_it_starts(
    tmp_path: Path, on: str, words: tuple[str, ...], program: str | bytes, said: bytes
) -> None:
    if on == "docker":
        require_docker()
    done = wasmdock(tmp_path, *words, program=program, on=on)
    assert (done.returncode, done.stdout) == (125, b"")
    assert said in done.stderr


def flags(limits: Limits) -> list[str]:
    """The flags that set what is not as by default; not the cap on captured output, which no flag sets."""
    names = ("memory", "tables", "fuel", "stack", "timeout")
    pairs = [(name, getattr(limits, name)) for name in names if getattr(limits, name) != getattr(Limits(), name)]
    return [f"--{name}={'none' if value is None else value}" for name, value in pairs]


@pytest.mark.parametrize(
    "name, limits, code, message",
    [(name, limits, code, message) for _, name, limits, _, code, message in TABLE if name != "print_forever"],
    ids=[row[0] for row in TABLE if row[1] != "print_forever"],
)
def test_limit_means_the_same_on_the_command_line(
    tmp_path: Path, name: str, limits: Limits, code: int, message: str
) -> None:
    done = wasmdock(tmp_path, *flags(limits), program=name)
    assert (done.returncode, message in done.stderr.decode()) == (code, True)
    assert ("out of memory" in done.stderr.decode()) == (code == 137)


@pytest.mark.parametrize("name", ["spin", "sleep_hour"])
def test_guest_on_the_command_line_is_stopped_soon_after_its_limit(tmp_path: Path, name: str) -> None:
    """Some 25 ms late, if nothing else goes on; what is measured has the start of the command in it, too."""

    def seconds(*words: str, program: str) -> float:
        begun = time.monotonic()
        wasmdock(tmp_path, *words, program=program)
        return time.monotonic() - begun

    start = min(seconds(program="hello") for _ in range(2))
    assert 0.2 <= seconds("--timeout=0.2", program=name) < start + 0.2 + SOON


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_output_is_cut_at_its_limit(tmp_path: Path, size: int) -> None:
    done = wasmdock(tmp_path, "--output", str(size or 1), *(["--timeout", "20s"] if size else []))
    assert (done.returncode, len(done.stdout)) == (134, size or 1)
    assert b"wasmdock: stopped: it printed more than" in done.stderr


def test_output_within_its_limit_is_whole(tmp_path: Path) -> None:
    done = wasmdock(tmp_path, "--output", "1m", program="stdout_and_stderr")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"to stdout\n", b"to stderr\n")


@pytest.mark.parametrize(
    "words, complaint",
    [
        (("--stack", "2g"), 'reading stack "2g": not between 64k and 1g'),
        (("--tables", "-1"), 'reading table elements "-1"'),
        (("--output", "x"), 'reading size "x"'),
    ],
)
def test_senseless_limit_is_no_end_of_a_guest(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    done = wasmdock(tmp_path, *words)
    assert done.returncode == 125
    assert complaint in done.stderr.decode()
