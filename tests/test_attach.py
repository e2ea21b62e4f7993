"""Programs on our own streams: what is passed on and held back, whose Ctrl-C it is, and who dies with whom."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wasmdock.attach import attach_command
from wasmdock.passing import is_unread

ATTACH = "import sys; from wasmdock.attach import attach_command; "
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who sent a signal, and when a parent died")


def _start_on_terminal(script: str) -> tuple["subprocess.Popen[bytes]", int]:
    master, slave = pty.openpty()
    code = f"{ATTACH}print(attach_command(['sh', '-c', {script!r}], timeout=30).code)"
    argv = ["setsid", "--ctty", sys.executable, "-c", code]
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    return process, master


def _read_to_end(master: int) -> str:
    text = b""
    try:
        while chunk := os.read(master, 4096):
            text += chunk
    except OSError:  # how a terminal on Linux says that its other end is closed
        pass
    os.close(master)
    return text.decode()


@linux
def test_an_interrupt_of_us_alone_is_passed_on_at_a_terminal_too() -> None:
    process, master = _start_on_terminal("echo ready; exec sleep 20")
    assert os.read(master, 64).startswith(b"ready")
    time.sleep(0.5)  # until it listens to signals
    os.kill(process.pid, signal.SIGINT)
    assert (_read_to_end(master).split()[-1], process.wait(10)) == ("-2", 0)


@linux
def test_ctrl_c_at_a_terminal_reaches_the_program_once() -> None:
    process, master = _start_on_terminal("trap 'echo got' INT; echo ready; for i in 1 2 3 4 5; do sleep 0.3; done")
    assert os.read(master, 64).startswith(b"ready")
    time.sleep(0.5)
    os.write(master, b"\x03")
    assert _read_to_end(master).count("got") == 1
    assert process.wait(10) == 0


@linux
def test_a_program_is_told_to_end_where_we_are_killed(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    script = f"trap 'echo 1 > {ended}; exit' TERM; echo ready; for i in $(seq 200); do sleep 0.1; done"
    code = f"{ATTACH}attach_command(['sh', '-c', {script!r}], timeout=None)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.kill()
    until = time.monotonic() + 10
    while not ended.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert ended.exists()


def _held(script: str, capfd: pytest.CaptureFixture[str]) -> tuple[str, bytes]:
    done = attach_command(["sh", "-c", script], timeout=20, stderr_tail=99, hold=("docker: ",))
    return capfd.readouterr().err, done.withheld


def test_what_may_be_a_last_word_is_held_back_from_the_start_of_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    script = "printf 'a docker: b\\ndoc' >&2; sleep 0.1; printf 'ker: no\\nSee it\\n' >&2"
    assert _held(script, capfd) == ("a docker: b\n", b"docker: no\nSee it\n")


@pytest.mark.parametrize("more", ["sleep 1", "sleep 0.1; printf tor >&2"], ids=["it goes on", "it reads otherwise"])
def test_what_was_no_last_word_is_passed_on_soon(capfd: pytest.CaptureFixture[str], more: str) -> None:
    assert _held(f"printf doc >&2; {more}", capfd)[1] == b""


def test_a_program_notices_that_nobody_reads_what_passes_through_us() -> None:
    code = f"{ATTACH}sys.exit(128 - attach_command(['yes'], timeout=20, cap=1 << 40).code)"
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert os.read(reader, 2) == b"y\n"
        os.close(reader)
        assert process.wait(20) in (129, 127, 141)  # SIGPIPE, or its own word for EPIPE


def test_a_pipe_without_a_reader_is_told_from_one_that_is_slow() -> None:
    reader, writer = os.pipe()
    before = is_unread(writer)
    os.close(reader)
    assert (before, is_unread(writer)) == (False, True)
    os.close(writer)
