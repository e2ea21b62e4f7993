"""A build in the cache is taken only where all that cargo read for it is the same: files anywhere, and variables."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmdock.build import Build, build_guest
from wasmdock.dep_info import DepInfo, is_as_traced, is_older, read_dep_info, trace
from wasmdock.guest import Target, load_guest

_MANIFEST = '[package]\nname = "reader"\nversion = "1.0.0"\nedition = "2021"\n[workspace]\n'
_PROGRAM = """fn main() {
    print!("{} {:?} {}", include_str!("../../beside/words.txt"), option_env!("AT_COMPILE_TIME"), env!("BY_SCRIPT"));
}
"""
_SCRIPT = """fn main() {
    println!("cargo:rerun-if-env-changed=FOR_SCRIPT");
    println!("cargo:rerun-if-changed=../.git/HEAD");
    println!("cargo:rerun-if-changed=../beside/a folder");
    let (said, head) = (std::env::var("FOR_SCRIPT"), std::fs::read_to_string("../.git/HEAD").unwrap());
    println!("cargo:rustc-env=BY_SCRIPT={:?} {}", said, head.trim());
}
"""


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1, 1))
    for folder in {path.parent for path in files}:
        os.utime(folder, (1, 1))


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Build]:
    """A crate that reads files outside its folder and variables, and a function that builds it."""
    if not shutil.which("cargo"):
        pytest.skip("the host has no cargo, and no other sees files outside a crate's folder")
    folder = tmp_path / "reader"
    _write(
        {
            folder / "Cargo.toml": _MANIFEST,
            folder / "src" / "main.rs": _PROGRAM,
            folder / "build.rs": _SCRIPT,
            tmp_path / "beside" / "words.txt": "words",
            tmp_path / "beside" / "a folder" / "file": "",
            tmp_path / ".git" / "HEAD": "first",
        }
    )

    def run(**variables: str) -> Build:
        environment = {**os.environ, **variables}
        return build_guest(load_guest(folder), Target.NATIVE, cache=tmp_path / "cache", environment=environment)

    return run


def test_what_a_crate_reads_outside_its_folder_and_of_variables_counts(
    build: Callable[..., Build], tmp_path: Path
) -> None:
    assert (build().cached, build().cached) == (False, True)
    for path, text in ((tmp_path / "beside" / "words.txt", "other words"), (tmp_path / ".git" / "HEAD", "second")):
        _write({path: text})
        made = build()
        assert not made.cached and text.encode() in made.artifact.data
        assert build().cached
    _write({tmp_path / "beside" / "a folder" / "another": ""})
    assert (build().cached, build().cached) == (False, True)
    for name in ("AT_COMPILE_TIME", "FOR_SCRIPT"):
        made = build(**{name: "seen-of-" + name})
        assert not made.cached and f"seen-of-{name}".encode() in made.artifact.data
        assert build(**{name: "seen-of-" + name}).cached
    assert build(NOBODY_READS_IT="1", FOR_SCRIPT="seen-of-FOR_SCRIPT").cached


def test_a_file_outside_that_changes_during_a_build_leaves_nothing_in_the_cache(
    build: Callable[..., Build], tmp_path: Path
) -> None:
    (tmp_path / "beside" / "words.txt").write_text("words")  # its time is a moment ago: as good as meanwhile
    os.utime(tmp_path / "beside" / "words.txt", (2**32, 2**32))
    assert (build().cached, build().cached) == (False, False)


def test_dep_info_is_read_with_spaces_without_cargos_own_files_and_without_values(tmp_path: Path) -> None:
    target = tmp_path / "target"
    release = target / "wasm32-wasip1" / "release"
    _write(
        {
            release / "app.d": f"{release}/app.wasm: /a/one\\ file /b/two {target}/out/made.rs\n",
            release / "deps" / "app-1.d": "x: src/main.rs\n\n# env-dep:SET=secret\n# env-dep:UNSET\n",
            target / "release" / "build" / "app-1" / "output": "cargo::rerun-if-env-changed=CC\nhello\n",
        }
    )
    found = read_dep_info(release / "app.wasm", target)
    assert found == DepInfo(frozenset({"/a/one file", "/b/two"}), frozenset({"SET", "UNSET", "CC"}))
    assert read_dep_info(release / "none.wasm", tmp_path / "elsewhere").files == frozenset()


def test_a_trace_holds_for_as_long_as_all_is_the_same(tmp_path: Path) -> None:
    _write({tmp_path / "known.rs": "", tmp_path / "link" / "real": "1"})
    info = DepInfo(frozenset({f"{tmp_path}/known.rs", f"{tmp_path}/link/real", f"{tmp_path}/gone"}), frozenset("VW"))
    traced = trace(info, tmp_path, ["known.rs"], {"V": "value"})
    assert {what.removeprefix(f"file {tmp_path}/") for what in traced} == {
        "link/real",
        "gone",
        "variable V",
        "variable W",
    }
    assert "value" not in str(traced)
    assert is_as_traced(traced, {"V": "value"})
    assert not is_as_traced(traced, {"V": "value", "W": ""})
    (tmp_path / "gone").write_text("")
    assert not is_as_traced(traced, {"V": "value"})
    assert not is_older(traced, 10**9) and is_older(traced, 2**62)
