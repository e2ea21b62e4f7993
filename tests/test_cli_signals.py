"""SIGTERM and SIGHUP end a build as Ctrl-C does: nothing it started goes on, and the exit code names the signal."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import GUESTS, CommandLine
from tests.conftest import sample
from tests.fakes import FakeEngine
from tests.faulty_registry import REPOSITORY, dripping, faulty_registry, on
from tests.test_bench_crowds import is_alive
from wasmdock.cli.signals import Terminated, tidying_up
from wasmdock.doctor_probes import TINY
from wasmdock.guest import Artifact, Target
from wasmdock.oci.reference import Reference
from wasmdock.oci.store import Store
from wasmdock.pack import pack
from wasmdock.results import read_results
from wasmdock.shape import Shape

RUSTC = """#!/bin/sh
case $1 in -vV) echo "rustc 1.95.0" ;; *) echo "{sysroot}" ;; esac
"""
CARGO = """#!/bin/sh
echo $$ > "{note}.new" && mv "{note}.new" "{note}"
exec sleep 60
"""


@pytest.fixture(autouse=True)
def _no_nohup() -> Iterator[None]:
    """Programs started here hear SIGHUP, also where the tests were started by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.rs").write_text("fn main() {}")
    (folder / "Cargo.toml").write_text('[package]\nname = "hello"\nversion = "1.0.0"\n')
    return folder


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Where a cargo that compiles for a minute writes its pid; it is first on the PATH of `slow`."""
    library = tmp_path / "sysroot" / "lib" / "rustlib" / "wasm32-wasip1" / "lib"
    library.mkdir(parents=True)
    (library / "libcore-1.rlib").touch()
    (tmp_path / "bin").mkdir()
    for name, text in (("rustc", RUSTC), ("cargo", CARGO)):
        program = tmp_path / "bin" / name
        program.write_text(text.format(sysroot=tmp_path / "sysroot", note=tmp_path / "pid"))
        program.chmod(0o755)
    return tmp_path / "pid"


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_a_build_and_what_compiles(
    number: signal.Signals, guest: Path, note: Path, wasmdock: CommandLine
) -> None:
    path = f"{note.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    slow = CommandLine({**wasmdock.environment, "PATH": path, "CARGO_HOME": str(note.parent)})
    with slow.start("build", guest) as process:
        wait_for(note)
        pid = int(note.read_text())
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


DOCKER = """#!/bin/sh
echo "$@" >> "{log}"
[ "$1" != start ] || {{ : > "{note}"; exec /bin/sleep 60; }}
[ "$1" != rm ] || echo removed
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_build_in_a_container_and_the_container(
    number: signal.Signals, guest: Path, tmp_path: Path, wasmdock: CommandLine
) -> None:
    engine = FakeEngine(tmp_path, {"/images/": {"Id": "sha256:1"}})
    (tmp_path / "bin").mkdir()
    client = tmp_path / "bin" / "docker"
    client.write_text(DOCKER.format(log=tmp_path / "log", note=tmp_path / "started"))
    client.chmod(0o755)
    address = {"DOCKER_HOST": engine.host.url, "PATH": str(client.parent)}
    with CommandLine({**wasmdock.environment, **address}).start("build", guest) as process:
        wait_for(tmp_path / "started")
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    engine.close()
    words = (tmp_path / "log").read_text().splitlines()
    name = next(line.split()[-1] for line in words if line.startswith("start "))
    assert words[-1] == f"rm --force --volumes {name}"


COUNTING = """#!/bin/sh
echo run >> {folder}/runs
[ $(wc -l < {folder}/runs) -gt {quick} ] || exit 0
sleep 297 & echo $! > {folder}/pid.new && mv {folder}/pid.new {folder}/pid
wait
"""


