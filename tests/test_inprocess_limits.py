"""What a guest may use at most in this process, and how it is told apart from its own failures."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.wat import image_of
from wasmdock.inprocess import InProcessRuntime, needs_own_process
from wasmdock.pack import Entry, entry, extract
from wasmdock.programs import Programs
from wasmdock.runtime import MIB, Limits, Mount, Outcome, RunRequest, RunResult, Stdio

SOON = 20.0  # seconds; generous: what is limited to a fraction of a second must not take for ever


def run(runtime: InProcessRuntime, name: str, limits: Limits) -> RunResult:
    return runtime.run(sample(name), RunRequest(limits=limits))


@pytest.mark.parametrize("name", ["spin", "sleep_hour", "print_forever"])
def test_time_limit_ends_a_guest_whatever_it_does(runtime: InProcessRuntime, name: str) -> None:
    """In a loop, asleep in a host call, or printing without end."""
    started = time.monotonic()
    result = run(runtime, name, Limits(timeout=0.2, output=None))
    assert (result.outcome, result.exit_code) == (Outcome.TIMED_OUT, 124)
    assert result.message == "the time limit of 0.2 s is over (--timeout)"
    assert 0.2 <= time.monotonic() - started < SOON


def test_time_limit_keeps_what_was_printed_before(runtime: InProcessRuntime) -> None:
    result = run(runtime, "print_forever", Limits(timeout=0.1))
    assert result.stdout.startswith(b"xxxx")


def test_guest_that_ends_in_time_is_not_timed_out(runtime: InProcessRuntime) -> None:
    assert run(runtime, "hello", Limits(timeout=30)).outcome is Outcome.EXITED


def test_component_is_stopped_at_its_time_limit(runtime: InProcessRuntime) -> None:
    image = image_of("""(component
      (core module $m (func (export "run") (result i32) (loop $again (br $again)) (i32.const 0)))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $cli (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $cli)))""")
    assert runtime.run(image, RunRequest(limits=Limits(timeout=0.1))).outcome is Outcome.TIMED_OUT


def test_start_function_is_stopped_at_the_time_limit(runtime: InProcessRuntime) -> None:
    image = image_of("""(module (func $first (loop $again (br $again))) (start $first) (func (export "_start")))""")
    assert runtime.run(image, RunRequest(limits=Limits(timeout=0.1))).outcome is Outcome.TIMED_OUT


def test_guest_that_cannot_wait_needs_no_process_of_its_own(tmp_path: Path) -> None:
    programs = Programs(None)
    spin, sleep = (programs.load(*_parts(name), Limits()).program for name in ("spin", "sleep_hour"))
    limits = Limits(timeout=1)
    assert not needs_own_process(spin, RunRequest(limits=limits))
    assert not needs_own_process(sleep, RunRequest())
    assert needs_own_process(sleep, RunRequest(limits=limits))
    for request in (
        RunRequest(limits=limits, interactive=True),
        RunRequest(limits=limits, stdio=Stdio.INHERIT),
        RunRequest(limits=limits, mounts=(Mount(tmp_path, "/"),)),
    ):
        assert needs_own_process(spin, request)


def _parts(name: str) -> tuple[bytes, Entry]:
    return extract(sample(name)), entry(sample(name))


def test_caller_that_may_end_is_told_of_a_stuck_guest_instead() -> None:
    """What the command line does: no second process, its own end."""
    told: list[RunResult] = []
    stuck = threading.Event()

    def on_stuck(result: RunResult) -> None:
        told.append(result)
        stuck.set()
        threading.Event().wait()  # must not return

    runtime = InProcessRuntime(on_stuck=on_stuck)
    request = RunRequest(limits=Limits(timeout=0.1))
    threading.Thread(target=lambda: runtime.run(sample("sleep_hour"), request), daemon=True).start()
    assert stuck.wait(SOON)
    assert (told[0].outcome, told[0].exit_code) == (Outcome.TIMED_OUT, 124)


def test_output_beyond_its_cap_ends_the_guest(runtime: InProcessRuntime) -> None:
    result = run(runtime, "print_forever", Limits(output=100_000))
    assert (result.outcome, result.exit_code, len(result.stdout)) == (Outcome.TRAPPED, 134, 100_000)
    assert result.message == "stopped: more than 100000 bytes of output that nobody read"


def test_output_beyond_its_cap_is_told_of_a_guest_that_ended_too(runtime: InProcessRuntime) -> None:
    result = run(runtime, "stdout_and_stderr", Limits(output=9))
    assert (result.outcome, result.stdout, result.stderr) == (Outcome.TRAPPED, b"to stdout", b"to stderr")


def test_output_of_exactly_the_cap_is_no_failure(runtime: InProcessRuntime) -> None:
    result = run(runtime, "stdout_and_stderr", Limits(output=10))
    assert (result.outcome, result.stdout) == (Outcome.EXITED, b"to stdout\n")


def test_capturing_much_output_takes_no_more_memory_than_the_cap(runtime: InProcessRuntime) -> None:
    result = run(runtime, "print_gigabyte", Limits(output=8 * MIB))
    assert (result.outcome, len(result.stdout)) == (Outcome.TRAPPED, 8 * MIB)


def test_fuel_is_counted_and_its_end_is_a_trap(runtime: InProcessRuntime) -> None:
    assert run(runtime, "hello", Limits(fuel=10_000)).outcome is Outcome.EXITED
    result = run(runtime, "spin", Limits(fuel=10_000))
    assert (result.outcome, result.exit_code) == (Outcome.TRAPPED, 134)
    assert result.message.startswith("wasm trap: all fuel consumed by WebAssembly")


def test_memory_limit_below_what_the_guest_declares_refuses_it(runtime: InProcessRuntime) -> None:
    result = run(runtime, "big_memory", Limits(memory=2_000_000))
    assert (result.outcome, result.exit_code) == (Outcome.OUT_OF_MEMORY, 137)
    assert result.message == (
        "out of memory: memory minimum size of 100 pages exceeds memory limits (2000000 bytes, set by --memory)"
    )


def test_guest_that_grows_its_memory_without_end_runs_out_of_it(runtime: InProcessRuntime) -> None:
    result = run(runtime, "grow_memory", Limits(memory=8 * MIB))
    assert (result.outcome, result.exit_code) == (Outcome.OUT_OF_MEMORY, 137)
    assert result.message.startswith(
        "out of memory with 7.0625 MiB in use: at most 8 MiB are allowed (--memory), it asked for 8.0625 MiB\n"
        "wasm `unreachable` instruction executed\n    0:     0x40 - "
    )


PANIC = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") {pages}) (data (i32.const 0) "\\10\\00\\00\\00\\28\\00\\00\\00")
  (data (i32.const 16) "memory allocation of 999999 bytes failed")
  (func (export "_start")
    {growth} (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) unreachable))"""


