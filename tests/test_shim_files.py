"""The Wasm runtime's programs: found where they are, or it is said what was looked for and what is wrong."""

from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.fakes import FakeRunner
from wasmdock.cli import engine_container
from wasmdock.cli.context import Context
from wasmdock.cli.parser import build_parser
from wasmdock.errors import UnavailableError
from wasmdock.guest import Target
from wasmdock.host_cargo import explain_missing, find_toolchain
from wasmdock.process import Completed
from wasmdock.shim import PROGRAMS, find_programs


def test_outside_a_clone_the_cure_is_one_that_works_today(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not hold wasmdock-shim and wasmdock-host") as caught:
        find_programs(None, tmp_path)
    assert 'wasmdock engine install --from "$(scripts/shim)"' in caught.value.hint


@pytest.mark.parametrize("words, kept", [
    (["install", "--prefix", "/x y"], "engine install --prefix '/x y'"),
    (["install"], "engine install"),
])  # fmt: skip
def test_the_cure_keeps_the_flags(words: list[str], kept: str, wasmdock: CommandLine, tmp_path: Path) -> None:
    done = wasmdock("engine", *words, "--from", tmp_path)
    assert (done.code, "wasmdock: finding the Wasm runtime: " in done.stderr) == (1, True)
    assert done.stderr.endswith(f'with cargo: wasmdock {kept} --from "$(scripts/shim)"\n')


def test_the_cure_of_up_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_container, "_outer", lambda _context: None)
    options = build_parser().parse_args(["engine", "up", "--from", str(tmp_path), "-p", "80:80"])
    with pytest.raises(UnavailableError) as caught:
        engine_container.up(options, Context({}))
    assert 'wasmdock engine up --publish=80:80 --from "$(scripts/shim)"' in caught.value.hint


def test_nothing_is_said_to_be_built_where_nothing_is(wasmdock: CommandLine, tmp_path: Path) -> None:
    for name in PROGRAMS:
        (tmp_path / name).touch()
    done = wasmdock("engine", "install", "--from", tmp_path, "--prefix", tmp_path / "prefix")
    assert (done.code, "minutes" in done.stderr) == (0, False)


@pytest.mark.parametrize("said, cause, cure", [
    ("error: rustup could not choose a version of rustc\n\nhelp: run 'rustup default stable' to download it\n",
     "could not choose a version", "rustup default stable"),
    ("scripts/shim: line 14: rustc: command not found\n", "rustc: command not found", "https://rustup.rs"),
    ("   Compiling x\nerror: could not compile x\nwarning: slow\n", "could not compile", "shows all of it"),
])  # fmt: skip
def test_cargo_that_fails_is_named_with_its_cure(tmp_path: Path, said: str, cause: str, cure: str) -> None:
    script = tmp_path / "scripts" / "shim"
    script.parent.mkdir()
    script.touch()
    runner = FakeRunner({(str(script),): Completed((), 1, b"", said.encode())})
    with pytest.raises(UnavailableError, match=cause) as caught:
        find_programs(None, tmp_path, runner)
    assert "does not hold wasmdock-shim" in caught.value.message and cure in caught.value.hint


def test_rustup_without_a_toolchain_is_cured_as_rustup_says(tmp_path: Path) -> None:
    for name in ("cargo", "rustc"):
        (tmp_path / name).touch(0o755)
    said = b"error: rustup could not choose a version of rustc to run\nhelp: run 'rustup default stable' to download\n"
    runner = FakeRunner({("rustc",): Completed((), 1, b"", said)})
    with pytest.raises(UnavailableError) as caught:
        find_toolchain(tmp_path, tmp_path, {"PATH": str(tmp_path)}, runner)
    assert explain_missing(caught.value, Target.WASIP1)[1].told.startswith(
        "`rustup default stable`, then `rustup target"
    )
