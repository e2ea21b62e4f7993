"""What becomes of guests, threads and processes when something else ends, forks, or does not read."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.wat import image_of
from wasmdock.attach import attach_command
from wasmdock.inprocess import InProcessRuntime
from wasmdock.runtime import Mount, RunRequest

ROOT = Path(__file__).parent.parent
LONG = """
import sys
from tests.wat import image_of
from wasmdock import InProcessRuntime, Limits, RunRequest
from wasmdock.runtime import Stdio
text = '''(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4) (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 150000))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))'''
limits = Limits(printed=1 << 20)
sys.exit(InProcessRuntime().run(image_of(text), RunRequest(stdio=Stdio.INHERIT, limits=limits)).exit_code)
"""
PASSED_ON = """
import sys
from wasmdock.attach import attach_command
sys.exit(attach_command(["head", "-c", "150000", "/dev/zero"], timeout=50, cap=1 << 20).code)
"""


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


def start(script: str, stdout: int | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=stdout)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def check_that_its_child_ends_with(
    script: str, end: Callable[["subprocess.Popen[bytes]"], None], within: float
) -> None:
    with start(script) as parent:
        assert wait_until(lambda: children(parent.pid))
        child = children(parent.pid)[0]
        time.sleep(1)
        assert runs(child)
        end(parent)
    assert wait_until(lambda: not runs(child), within)


NAP = """(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (i32.store8 (i32.const 8) (i32.const 0)) (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 50000000)) (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1)
    (i32.const 200)))))"""


@pytest.mark.parametrize("guest", ["asleep", "reading a file"])
def test_forked_process_runs_guests_whose_host_calls_take_time(
    guest: str, runtime: InProcessRuntime, tmp_path: Path
) -> None:
    """wasmtime's threads for such calls do not come along with a fork."""
    (tmp_path / "in").write_text("from the host")
    image = image_of(NAP) if guest == "asleep" else sample("read_file")
    request = RunRequest(args=("in",), mounts=(Mount(tmp_path, "/data"),) if guest != "asleep" else ())
    assert runtime.run(image, request).exit_code == 0
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(runtime.run(image, request).exit_code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_ctrl_c_is_heard_while_a_guest_sleeps(runtime: InProcessRuntime) -> None:
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runtime.run(sample("sleep_hour"), RunRequest())
    assert time.monotonic() - began < 20
    assert runtime.run(sample("stdout_and_stderr"), RunRequest()).stdout == b"to stdout\n"


@pytest.mark.parametrize("name", ["spin", "sleep_hour"])
def test_what_a_signals_handler_raises_ends_the_guest_and_is_raised(name: str, runtime: InProcessRuntime) -> None:
    def handler(*_: object) -> None:
        raise LookupError("told to")

    before = signal.signal(signal.SIGUSR1, handler)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
    try:
        with pytest.raises(LookupError, match="told to"):
            runtime.run(sample(name), RunRequest())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_forked_process_compiles_what_its_parent_did_not() -> None:
    """wasmtime's compiling threads stay behind: a child that waited for them would wait for ever."""
    runtime = InProcessRuntime()
    runtime.prepare(sample("hello"))
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(runtime.run(sample("exit_code"), RunRequest()).exit_code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_endless_recursion_traps_in_a_thread_with_a_small_stack_too() -> None:
    script = """
import threading
from tests.conftest import sample
from tests.wat import image_of
from wasmdock import InProcessRuntime, RunRequest
runtime, ended = InProcessRuntime(), []
runtime.prepare(sample("stack_overflow"))
threading.stack_size(512 << 10)
thread = threading.Thread(target=lambda: ended.append(runtime.run(sample("stack_overflow"), RunRequest())))
thread.start()
thread.join()
print(ended[0].message)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[:1]) == (0, ["wasm trap: call stack exhausted (--stack)"])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of children")
def test_guest_in_a_process_of_its_own_ends_with_ours() -> None:
    script = """
from tests.conftest import sample
from tests.wat import image_of
from wasmdock import InProcessRuntime, Limits, RunRequest
InProcessRuntime().run(sample("sleep_hour"), RunRequest(limits=Limits(timeout=3000)))
"""
    check_that_its_child_ends_with(script, subprocess.Popen.kill, 20)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of children")
def test_compilation_in_a_process_of_its_own_ends_with_ours() -> None:
    script = """
from tests import hostile_modules
from wasmdock.engine import Engine
Engine().module(hostile_modules.looped_locals(700, 700))
"""
    check_that_its_child_ends_with(script, subprocess.Popen.terminate, 5)


def test_engine_that_nobody_holds_any_more_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.watch._IDLE", 0.01)
    before = threading.active_count()
    for _ in range(5):
        InProcessRuntime().run(sample("hello"), RunRequest())
    assert wait_until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("script", [LONG, PASSED_ON], ids=["guest", "program"])
def test_all_that_was_printed_reaches_a_reader_who_takes_his_time(script: str) -> None:
    """More than two pipes hold, read later than any of our own deadlines."""
    with start(script, stdout=subprocess.PIPE) as process:
        time.sleep(4)
        assert process.stdout is not None
        assert (len(process.stdout.read()), process.wait(30)) == (150_000, 0)


def test_program_that_left_a_child_with_its_output_is_not_waited_for() -> None:
    began = time.monotonic()
    assert attach_command(["sh", "-c", "sleep 20 & exit 3"], timeout=15, cap=1 << 20).code == 3
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("errors", ["full", "unread"])
def test_time_limit_holds_where_nobody_can_be_told(errors: str, tmp_path: Path) -> None:
    guest = ROOT / "tests/guests" / ("sleep_hour.wat" if errors == "full" else "print_forever.wat")
    argv = [sys.executable, "-m", "wasmdock", "run", "--on", "process", "--timeout", "1s", str(guest)]
    reader, writer = os.pipe()
    with Path("/dev/full").open("wb") as full:
        place = full.fileno() if errors == "full" else writer
        done = subprocess.run(argv, stdout=place, stderr=place, timeout=30)
    os.close(reader)
    os.close(writer)
    assert done.returncode == 124