@pytest.mark.parametrize(
    "pages, growth, outcome",
    [
        (1, "", Outcome.TRAPPED),
        (128, "", Outcome.TRAPPED),
        (1, "(drop (memory.grow (i32.const 127)))", Outcome.TRAPPED),
        (1, "(drop (memory.grow (i32.const 128)))", Outcome.OUT_OF_MEMORY),
        (1, "(drop (memory.grow (i32.const -1)))", Outcome.OUT_OF_MEMORY),
        ("1 4", "(drop (memory.grow (i32.const 128)))", Outcome.TRAPPED),  # its own maximum, not our limit
        ("1 999", "(drop (memory.grow (i32.const 128)))", Outcome.OUT_OF_MEMORY),
    ],
)
@pytest.mark.parametrize("stdio", [Stdio.CAPTURE, Stdio.INHERIT])
def test_guest_is_out_of_memory_where_a_growth_was_refused_whatever_it_says(
    runtime: InProcessRuntime, pages: object, growth: str, outcome: Outcome, stdio: Stdio
) -> None:
    image = image_of(PANIC.format(pages=pages, growth=growth))
    result = runtime.run(image, RunRequest(limits=Limits(memory=8 * MIB), stdio=stdio))
    assert (result.outcome, "out of memory" in result.message) == (outcome, outcome is Outcome.OUT_OF_MEMORY)


