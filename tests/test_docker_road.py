"""`wasmdock run --on docker` as its user sees it: how it ends, what it says, and what it leaves behind."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.fakes import FakeEngine, FakeRunner
from tests.images import hello
from tests.requirements import require_docker
from wasmdock.docker import Docker
from wasmdock.docker_run import DockerRuntime
from wasmdock.docker_shelf import KEPT, thin_out
from wasmdock.docker_verdict import judge
from wasmdock.process import Completed
from wasmdock.runtime import Limits, RunRequest
from wasmdock.wasm_trap import explain_trap

GUESTS = Path(__file__).parent / "guests"
TRAPPED = "error while executing at wasm backtrace:\n    0: 0x1 - f\n\nCaused by:\n    wasm trap: "
FUEL = "all fuel consumed by WebAssembly"


@pytest.mark.parametrize("code, is_there, removes", [(-9, False, True), (2, True, True), (2, False, False)])
def test_a_container_that_its_client_left_behind_is_removed(
    tmp_path: Path, code: int, is_there: bool, removes: bool
) -> None:
    image = hello()
    engine = FakeEngine(tmp_path, {"/v1.45/containers/": {"Id": "1"}, "/containers/": {"Id": "1"}} if is_there else {})
    runner = FakeRunner({("docker", "run"): Completed(("docker", "run"), code)})
    DockerRuntime(Docker(engine.host, {}, runner=runner), held={str(image.digest): "held:1"}).run(image, RunRequest())
    engine.close()
    assert [call[:3] for call in runner.calls[1:]] == [("docker", "rm", "--force")] * removes


def test_only_the_newest_images_of_earlier_runs_stay_in_the_engine(tmp_path: Path) -> None:
    names = "".join(f"wasmdock/run:{number}\n" for number in range(3))
    dated = "2026-01-02|wasmdock/run:0\n2026-01-01|wasmdock/run:1|mine:1\n2026-01-03|wasmdock/run:2\n"
    answers = {("docker", "image", "ls"): names, ("docker", "image", "inspect"): dated}
    runner = FakeRunner({words: Completed(words, 0, text.encode()) for words, text in answers.items()})
    engine = FakeEngine(tmp_path)
    thin_out(Docker(engine.host, {}, runner=runner), kept=2)
    thin_out(Docker(engine.host, {}, runner=runner), kept=3)
    engine.close()
    assert [call for call in runner.calls if "rm" in call] == [("docker", "image", "rm", "wasmdock/run:1")]


@pytest.mark.docker
def test_runs_leave_a_bounded_number_of_images(road: CommandLine, tmp_path: Path) -> None:
    guest = tmp_path / "own.wat"
    guest.write_text(
        f'(module (memory (export "memory") 1) (data (i32.const 0) "{tmp_path}") (func (export "_start")))'
    )
    assert [road("run", "--on", "docker", str(guest)).code for _ in range(2)] == [0, 0]
    words = ["docker", "image", "ls", "--quiet", "--filter=reference=wasmdock/run"]
    left = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    assert len(left) <= KEPT + 4  # what other tests load at the same time


@pytest.fixture
def road(wasmdock: CommandLine) -> Iterator[CommandLine]:
    """The command line with the machine's engine, whose containers are counted before and after."""
    require_docker()
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    road = CommandLine({**wasmdock.environment, "DOCKER_HOST": address})
    before = _containers()
    yield road
    until = time.monotonic() + 20
    while _containers() - before and time.monotonic() < until:
        time.sleep(0.2)
    assert not _containers() - before


def _containers() -> set[str]:
    words = ["docker", "ps", "--all", "--quiet", "--filter=name=^wasmdock-[0-9a-f]{12}$"]
    return set(subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout.split())


def _run(name: str, *flags: str) -> tuple[str, ...]:
    return ("run", "--on", "docker", *flags, str(GUESTS / f"{name}.wat"))


