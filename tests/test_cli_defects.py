"""What nobody thought of ends in one line, too, and says how to report it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.command_line import CommandLine, guest
from tests.conftest import sample
from wasmdock import cli
from wasmdock.cli import run_cli
from wasmdock.compose_wire import addresses
from wasmdock.docker_call import run_arguments
from wasmdock.errors import GuestError, UsageError
from wasmdock.inprocess import InProcessRuntime
from wasmdock.runtime import RunRequest

HELLO = str(guest("hello"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((HELLO, b"\xff"), "granting arguments: it is not UTF-8 text"),
        (("-e", b"A=\xff", HELLO), "granting environment: it is not UTF-8 text"),
        (("~nouser/x.wasm",), 'reading "~nouser/x.wasm": no such file or folder'),
        (("-v", "~nouser:/d", HELLO), 'at "/d": no such folder'),
        (("--memory", "9" * 400, HELLO), "not a positive number of bytes"),
    ],
)
def test_run_says_in_one_line_what_it_cannot_pass_on(
    wasmdock: CommandLine, words: tuple[str | bytes, ...], said: str
) -> None:
    argv = [*map(os.fsencode, wasmdock.argv("run", "--on", "process")), *map(os.fsencode, words)]
    done = subprocess.run(argv, env=wasmdock.environment, capture_output=True, timeout=60)
    assert done.returncode == 125
    assert said in done.stderr.decode() and "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("request_", [RunRequest(args=("a\0b",)), RunRequest(env={"A": "b\0"})])
def test_a_nul_is_refused_on_both_roads(request_: RunRequest) -> None:
    with pytest.raises(GuestError, match="there is a NUL"):
        InProcessRuntime().run(sample("hello"), request_)
    with pytest.raises(UsageError):
        run_arguments("img", request_, is_wasm=True, name="n")


@pytest.mark.parametrize(("verb", "code"), [("run", 125), ("inspect", 1)])
def test_a_defect_of_ours_is_one_line_with_what_to_do(
    verb: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wasmdock.cli.source.find_image", _fail)
    monkeypatch.setattr(f"wasmdock.cli.{verb}.find_image", _fail)
    assert run_cli([verb, "x"]) == code
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"wasmdock: wasmdock {verb}: ZeroDivisionError: of two lines"
    assert "a defect of wasmdock" in second and "WASMDOCK_TRACEBACK=1" in second


def test_a_defect_shows_its_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WASMDOCK_TRACEBACK", "1")
    monkeypatch.setattr(cli, "_do", _fail)
    assert run_cli(["images"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def _fail(*_: object) -> None:
    raise ZeroDivisionError("of two\nlines")


def test_a_home_folder_is_still_found(wasmdock: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "hello.wat").write_bytes(Path(HELLO).read_bytes())
    assert wasmdock("run", "~/hello.wat", HOME=str(tmp_path)).code == 0


def test_version_for_nobody_is_no_traceback(wasmdock: CommandLine) -> None:
    assert wasmdock.shell("wasmdock --version | true; (exit ${PIPESTATUS[0]})").stderr == ""
    done = wasmdock.shell("PYTHONUNBUFFERED= wasmdock --version > /dev/full")
    assert (done.code, done.stderr) == (1, "wasmdock: writing the output: No space left on device\n")


def test_names_that_are_not_utf_8_are_no_defect(wasmdock: CommandLine, tmp_path: Path) -> None:
    name = os.fsdecode(b"n\xff")
    (tmp_path / name / "src").mkdir(parents=True)
    (tmp_path / name / "src" / "main.rs").write_text("fn main() {}")
    (tmp_path / name / "Cargo.toml").write_text('[package]\nname = "hello"\nversion = "1.0.0"\n')
    assert "a defect" not in wasmdock("build", tmp_path / name).stderr
    assert "a defect" not in wasmdock("run", HELLO, DOCKER_HOST=name).stderr
    assert "a defect" not in wasmdock("run", HELLO, DOCKER_HOST="", DOCKER_CONTEXT=name).stderr
    assert addresses(name, ["a"])


def test_empty_output_is_said_to_be_no_file(wasmdock: CommandLine) -> None:
    done = wasmdock("extract", HELLO, "-o", "")
    assert done.code != 0 and done.stderr.startswith('wasmdock: writing "."')


def test_no_memory_left_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr("wasmdock.cli.images.images", fail)
    assert run_cli(["images"]) == 1
    assert capsys.readouterr().err == "wasmdock: there is not enough memory for this\n"
