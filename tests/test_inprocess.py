"""Images run in this very process: how each ends, and what it gets and does not get."""

import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import GUESTS, sample
from tests.wat import image_of
from wasmdock.engine import assemble
from wasmdock.errors import CommandError, GuestError, UnavailableError, UsageError
from wasmdock.guest import Artifact, Target
from wasmdock.inprocess import InProcessRuntime, check_mounts
from wasmdock.pack import pack
from wasmdock.programs import Programs
from wasmdock.runtime import MIB, Limits, Mount, Outcome, RunRequest

EXITED, TRAPPED, OUT_OF_MEMORY = Outcome.EXITED, Outcome.TRAPPED, Outcome.OUT_OF_MEMORY
HELLO = b"Hello from a sample guest!\n"
TABLE = [
    # guest, outcome, exit code, stdout, stderr, what the message begins with
    ("hello", EXITED, 0, HELLO, b"", ""),
    ("exit_code", EXITED, 7, b"", b"", ""),
    ("stdout_and_stderr", EXITED, 0, b"to stdout\n", b"to stderr\n", ""),
    ("args", EXITED, 0, b"/args.wasm\n", b"", ""),
    ("environ", EXITED, 0, b"", b"", ""),
    ("cat", EXITED, 0, b"", b"", ""),
    ("big_memory", EXITED, 0, b"", b"", ""),
    ("component_cli", EXITED, 0, b"Hello from a component!\n", b"", ""),
    ("component_fails", EXITED, 1, b"", b"", ""),
    ("trap", TRAPPED, 134, b"", b"", "wasm trap: wasm `unreachable` instruction executed\n"),
    ("divide_by_zero", TRAPPED, 134, b"", b"", "wasm trap: integer divide by zero\n"),
    ("stack_overflow", TRAPPED, 134, b"", b"", "wasm trap: call stack exhausted (--stack)\n"),
    ("grow_table", TRAPPED, 134, b"", b"", "wasm trap: wasm `unreachable` instruction executed, perhaps as its tables"),
    ("grow_memory", OUT_OF_MEMORY, 137, b"", b"", "out of memory with 511.062 MiB in use: at most 512 MiB are allowed"),
]


@pytest.mark.parametrize("name, outcome, code, stdout, stderr, message", TABLE, ids=[row[0] for row in TABLE])
def test_run_tells_how_the_guest_ended(
    runtime: InProcessRuntime, name: str, outcome: Outcome, code: int, stdout: bytes, stderr: bytes, message: str
) -> None:
    result = runtime.run(sample(name), RunRequest())
    assert (result.outcome, result.exit_code) == (outcome, code)
    assert (result.stdout, result.stderr) == (stdout, stderr)
    assert result.message.startswith(message)
    assert bool(result.message) == bool(message)