def test_refused_growth_that_a_guest_survives_is_told_with_another_trap(runtime: InProcessRuntime) -> None:
    image = image_of("""(module (memory 1) (func (export "_start")
      (drop (memory.grow (i32.const 999))) (drop (i32.div_u (i32.const 1) (i32.const 0)))))""")
    result = runtime.run(image, RunRequest(limits=Limits(memory=MIB)))
    assert (result.outcome, result.exit_code) == (Outcome.TRAPPED, 134)
    assert result.message.startswith(
        "wasm trap: integer divide by zero (memory was refused before: at most 1 MiB are allowed (--memory), it asked"
    )


@pytest.mark.parametrize(
    "pages, memory, outcome",
    [(999, MIB, Outcome.OUT_OF_MEMORY), (9, MIB, Outcome.TRAPPED), (99999, None, Outcome.TRAPPED)],
)
def test_component_is_out_of_memory_where_a_growth_was_refused(
    runtime: InProcessRuntime, pages: int, memory: int | None, outcome: Outcome
) -> None:
    image = image_of(f"""(component
      (core module $m (memory 1)
        (func $end (if (i32.const 1) (then unreachable)))
        (func (export "run") (result i32) (drop (memory.grow (i32.const {pages}))) (call $end) (i32.const 0)))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $cli (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $cli)))""")
    result = runtime.run(image, RunRequest(limits=Limits(memory=memory)))
    is_full = outcome is Outcome.OUT_OF_MEMORY
    assert (result.outcome, result.message.startswith("out of memory: at most 1 MiB")) == (outcome, is_full)
    frames = [line for line in result.message.splitlines() if " - " in line]
    assert [line.split(":")[0].strip() for line in frames] == ["0", "1"] and frames[0].endswith("m!end")


def test_refusal_in_a_guest_that_is_not_read_is_told_as_what_may_have_been(runtime: InProcessRuntime) -> None:
    image = image_of("""(module (memory 1) (type $s (struct)) (func (export "_start") (local (ref null $s))
      (drop (memory.grow (i32.const 999))) unreachable))""")
    result = runtime.run(image, RunRequest(limits=Limits(memory=MIB)))
    assert (result.outcome, result.exit_code) == (Outcome.TRAPPED, 134)
    assert "perhaps as its memory may not grow beyond 1 MiB (--memory)" in result.message
    assert "perhaps" not in runtime.run(image, RunRequest(limits=Limits(memory=None))).message


def test_memories_of_a_guest_share_one_limit(runtime: InProcessRuntime) -> None:
    memories = "(memory 64)" * 4
    image = image_of(f'(module {memories} (func (export "_start")))')
    assert runtime.run(image, RunRequest(limits=Limits(memory=16 * MIB))).outcome is Outcome.EXITED
    assert runtime.run(image, RunRequest(limits=Limits(memory=15 * MIB))).outcome is Outcome.OUT_OF_MEMORY


def test_component_cannot_multiply_its_memory_by_instances(runtime: InProcessRuntime) -> None:
    image = image_of("""(component
      (core module $m (memory 1) (func (export "run") (result i32) (i32.const 0)))
      (core instance (instantiate $m)) (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $cli (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $cli)))""")
    assert runtime.run(image, RunRequest(limits=Limits(memory=3 << 15))).outcome is Outcome.OUT_OF_MEMORY
    assert runtime.run(image, RunRequest(limits=Limits(memory=2 << 16))).outcome is Outcome.EXITED
    assert runtime.run(image, RunRequest()).outcome is Outcome.EXITED


def test_garbage_collected_heap_is_limited_too(runtime: InProcessRuntime) -> None:
    image = image_of("""(module (type $bytes (array (mut i64)))
      (func (export "_start") (drop (array.new_default $bytes (i32.const 100000000)))))""")
    result = runtime.run(image, RunRequest(limits=Limits(memory=8 * MIB)))
    assert result.outcome is Outcome.OUT_OF_MEMORY
    assert "GC heap out of memory" in result.message


