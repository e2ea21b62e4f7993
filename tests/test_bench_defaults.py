"""A guest may say in its Cargo.toml how it is measured; the command line has the last word."""

import argparse
from pathlib import Path

import pytest

from wasmdock.cli.bench_defaults import read_defaults, with_defaults
from wasmdock.errors import GuestError
from wasmdock.runtime import Mount

ROOT = Path(__file__).parent.parent
TABLE = "[package.metadata.wasmdock.bench]\n"


def test_guest_without_a_table_says_nothing() -> None:
    assert read_defaults('[package]\nname = "x"\n', Path("x")) == {}


def test_paths_are_those_of_the_guests_folder() -> None:
    found = read_defaults(f'{TABLE}stdin = "bench/stdin"\nvolume = "bench:/bench"\n', Path("/guest"))
    assert found == {"stdin": Path("/guest/bench/stdin"), "volume": [Mount(Path("/guest/bench"), "/bench")]}


def test_command_line_has_the_last_word(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text(f'{TABLE}args = ["13"]\ncall = "is_thirteen"\n')
    options = argparse.Namespace(args=["12"], call=None, stdin=None, volume=[])
    merged = with_defaults(options, tmp_path)
    assert (merged.args, merged.call) == (["12"], "is_thirteen")
    assert options.call is None


@pytest.mark.parametrize("line", ['speed = "fast"', "args = 13", "args = [13]", 'stdin = ["a"]'])
def test_key_or_type_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(GuestError, match="is not one of args"):
        read_defaults(TABLE + line, Path("x"))


@pytest.mark.parametrize("name", ["is-thirteen", "signature-checker"])
def test_guest_that_needs_input_brings_it(name: str) -> None:
    folder = ROOT / "dockerfiles" / name
    found = read_defaults((folder / "Cargo.toml").read_text(), folder)
    assert found
    assert "stdin" not in found or found["stdin"].is_file()
