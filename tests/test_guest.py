"""A guest's folder as a value: its name everywhere, and what it is compiled for."""

from pathlib import Path

import pytest

from wasmdock.errors import GuestError, UsageError
from wasmdock.guest import Guest, Target, load_guest, parse_guest, parse_target

FOLDER = Path("/guests/hello")


def test_guest_is_what_its_manifest_says() -> None:
    text = '[package]\nname = "hello-world"\nversion = "1.2.3"\ndescription = "Hi"\nlicense = "MIT"\n'
    assert parse_guest(text, FOLDER) == Guest("hello-world", FOLDER, "1.2.3", "Hi", "MIT", False, Target.WASIP1)


def test_library_is_built_for_no_system() -> None:
    guest = parse_guest('[package]\nname = "lib"\n[lib]\ncrate-type = ["cdylib"]\n', FOLDER)
    assert (guest.is_library, guest.default_target) == (True, Target.UNKNOWN)


def test_plain_rust_library_is_no_wasm_library() -> None:
    assert not parse_guest('[package]\nname = "lib"\n[lib]\npath = "src/lib.rs"\n', FOLDER).is_library


def test_manifest_may_name_the_target() -> None:
    text = '[package]\nname = "lib"\n[package.metadata.wasmdock]\ntarget = "wasm32-wasip2"\n'
    assert parse_guest(text, FOLDER).default_target is Target.WASIP2


def test_manifest_that_names_no_target_there_is_says_which_there_are() -> None:
    text = '[package]\nname = "lib"\n[package.metadata.wasmdock]\ntarget = "wasip9"\n'
    with pytest.raises(UsageError, match='reading target "wasip9": no such target'):
        parse_guest(text, FOLDER)


def test_facts_inherited_from_a_workspace_are_left_empty() -> None:
    guest = parse_guest('[package]\nname = "hello"\nversion = { workspace = true }\n', FOLDER)
    assert (guest.version, guest.description, guest.license) == ("", "", "")


@pytest.mark.parametrize(
    "text, cause",
    [
        ("[package\n", "at line 1"),
        ("", r"no \[package\] with a name"),
        ("package = 1", r"no \[package\] with a name"),
        ("[package]\nname = 3", r"no \[package\] with a name"),
        ("[workspace]\nmembers = []", "a workspace, not a crate"),
        ('[package]\nname = "Hello"', 'the name "Hello" cannot name an image'),
        ('[package]\nname = "a--b"', 'the name "a--b" cannot name an image'),
        ('[package]\nname = "../up"', "cannot name an image"),
    ],
)
def test_manifest_that_makes_no_guest_says_why(text: str, cause: str) -> None:
    with pytest.raises(GuestError, match=f'reading "/guests/hello/Cargo.toml": .*{cause}'):
        parse_guest(text, FOLDER)


@pytest.mark.parametrize(
    "text",
    [
        '[package]\nname = "x"\nmetadata = 1',
        '[package]\nname = "x"\n[package.metadata]\nwasmdock = 1',
        'lib = 1\n[package]\nname = "x"',
        '[package]\nname = "x"\n[lib]\ncrate-type = 3',
    ],
)
def test_odd_but_sound_toml_is_read_with_the_defaults(text: str) -> None:
    assert parse_guest(text, FOLDER).default_target is Target.WASIP1


def test_folder_is_loaded_by_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "hello"\n')
    assert load_guest(tmp_path).folder == tmp_path


def test_folder_without_a_manifest_says_what_to_name_instead(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=f'reading guest "{tmp_path}": no readable Cargo.toml') as raised:
        load_guest(tmp_path)
    assert "dockerfiles/hello-world" in raised.value.hint


def test_manifest_that_is_no_text_is_the_guests_fault(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GuestError, match="no readable Cargo.toml"):
        load_guest(tmp_path)


@pytest.mark.parametrize(
    "text, target",
    [
        ("wasip1", Target.WASIP1),
        ("wasm32-wasip1", Target.WASIP1),
        ("wasip2", Target.WASIP2),
        ("wasm32-wasip2", Target.WASIP2),
        ("unknown", Target.UNKNOWN),
        ("wasm32-unknown-unknown", Target.UNKNOWN),
        ("native", Target.NATIVE),
    ],
)
def test_target_goes_by_its_short_name_and_its_triple(text: str, target: Target) -> None:
    assert parse_target(text) == (target, "")


@pytest.mark.parametrize("text", ["wasi", "wasm32-wasi"])
def test_old_name_of_wasip1_is_understood_with_a_note(text: str) -> None:
    target, note = parse_target(text)
    assert target is Target.WASIP1
    assert note == "wasm32-wasi was renamed: building for wasm32-wasip1"


@pytest.mark.parametrize("text", ["", "WASIP1", "wasm64", "x86_64-unknown-linux-gnu"])
def test_unknown_target_lists_those_there_are(text: str) -> None:
    with pytest.raises(UsageError, match=f'reading target "{text}": no such target') as raised:
        parse_target(text)
    assert raised.value.hint == "use one of wasip1, wasip2, unknown, native"


def test_only_the_native_target_is_no_wasm_and_has_no_triple() -> None:
    assert [target for target in Target if not target.is_wasm] == [Target.NATIVE]
    assert [target for target in Target if not target.triple] == [Target.NATIVE]