@pytest.mark.parametrize("code", [0, 1, 42, 125, 126, 137, 200, 255])
def test_exit_code_is_the_guests_own(runtime: InProcessRuntime, code: int) -> None:
    image = image_of(f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))""")
    result = runtime.run(image, RunRequest())
    assert (result.outcome, result.exit_code) == (EXITED, code)


def test_trap_shows_the_backtrace_from_the_inside_out(runtime: InProcessRuntime) -> None:
    lines = runtime.run(sample("trap"), RunRequest()).message.splitlines()
    assert [line.rpartition("!")[2] for line in lines[1:]] == ["deepest", "middle", "_start"]


def test_this_process_goes_on_after_every_ending(runtime: InProcessRuntime) -> None:
    for name in ("stack_overflow", "trap", "grow_memory", "divide_by_zero"):
        runtime.run(sample(name), RunRequest(limits=Limits(memory=8 * MIB)))
    assert runtime.run(sample("hello"), RunRequest()).stdout == HELLO


def test_each_run_starts_from_a_fresh_instance(runtime: InProcessRuntime) -> None:
    image = image_of("""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (global $runs (mut i32) (i32.const 1))
      (func (export "_start")
        (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (global.get $runs)))
        (global.set $runs (i32.const 40)) (call $exit (i32.load8_u (i32.const 0)))))""")
    assert [runtime.run(image, RunRequest()).exit_code for _ in range(3)] == [1, 1, 1]


def test_peak_memory_is_what_the_guest_had_at_its_end(runtime: InProcessRuntime) -> None:
    assert runtime.run(sample("big_memory"), RunRequest()).peak_memory == 100 * 65536
    result = runtime.run(sample("grow_memory"), RunRequest(limits=Limits(memory=8 * MIB)))
    assert result.peak_memory == 65536 + 7 * MIB


def test_peak_memory_that_cannot_be_seen_is_none(runtime: InProcessRuntime) -> None:
    assert runtime.run(image_of('(module (memory 1) (func (export "_start")))'), RunRequest()).peak_memory is None


def test_phases_hold_the_seconds_of_the_run(runtime: InProcessRuntime) -> None:
    phases = runtime.run(sample("hello"), RunRequest()).phases
    assert 0 < phases["instantiate"] < 10 and 0 < phases["run"] < 10


def test_instance_that_could_not_be_made_ran_for_no_time(runtime: InProcessRuntime) -> None:
    phases = runtime.run(sample("big_memory"), RunRequest(limits=Limits(memory=MIB))).phases
    assert list(phases) == ["instantiate"]


def test_guests_own_time_is_told_from_that_of_making_it(runtime: InProcessRuntime) -> None:
    image, limits = sample("spin"), Limits(timeout=0.3)
    runtime.run(image, RunRequest(limits=limits))
    phases = runtime.run(image, RunRequest(limits=limits)).phases
    assert 0 < phases["instantiate"] < phases["run"]


def test_result_can_be_sent_to_another_process(runtime: InProcessRuntime) -> None:
    result = runtime.run(sample("trap"), RunRequest())
    assert pickle.loads(pickle.dumps(result)) == result


def test_arguments_follow_the_entrypoint(runtime: InProcessRuntime) -> None:
    result = runtime.run(sample("args"), RunRequest(args=("one", "", "three four", "-x", "ü")))
    assert result.stdout.decode() == "/args.wasm\none\n\nthree four\n-x\nü\n"


def test_arguments_replace_the_images_own(runtime: InProcessRuntime) -> None:
    image = pack(Artifact("args", Target.WASIP1, assemble((GUESTS / "args.wat").read_bytes(), "x")), args=("default",))
    assert runtime.run(image, RunRequest()).stdout == b"/args.wasm\ndefault\n"
    assert runtime.run(image, RunRequest(args=("given",))).stdout == b"/args.wasm\ngiven\n"


def test_environment_is_the_images_and_the_requests_over_it(runtime: InProcessRuntime) -> None:
    data = assemble((GUESTS / "environ.wat").read_bytes(), "x")
    image = pack(Artifact("environ", Target.WASIP1, data), env={"A": "image", "B": "image"})
    result = runtime.run(image, RunRequest(env={"B": "request", "C": "x=y z"}))
    assert sorted(result.stdout.decode().splitlines()) == ["A=image", "B=request", "C=x=y z"]


@pytest.mark.parametrize("data", [b"", b"one\ntwo", bytes(range(256)) * 4096])
def test_stdin_is_given_whole(runtime: InProcessRuntime, data: bytes) -> None:
    assert runtime.run(sample("cat"), RunRequest(stdin=data)).stdout == data


def test_entrypoint_may_name_an_export(runtime: InProcessRuntime) -> None:
    image = image_of('(module (func (export "go") unreachable))', entrypoint=("/guest.wasm#go",))
    assert runtime.run(image, RunRequest()).outcome is TRAPPED


def test_missing_export_in_the_entrypoint_names_those_there_are(runtime: InProcessRuntime) -> None:
    image = image_of('(module (func (export "go")))', entrypoint=("/guest.wasm#gone",))
    with pytest.raises(GuestError, match='at "gone": it exports no such function') as raised:
        runtime.run(image, RunRequest())
    assert raised.value.hint == "it exports: go"


def test_library_cannot_be_run(runtime: InProcessRuntime) -> None:
    for name in ("add", "component_lib"):
        with pytest.raises(GuestError, match="it is a library, not a command") as raised:
            runtime.run(sample(name), RunRequest())
        assert "wasmdock invoke" in raised.value.hint


def test_component_is_not_started_at_an_export(runtime: InProcessRuntime) -> None:
    data = assemble((GUESTS / "component_lib.wat").read_bytes(), "x")
    image = pack(Artifact("lib", Target.WASIP2, data), entrypoint=("/lib.wasm#is-even",))
    with pytest.raises(GuestError, match="only a core module's export can be an entrypoint"):
        runtime.run(image, RunRequest())


def test_http_component_says_where_it_can_run(runtime: InProcessRuntime) -> None:
    text = """(component (component $c) (instance $i (instantiate $c))
      (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"""
    with pytest.raises(UnavailableError, match="wasi:http") as raised:
        runtime.run(image_of(text), RunRequest())
    assert "--on docker" in raised.value.hint


def test_unknown_import_is_named(runtime: InProcessRuntime) -> None:
    with pytest.raises(GuestError, match="env::missing"):
        runtime.run(sample("needs_import"), RunRequest())


def test_prepared_image_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = InProcessRuntime(tmp_path / "code")
    runtime.prepare(sample("hello"))
    monkeypatch.setattr("wasmdock.engine.compiler.Engine._load", None)
    assert runtime.run(sample("hello"), RunRequest()).stdout == HELLO


def test_most_prepared_images_are_kept_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.programs._MOST_PROGRAMS", 2)
    programs = Programs(None)
    for name in ("hello", "trap", "args", "hello"):
        programs.of_image(sample(name), Limits())
    assert [digest for digest, _ in programs._prepared] == [sample(name).digest for name in ("args", "hello")]


def test_mount_that_is_no_folder_is_a_usage_error(runtime: InProcessRuntime, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, cause in ((tmp_path / "missing", "no such folder"), (tmp_path / "file", "it is a file")):
        with pytest.raises(UsageError, match=f'mounting "{path}" at "/data": {cause}'):
            runtime.run(sample("hello"), RunRequest(mounts=(Mount(path, "/data"),)))


def test_mount_that_cannot_be_looked_at_is_a_usage_error() -> None:
    path = Path("/") / ("x" * 300)  # as a folder that may not be searched, which root always may
    with pytest.raises(UsageError, match=": File name too long$") as caught:
        check_mounts(RunRequest(mounts=(Mount(path, "/data"),)))
    assert caught.value.message.startswith(f'mounting "{path}" at "/data"')
    assert "namei -l" in caught.value.hint


def test_ctrl_c_in_the_main_thread_ends_the_guest_and_is_raised() -> None:
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        InProcessRuntime().run(sample("spin"), RunRequest(limits=Limits(timeout=30)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_child_that_dies_is_a_command_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(CommandError, match="running the guest in a child process: it died") as raised:
        InProcessRuntime().run(sample("sleep_hour"), RunRequest(limits=Limits(timeout=5)))
    assert raised.value.code == 1


def test_child_raises_what_the_run_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    monkeypatch.setattr("wasmdock.inprocess.check_mounts", lambda _: None)  # as if it were removed just then
    with pytest.raises(GuestError, match=f'granting directory "{folder}": it cannot be opened') as raised:
        InProcessRuntime().run(sample("hello"), RunRequest(mounts=(Mount(folder, "/"),), limits=Limits(timeout=5)))
    assert raised.value.hint == "check that it exists and is readable"


def test_child_takes_its_modules_from_where_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('the folder we happen to be in')")
    monkeypatch.chdir(tmp_path)
    request = RunRequest(mounts=(Mount(tmp_path, "/"),), limits=Limits(timeout=20))
    assert InProcessRuntime().run(sample("hello"), request).stdout == HELLO


def test_exit_code_of_one_thread_is_not_anothers(runtime: InProcessRuntime) -> None:
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {}))))"""
    images = [image_of(text.format(code)) for code in range(200, 208)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            codes = pool.map(lambda image: runtime.run(image, RunRequest()).exit_code, images)
            assert list(codes) == list(range(200, 208))
