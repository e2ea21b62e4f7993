import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wasmdock.attach import attach_command
from wasmdock.errors import CommandError, UnavailableError, UsageError
from wasmdock.process import run_command


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("process.KILL_GRACE", "process.ASKED_GRACE", "attach.KILL_GRACE", "attach.ASKED_GRACE"):
        monkeypatch.setattr(f"wasmdock.{name}", 0.3)


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def _is_running(pid: int) -> bool:
    """Whether a process runs; a zombie waiting for a slow init does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_run_command_keeps_both_streams_and_the_exit_code() -> None:
    done = run_command(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert (done.stdout, done.stderr, done.code) == (b"out\n", b"err\n", 3)
    assert not done.timed_out and not done.truncated


def test_run_command_gives_the_whole_of_stdin() -> None:
    data = os.urandom(1 << 20)
    assert run_command(["cat"], timeout=10, stdin=data).stdout == data


def test_run_command_without_stdin_gives_the_empty_stream() -> None:
    assert run_command(["cat"], timeout=10).stdout == b""


def test_run_command_survives_a_program_that_does_not_read_stdin() -> None:
    assert run_command(["true"], timeout=10, stdin=b"x" * (1 << 20)).code == 0


def test_run_command_shows_output_as_it_comes() -> None:
    seen: list[bytes] = []
    run_command(["sh", "-c", "echo one; sleep 0.05; echo two >&2"], timeout=10, on_output=seen.append)
    assert seen == [b"one\n", b"two\n"]


def test_run_command_shows_stderr_alone_to_whoever_wants_only_that() -> None:
    seen: list[bytes] = []
    run_command(["sh", "-c", "echo one; echo two >&2"], timeout=10, on_stderr=seen.append)
    assert seen == [b"two\n"]


def test_run_command_drops_what_is_beyond_the_cap_and_says_so() -> None:
    done = run_command(["sh", "-c", "yes | head -c 1000000"], timeout=10, cap=1000)
    assert (len(done.stdout), done.truncated, done.code) == (1000, True, 0)


def test_run_command_tells_once_that_the_cap_is_passed() -> None:
    calls: list[str] = []
    run_command(["sh", "-c", "yes | head -c 1000000"], timeout=10, cap=9, on_overflow=lambda: calls.append("x"))
    assert calls == ["x"]


def test_run_command_ends_the_program_and_its_children_at_the_deadline() -> None:
    done = run_command(["sh", "-c", "sleep 60 & echo $!; wait"], timeout=0.3)
    assert done.timed_out and done.seconds < 2
    time.sleep(0.05)
    assert not _is_running(int(done.stdout))


def test_run_command_kills_a_program_that_ignores_sigterm() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    done = run_command(_python(code), timeout=0.5)
    assert (done.stdout, done.timed_out, done.code) == (b"1\n", True, -signal.SIGKILL)
    assert done.seconds < 5


def test_run_command_calls_on_timeout_before_it_signals() -> None:
    calls: list[str] = []
    done = run_command(["sleep", "60"], timeout=0.1, on_timeout=lambda: calls.append("asked"))
    assert (calls, done.timed_out) == (["asked"], True)


def test_run_command_does_not_wait_for_a_daemon_that_holds_its_pipes() -> None:
    done = run_command(["sh", "-c", "sleep 20 & echo $!"], timeout=10)
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.code == 0 and done.seconds < 2


def test_run_command_waits_for_a_program_that_closed_its_outputs() -> None:
    done = run_command(["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4"], timeout=10)
    assert done.code == 4


def test_run_command_names_a_missing_program() -> None:
    with pytest.raises(UnavailableError, match='running "no-such-program": no such program') as caught:
        run_command(["no-such-program"], timeout=1)
    assert "install no-such-program" in caught.value.hint


def test_run_command_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        run_command(["true"], timeout=1, cwd=tmp_path / "gone")


def test_run_command_names_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("not a program")
    with pytest.raises(UnavailableError, match="Permission denied"):
        run_command([str(program)], timeout=1)


def test_run_command_leaks_no_file_descriptor() -> None:
    run_command(["true"], timeout=10)
    before = _open_files()
    for _ in range(5):
        run_command(["cat"], timeout=10, stdin=b"x")
    assert _open_files() == before


def test_an_exception_in_on_output_ends_the_program() -> None:
    def refuse(_chunk: bytes) -> None:
        raise OverflowError

    began = time.monotonic()
    with pytest.raises(OverflowError):
        run_command(["yes"], timeout=30, on_output=refuse)
    assert time.monotonic() - began < 5


def test_ctrl_c_ends_the_program_and_then_reaches_the_caller(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, signal, sys, threading\n"
        "from wasmdock.process import run_command\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try: run_command(['sh', '-c', 'echo $$ > ' + sys.argv[1] + '; exec sleep 60'], timeout=50)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    done = subprocess.run([*_python(code), str(pid)], capture_output=True, timeout=20, check=True)
    assert done.stdout == b"interrupted\n"
    assert not _is_running(int(pid.read_text()))


def test_check_returns_a_success_and_raises_the_end_of_stderr() -> None:
    done = run_command(["true"], timeout=10)
    assert done.check("trying") is done
    with pytest.raises(CommandError, match="trying: sh: exit code 7: last word") as caught:
        run_command(["sh", "-c", "echo first >&2; echo last word >&2; exit 7"], timeout=10).check("trying")
    assert (caught.value.code, caught.value.stderr) == (7, "first\nlast word")


def test_check_says_that_a_deadline_passed() -> None:
    with pytest.raises(CommandError, match="no end after"):
        run_command(["sleep", "9"], timeout=0.1).check("waiting")


def test_attach_command_shares_our_streams(capfd: pytest.CaptureFixture[str]) -> None:
    done = attach_command(["sh", "-c", "cat; exit 5"], timeout=10, stdin=b"through\n")
    assert (done.code, capfd.readouterr().out) == (5, "through\n")


def test_attach_command_without_stdin_gives_the_empty_stream() -> None:
    assert attach_command(["sh", "-c", "read line"], timeout=10).code == 1


def test_attach_command_ends_the_program_at_the_deadline() -> None:
    calls: list[str] = []
    done = attach_command(["sleep", "60"], timeout=0.1, on_timeout=lambda: calls.append("asked"))
    assert (calls, done.timed_out, done.code) == (["asked"], True, -signal.SIGTERM)


def test_attach_command_passes_sigterm_and_a_lone_ctrl_c_on() -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from wasmdock.attach import attach_command\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), int(sys.argv[1]))).start()\n"
        "print(attach_command(['sleep', '60'], timeout=50).code)\n"
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        argv = [*_python(code), str(int(number))]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True)
        assert int(done.stdout) == -number


def test_attach_command_passes_stderr_through_and_keeps_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    done = attach_command(["sh", "-c", "echo 12345678 >&2"], timeout=None, stderr_tail=4)
    assert (done.stderr, capfd.readouterr().err) == (b"678\n", "12345678\n")
