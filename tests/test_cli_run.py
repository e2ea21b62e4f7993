"""wasmdock run: streams, signals, limits and exit codes, as a shell sees them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import CommandLine, guest

HELLO = b"Hello from a sample guest!\n"
GIGABYTE = 1 << 30


def test_run_gives_what_the_guest_printed_and_nothing_else(wasmdock: CommandLine) -> None:
    done = wasmdock("run", guest("hello"))
    assert (done.code, done.stdout, done.stderr) == (0, HELLO, "")


def test_run_gives_the_guests_exit_code(wasmdock: CommandLine) -> None:
    done = wasmdock("run", guest("exit_code"))
    assert (done.code, done.stdout, done.stderr) == (7, b"", "")


def test_run_keeps_the_two_outputs_apart(wasmdock: CommandLine) -> None:
    done = wasmdock("run", guest("stdout_and_stderr"))
    assert (done.stdout, done.stderr) == (b"to stdout\n", "to stderr\n")


def test_run_of_a_component(wasmdock: CommandLine) -> None:
    assert wasmdock("run", guest("component_cli")).stdout == b"Hello from a component!\n"
    assert wasmdock("run", guest("component_fails")).code == 1


def test_everything_after_the_image_is_the_guests(wasmdock: CommandLine) -> None:
    done = wasmdock("run", guest("args"), "--timeout", "-e", "A=1", "--", "--help")
    assert done.text == "/args.wasm\n--timeout\n-e\nA=1\n--\n--help\n"


def test_variables_come_from_flags_files_and_our_environment(wasmdock: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FROM_FILE=1\nBOTH=file\n")
    flags = ("-e", "BOTH=flag", "-e", "OURS", "--env-file", str(tmp_path / "env"))
    done = wasmdock("run", *flags, guest("environ"), OURS="taken", SECRET="kept")
    assert sorted(done.text.splitlines()) == ["BOTH=flag", "FROM_FILE=1", "OURS=taken"]


def test_volume_is_seen_and_can_be_read_only(wasmdock: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    assert wasmdock("run", "-v", f"{tmp_path}:/", guest("read_file"), "file").stdout == b"content"
    assert wasmdock("run", "-v", f"{tmp_path}:/:ro", guest("write_file"), "new").code == 63
    assert wasmdock("run", "-v", ".:/", guest("write_file"), "new", cwd=tmp_path).code == 0
    assert (tmp_path / "new").exists()


def test_stdin_is_empty_unless_it_is_asked_for(wasmdock: CommandLine) -> None:
    assert wasmdock("run", guest("cat"), stdin=b"not asked for").stdout == b""
    assert wasmdock("run", "-i", guest("cat"), stdin=b"asked for").stdout == b"asked for"


def test_stdin_and_stdout_flow_while_the_guest_runs(wasmdock: CommandLine) -> None:
    with wasmdock.start("run", "-i", guest("cat"), stdin=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(20) == 0


def test_why_names_the_source_and_the_road(wasmdock: CommandLine) -> None:
    done = wasmdock("run", "--why", "--on", "process", guest("hello"))
    why = "in-process, for a WASI preview 1 command: you asked for it"
    assert (done.stdout, done.stderr) == (HELLO, f"wasmdock: hello from file {guest('hello')}; {why}\n")


def test_trap_is_134_with_the_cause_first_and_the_backtrace_under_it(wasmdock: CommandLine) -> None:
    done = wasmdock("run", guest("trap"))
    lines = done.stderr.splitlines()
    assert (done.code, lines[0]) == (134, "wasmdock: wasm trap: wasm `unreachable` instruction executed")
    assert "deepest" in lines[1]


@pytest.mark.parametrize("name", ["grow_memory", "big_memory"])
def test_guest_out_of_memory_is_137(wasmdock: CommandLine, name: str) -> None:
    done = wasmdock("run", "--memory", "5m", guest(name))
    assert (done.code, done.stdout) == (137, b"")
    assert done.stderr.startswith("wasmdock: out of memory")
    assert "--memory" in done.stderr


def test_guest_that_grows_a_table_without_end_is_stopped(wasmdock: CommandLine) -> None:
    assert wasmdock("run", guest("grow_table")).code == 134


def test_guest_without_fuel_left_is_134(wasmdock: CommandLine) -> None:
    done = wasmdock("run", "--fuel", "1000", guest("spin"))
    said = "wasmdock: wasm trap: all fuel consumed by WebAssembly (--fuel)"
    assert (done.code, done.stderr.splitlines()[0]) == (134, said)


@pytest.mark.parametrize("name", ["spin", "sleep_hour"])
def test_guest_beyond_its_time_is_124_and_soon(wasmdock: CommandLine, name: str) -> None:
    wasmdock("run", guest("hello"))  # bytecode and compiled code are there
    started = time.monotonic()
    done = wasmdock("run", "--timeout", "500ms", guest(name))
    assert (done.code, done.stderr) == (124, "wasmdock: the time limit of 0.5 s is over (--timeout)\n")
    assert 0.5 <= time.monotonic() - started < 10  # of which the guest has half a second


def test_guest_waiting_for_stdin_is_stopped_at_its_time(wasmdock: CommandLine) -> None:
    reader, writer = os.pipe()
    with wasmdock.start("run", "-i", "--timeout", "300ms", guest("cat"), stdin=reader) as process:
        assert process.wait(20) == 124
    os.close(reader)
    os.close(writer)


def test_guest_that_nobody_reads_is_stopped_at_its_time(wasmdock: CommandLine) -> None:
    """It sits in a write to a full pipe."""
    with wasmdock.start("run", "--timeout", "300ms", guest("print_forever")) as process:
        assert process.wait(20) == 124


@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("name", ["spin", "sleep_hour", "cat"])
def test_signal_ends_the_guest_whatever_it_does(
    wasmdock: CommandLine, name: str, sent: signal.Signals, code: int
) -> None:
    """In a loop, asleep in a host call, or waiting for input."""
    reader, writer = os.pipe()
    with wasmdock.start("run", "-i", "--why", guest(name), stdin=reader) as process:
        assert process.stderr
        process.stderr.readline()  # the guest is about to start
        time.sleep(0.3)
        process.send_signal(sent)
        assert process.wait(20) == code
        assert process.stderr.read() == b""
    os.close(reader)
    os.close(writer)


def test_reader_that_stops_early_ends_the_guest_quietly(wasmdock: CommandLine) -> None:
    done = wasmdock.shell(f'wasmdock run "{guest("print_forever")}" | head -1; exit "${{PIPESTATUS[0]}}"')
    assert (done.code, done.text, done.stderr) == (141, "x" * 63 + "\n", "")


def test_closed_stream_leads_nowhere(wasmdock: CommandLine) -> None:
    for script in (f'run "{guest("hello")}" >&-', f'run -i "{guest("cat")}" <&-', "images >&- 2>&-"):
        done = wasmdock.shell(f"wasmdock {script}")
        assert (done.code, done.stdout, done.stderr) == (0, b"", "")


def test_closed_descriptors_do_not_let_the_guest_write_into_our_files(wasmdock: CommandLine, tmp_path: Path) -> None:
    for _ in range(2):  # compiled, and from the cache
        wasmdock.shell(f'WASMDOCK_CACHE="{tmp_path}" wasmdock run "{guest("stdout_and_stderr")}" >&- 2>&-')
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if b"to stdout\n" in path.read_bytes()[-20:]] == []


def test_full_disk_is_the_guests_to_notice(wasmdock: CommandLine) -> None:
    done = wasmdock.shell(f'wasmdock run "{guest("print_forever")}" > /dev/full')
    assert (done.code, done.stderr) == (51, "")  # errno nospc


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the use of memory from")
def test_gigabyte_of_output_passes_through_flat_memory(wasmdock: CommandLine) -> None:
    with wasmdock.start("run", guest("print_gigabyte")) as process:
        assert process.stdout
        total, peak = 0, 0
        while chunk := process.stdout.read(1 << 20):
            total += len(chunk)
            if total == GIGABYTE - (64 << 20):  # near its end; rusage would count our own memory, from before the exec
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
        assert process.wait(20) == 0
    assert total == GIGABYTE
    assert 0 < peak < 150_000_000


def test_second_run_takes_the_compiled_code_of_the_first(wasmdock: CommandLine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        assert wasmdock("run", guest("hello"), WASMDOCK_CACHE=str(cache)).stdout == HELLO
    assert len(list((cache / "code").iterdir())) == 1


def test_spoiled_compiled_code_is_not_fatal(wasmdock: CommandLine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        done = wasmdock("run", guest("hello"), WASMDOCK_CACHE=str(cache))
        assert (done.code, done.stdout, done.stderr) == (0, HELLO, "")
        [code] = (cache / "code").iterdir()
        code.write_bytes(b"spoiled")


def test_cache_that_cannot_be_written_is_not_fatal(wasmdock: CommandLine) -> None:
    done = wasmdock("run", guest("hello"), WASMDOCK_CACHE="/dev/null/cache")
    assert (done.code, done.stdout, done.stderr) == (0, HELLO, "")


def test_run_in_this_process_loads_little(wasmdock: CommandLine) -> None:
    """Each of these costs the start of every guest milliseconds, and no run of a stored image needs it."""
    assert wasmdock("pack", guest("hello"), "-t", "hello").code == 0
    assert wasmdock("run", "hello").stdout == HELLO  # compiled now, and kept
    script = """
import sys
from wasmdock.cli import run_cli
assert run_cli(["run", "--on", "process", "hello"]) == 0
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=wasmdock.environment)
    assert (done.returncode, done.stderr) == (0, "")
    costly = {"asyncio", "dataclasses", "inspect", "logging", "shutil", "subprocess", "tarfile", "wasmtime.component"}
    assert set(done.stdout.split()) & costly == set()