@pytest.mark.parametrize(
    ("number", "quick"),
    [(signal.SIGTERM, 0), (signal.SIGTERM, 2), (signal.SIGTERM, 4), (signal.SIGTERM, 7), (signal.SIGHUP, 2),
     (signal.SIGINT, 7)],
    ids=["first run", "later run", "weighing", "throughput", "hang-up", "Ctrl-C in throughput"],
)  # fmt: skip
def test_signal_ends_a_benchmark_and_what_it_runs_and_keeps_the_results(
    number: signal.Signals, quick: int, tmp_path: Path, wasmdock: CommandLine
) -> None:
    """Four rounds, three runs to be weighed, then as many as possible at once: all after `quick` ones take minutes."""
    program, results, temporary = tmp_path / "program", tmp_path / "r.json", tmp_path / "tmp"
    program.write_text(COUNTING.format(folder=tmp_path, quick=quick))
    program.chmod(0o755)
    temporary.mkdir()
    ours = CommandLine({**wasmdock.environment, "TMPDIR": str(temporary)})
    words = ("--rounds", "4", "--warmup", "0", "--throughput", "--load-time", "1s", "--export", results)
    with ours.start("bench", "--case", f"a={program}", *words) as process:
        wait_for(tmp_path / "pid")
        pid = int((tmp_path / "pid").read_text())
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert time.monotonic() - began < 20
    until = time.monotonic() + 10  # what was killed is gone as soon as the machine finds time for it
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(pid)
    assert list(temporary.iterdir()) == []
    found = read_results(results)
    assert (found.interrupted, len(found.cases[0].samples)) == (True, min(quick, 4))


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def end_at(sign: Callable[[], bool], process: "subprocess.Popen[bytes]", number: int) -> int:
    """Send the signal once there is the sign; the exit code."""
    until = time.monotonic() + 30
    while not sign() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    process.send_signal(number)
    return process.wait(30)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("verb", [("save", "big", "-o", "made/big.tar"), ("save", "big", "-o", "made/big"),
                                  ("extract", "big", "-o", "made/big.wasm")])  # fmt: skip
def test_signal_leaves_no_half_written_output(
    verb: tuple[str, ...], number: signal.Signals, tmp_path: Path, wasmdock: CommandLine
) -> None:
    data = TINY + b"\0\x81\x80\x80\x30\0" + os.urandom(96 << 20)  # a custom section of so many bytes and a name
    Store(tmp_path / "wasmdock-home" / "images").put(
        pack(Artifact("big", Target.WASIP1, data), shape=Shape.ARTIFACT), Reference.parse("big")
    )
    made, code = tmp_path / "made", 0
    for _ in range(5):  # it may be done before it hears the signal
        made.mkdir()
        with wasmdock.start(*(word.replace("made", str(made)) for word in verb)) as process:
            code = end_at(lambda: any(made.iterdir()), process, number)
        if code:
            break
        shutil.rmtree(made)
    assert code == 128 + number
    assert list(made.iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_a_pull_and_leaves_nothing_in_the_store(
    number: signal.Signals, tmp_path: Path, wasmdock: CommandLine
) -> None:
    image = sample("hello")
    layer = image.layers[0].descriptor
    with faulty_registry() as registry:
        registry.hold(image)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % layer.size
        registry.faults.append(on("GET", f"/blobs/{layer.digest}", dripping(head, registry)))
        with wasmdock.start("pull", f"{registry.name}/{REPOSITORY}:v1") as process:
            code = end_at(lambda: bool(registry.asked("GET", f"/blobs/{layer.digest}")), process, number)
    assert code == 128 + number
    assert list((tmp_path / "wasmdock-home" / "images" / "transfers").iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_a_push(number: signal.Signals, wasmdock: CommandLine) -> None:
    assert wasmdock("pack", GUESTS / "hello.wat").code == 0
    with faulty_registry() as registry:
        registry.faults.append(on("POST", "/blobs/uploads", lambda _call: registry.stop.wait(20)))
        with wasmdock.start("push", "hello", f"{registry.name}/{REPOSITORY}:v1") as process:
            code = end_at(lambda: bool(registry.asked("POST", "/blobs/uploads")), process, number)
    assert code == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("verb", [("run",), ("run", "--timeout", "40s"), ("run", "--output", "1g")])
def test_signal_ends_a_run_with_its_own_code(
    verb: tuple[str, ...], number: signal.Signals, tmp_path: Path, wasmdock: CommandLine
) -> None:
    with wasmdock.start(*verb, "-v", f"{tmp_path}:/data", GUESTS / "spin.wat") as process:
        time.sleep(1.5)
        process.send_signal(number)
        assert process.wait(10) == 128 + number


def test_second_signal_does_not_stop_the_tidying_up() -> None:
    with pytest.raises(Terminated) as caught, tidying_up():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with tidying_up():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