def test_tables_are_limited(runtime: InProcessRuntime) -> None:
    result = run(runtime, "grow_table", Limits(tables=100_000))
    assert (result.outcome, result.exit_code) == (Outcome.TRAPPED, 134)
    cause = "perhaps as its tables may not grow beyond 100000 elements (--tables)"
    assert result.message.startswith(f"wasm trap: wasm `unreachable` instruction executed, {cause}\n")
    assert "--tables" not in run(runtime, "trap", Limits()).message
    assert run(runtime, "hello", Limits(tables=0)).outcome is Outcome.EXITED


def test_lifted_limits_let_a_guest_have_what_it_declares(runtime: InProcessRuntime) -> None:
    limits = Limits(memory=None, tables=None, output=None)
    assert run(runtime, "big_memory", limits).outcome is Outcome.EXITED


def test_guests_in_many_threads_do_not_disturb_each_other(runtime: InProcessRuntime) -> None:
    """Different guests and limits at once: each ends as it would alone."""
    cases = [
        ("hello", Limits(timeout=20), Outcome.EXITED),
        ("spin", Limits(timeout=0.1), Outcome.TIMED_OUT),
        ("grow_memory", Limits(memory=8 * MIB), Outcome.OUT_OF_MEMORY),
        ("trap", Limits(), Outcome.TRAPPED),
        ("spin", Limits(fuel=100_000), Outcome.TRAPPED),
        ("print_forever", Limits(output=100_000), Outcome.TRAPPED),
        ("args", Limits(timeout=20, memory=MIB), Outcome.EXITED),
        ("component_cli", Limits(), Outcome.EXITED),
    ]

    def repeat(case: tuple[str, Limits, Outcome]) -> set[Outcome]:
        return {run(runtime, case[0], case[1]).outcome for _ in range(8)}

    with ThreadPoolExecutor(len(cases)) as pool:
        assert list(pool.map(repeat, cases)) == [{case[2]} for case in cases]


def test_output_of_guests_in_many_threads_is_not_mixed(runtime: InProcessRuntime) -> None:
    def echo(number: int) -> bool:
        data = bytes([number]) * 300_000
        return all(runtime.run(sample("cat"), RunRequest(stdin=data)).stdout == data for _ in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(echo, range(8)))


def test_timed_out_guest_does_not_end_others(runtime: InProcessRuntime) -> None:
    with ThreadPoolExecutor(2) as pool:
        longer = pool.submit(run, runtime, "spin", Limits(timeout=0.6))
        assert run(runtime, "spin", Limits(timeout=0.1)).outcome is Outcome.TIMED_OUT
        assert not longer.done()
        assert sum(longer.result().phases.values()) >= 0.6


def test_forked_process_runs_guests_of_its_own(runtime: InProcessRuntime) -> None:
    """Two processes must not share the pipes that are kept ready."""
    image = sample("args")
    assert runtime.run(image, RunRequest()).stdout == b"/args.wasm\n"
    child = os.fork()
    if child == 0:
        results = {runtime.run(image, RunRequest(args=("child",))).stdout for _ in range(300)}
        os._exit(0 if results == {b"/args.wasm\nchild\n"} else 1)
    results = {runtime.run(image, RunRequest(args=("parent",))).stdout for _ in range(300)}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert results == {b"/args.wasm\nparent\n"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read the use of memory from")
def test_thousands_of_runs_leave_no_memory_and_no_descriptors_behind(runtime: InProcessRuntime) -> None:
    def use() -> tuple[int, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE"), len(list(Path("/proc/self/fd").iterdir()))

    def runs(count: int) -> None:
        for name in ("hello", "trap", "exit_code", "component_cli"):
            image = sample(name)
            for _ in range(count // 4):
                runtime.run(image, RunRequest(stdin=b"x" * 1000, env={"A": "B"}))

    runs(400)
    memory, descriptors = use()
    runs(2000)
    assert use()[0] - memory < 4 * MIB
    assert use()[1] <= descriptors
