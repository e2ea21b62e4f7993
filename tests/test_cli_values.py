"""Texts on the command line -> sizes, durations, mounts, variables."""

from pathlib import Path

import pytest

from wasmdock.cli.values import parse_duration, parse_env, parse_mount, parse_size
from wasmdock.errors import UsageError
from wasmdock.runtime import Mount


@pytest.mark.parametrize(
    "text, size",
    [
        ("2000000", 2_000_000),
        ("64k", 65_536),
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("64mb", 64 << 20),
        ("64MiB", 64 << 20),
        ("1g", 1 << 30),
        ("0.5g", 1 << 29),
        ("1.5 k", 1536),
        ("1", 1),
        ("none", None),
        ("unlimited", None),
    ],
)
def test_size_is_read_as_docker_reads_it(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1x", "m", "1e3", "0.1", "1 2", "99999999t", "½", "NaN", "0x10", "²"])
def test_text_that_is_no_size_says_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="not a positive number of bytes") as raised:
        parse_size(text)
    assert raised.value.hint == "write 64m, 1g, 2000000 or none"


@pytest.mark.parametrize(
    "text, seconds", [("5", 5), ("5s", 5), ("1.5", 1.5), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("none", None)]
)
def test_duration_is_read_in_the_unit_it_names(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0ms", "-1s", "5d", "s", "1e3", "inf", "9999999h", "1:30", "1m30s"])
def test_text_that_is_no_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="not a positive time") as raised:
        parse_duration(text)
    assert raised.value.hint == "write 500ms, 5s, 2m or none"


@pytest.mark.parametrize(
    "text, mount",
    [
        ("/host:/guest", Mount(Path("/host"), "/guest")),
        ("/host:/guest:rw", Mount(Path("/host"), "/guest")),
        ("/host:/guest:ro", Mount(Path("/host"), "/guest", read_only=True)),
        ("/host:/", Mount(Path("/host"), "/")),
        ("relative:/guest", Mount(Path.cwd() / "relative", "/guest")),
        ("~/data:/guest", Mount(Path.home() / "data", "/guest")),
    ],
)
def test_mount_names_the_host_first(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount


@pytest.mark.parametrize("text", ["", "/host", ":/guest", "/host:", "/host:guest", "/a:/b:rx", "a:/b:ro:ro", "a:b:c"])
def test_text_that_is_no_mount_says_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="not HOST:GUEST") as raised:
        parse_mount(text)
    assert "-v ./folder:/data:ro" in raised.value.hint


def test_mount_inside_the_guest_leads_nowhere_else() -> None:
    with pytest.raises(UsageError, match='".." in the guest\'s path'):
        parse_mount("/host:/data/../etc")


def test_variable_is_given_or_taken_from_our_environment() -> None:
    ours = {"HOME": "/root", "EMPTY": ""}
    found = parse_env(["A=1", "B=x=y", "C=", "HOME", "EMPTY", "UNSET"], [], ours)
    assert found == {"A": "1", "B": "x=y", "C": "", "HOME": "/root", "EMPTY": ""}


def test_later_variable_wins_over_an_earlier_one() -> None:
    assert parse_env(["A=1", "A=2"], [], {}) == {"A": "2"}


def test_env_file_gives_a_variable_a_line(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("\ufeff# a comment\n\nA=1\r\nB=with space \n  # indented\nHOME\nUNSET\nC='quoted'\nD=a\u2028b\n")
    found = parse_env([], [file], {"HOME": "/root"})
    assert found == {"A": "1", "B": "with space ", "HOME": "/root", "C": "'quoted'", "D": "a\u2028b"}


def test_flag_wins_over_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=file\nB=file\n")
    assert parse_env(["A=flag"], [file], {}) == {"A": "flag", "B": "file"}


@pytest.mark.parametrize("text", ["=1", " A=1", "A =1", "", "A=\0"])
def test_text_that_is_no_variable_names_the_flag(text: str) -> None:
    with pytest.raises(UsageError, match='reading -e ".*": not NAME=VALUE or NAME'):
        parse_env([text], [], {})


def test_mistake_in_an_env_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=1\n=oops\n")
    with pytest.raises(UsageError, match=f"reading {file}, line 2: not NAME=VALUE or NAME"):
        parse_env([], [file], {})


@pytest.mark.parametrize(
    "data, cause",
    [(None, "No such file"), (b"A=\xff\n", "not UTF-8 text"), (b"A=" + bytes(2 << 20), "larger than 1048576 bytes")],
)
def test_env_file_that_cannot_be_read_says_why(tmp_path: Path, data: bytes | None, cause: str) -> None:
    file = tmp_path / "env"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(UsageError, match=f'reading env file "{file}": {cause}'):
        parse_env([], [file], {})