@pytest.mark.docker
@pytest.mark.parametrize("flags", ["", "--output 1g "], ids=["shared", "counted"])
def test_a_reader_that_stops_early_ends_the_container_quietly(road: CommandLine, flags: str) -> None:
    guest = GUESTS / "print_forever.wat"
    done = road.shell(f'wasmdock run --on docker {flags}"{guest}" | head -1; exit "${{PIPESTATUS[0]}}"')
    assert (done.code, done.text, done.stderr) == (141, "x" * 63 + "\n", "")


@pytest.mark.docker
def test_a_full_disk_ends_the_container(road: CommandLine) -> None:
    done = road.shell(f'wasmdock run --on docker "{GUESTS / "print_forever.wat"}" > /dev/full')
    assert (done.code, done.stderr) == (125, "wasmdock: passing on what the guest prints: no space left on device\n")


@pytest.mark.docker
def test_wasmdock_killed_ends_the_container(road: CommandLine) -> None:
    before = _containers()
    with road.start(*_run("sleep_hour")) as process:
        until = time.monotonic() + 30
        while not _containers() - before and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGKILL)


@pytest.mark.docker
def test_what_docker_says_is_said_once_and_with_the_users_name(road: CommandLine) -> None:
    done = road(*_run("hello", "-p", "abc:80"))
    lines = done.stderr.splitlines()
    assert (done.code, lines[0]) == (125, f'wasmdock: running "{GUESTS}/hello.wat" in Docker: "abc" is no port')
    assert len(lines) == 2 and lines[1].startswith("    try: ")


@pytest.mark.parametrize(
    ("code", "said", "message"),
    [
        (124, "the time limit is over (WASMDOCK_TIMEOUT)", "the time limit of 1 s is over (--timeout)"),
        (134, f"running /x: {TRAPPED}unreachable", "wasm trap: unreachable\n    0: 0x1 - f"),
        (134, f"fuel limit\nrunning /x: {TRAPPED}{FUEL}", f"wasm trap: {FUEL} (--fuel)\n    0: 0x1 - f"),
        (134, f"fuel limit\nrunning /x: wasm trap: {FUEL}\n    0: f", f"wasm trap: {FUEL} (--fuel)\n    0: f"),
        (137, f"out of memory: a\nrunning /x: {TRAPPED}b", "out of memory: a\nb\n    0: 0x1 - f"),
    ],
)
def test_our_wasm_runtimes_words_read_as_in_process(code: int, said: str, message: str) -> None:
    said = said.replace("fuel limit", "the fuel limit is used up")
    done = Completed(("docker", "run"), code, b"", f"wasmdock: {said}\n".encode())
    assert judge(done, Limits(timeout=1.0), ours=True).message == message


def test_a_host_functions_name_stays_with_what_went_wrong_in_it() -> None:
    said = "error while executing at wasm backtrace:\n    0: f\n\nCaused by:\n    0: in fd_write\n    1: Not aligned\n"
    assert explain_trap(said) == "in fd_write: Not aligned\n    0: f"


def test_our_words_after_cut_output_start_a_new_line(wasmdock: CommandLine) -> None:
    done = wasmdock.shell(f'wasmdock run --on process --output 3 "{GUESTS / "print_forever.wat"}" 2>&1')
    assert done.text == "xxx\nwasmdock: stopped: it printed more than 3 bytes (--output)\n"


@pytest.mark.docker
def test_our_words_after_cut_output_of_a_container_start_a_new_line(road: CommandLine) -> None:
    done = road.shell(f'wasmdock run --on docker --output 3 "{GUESTS / "print_forever.wat"}" 2>&1')
    assert done.text == "xxx\nwasmdock: stopped: it printed more than 3 bytes (--output)\n"


@pytest.mark.docker
def test_our_own_words_do_not_count_as_the_guests_output(road: CommandLine) -> None:
    done = road(*_run("trap", "--output", "20"))
    assert (done.code, done.stderr.count("wasm `unreachable` instruction executed")) == (134, 1)
