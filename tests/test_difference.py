"""What changed between two binaries, and what wasm-opt wins."""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine, guest
from tests.conftest import GUESTS
from tests.fakes import FakeRunner
from tests.images import HELLO, hello, image_of, plain_layer, tar_of
from wasmdock.build import Build
from wasmdock.cli.build import _report
from wasmdock.difference import Changes, Difference, compare
from wasmdock.engine import assemble
from wasmdock.errors import BuildError, GuestError, UnavailableError
from wasmdock.guest import Target
from wasmdock.oci.image import Digest, Reference
from wasmdock.oci.referrer import SPDX, Referrer
from wasmdock.oci.store import Store
from wasmdock.optimize import optimize
from wasmdock.process import Completed, run_command
from wasmdock.sbom import make_sbom
from wasmdock.wasm import parse
from wasmdock.wasm_strip import strip

Crates = tuple[Mapping[str, str] | None, Mapping[str, str] | None]


def compared(before: str, after: str, crates: Crates = (None, None)) -> Difference:
    """What differs between two sample guests."""
    data = [assemble((GUESTS / f"{name}.wat").read_bytes(), name) for name in (before, after)]
    return compare(parse(data[0]), parse(data[1]), (Digest.of(data[0]), Digest.of(data[1])), crates)


def test_a_binary_does_not_differ_from_itself() -> None:
    found = compared("hello", "hello")
    assert not any((found.capabilities, found.imports, found.exports, found.crates, found.sections))
    assert found.programs[0] == found.programs[1]


def test_what_is_asked_for_anew_is_told_with_the_capability_behind_it() -> None:
    found = compared("hello", "read_file")
    assert any("path_open" in name for name in found.imports.added)
    assert "files" in found.capabilities.added
    assert found.sections["code"][0] < found.sections["code"][1]


def test_there_and_back_are_mirrored() -> None:
    there, back = compared("hello", "args"), compared("args", "hello")
    assert (there.imports.added, there.imports.removed) == (back.imports.removed, back.imports.added)
    assert there.size == back.size[::-1]


def test_crates_are_compared_with_their_versions() -> None:
    assert compared("hello", "hello", ({"a": "1", "b": "1"}, {"a": "2", "b": "1"})).crates == Changes(
        ("a 2",), ("a 1",)
    )


def test_crates_known_of_one_only_are_not_compared() -> None:
    assert compared("hello", "hello", ({"a": "1"}, None)).crates is None


@pytest.mark.parametrize(
    ("values", "said"),
    [((1, 1), "no difference\ncrates: unknown, "), ((1, 2), "other bytes in sections of the same sizes: sha256:")],
)
def test_programs_of_other_bytes_are_never_the_same(
    values: tuple[int, int], said: str, wasmdock: CommandLine, tmp_path: Path
) -> None:
    for name, value in zip("ab", values, strict=True):
        (tmp_path / f"{name}.wat").write_text(f'(module (func (export "f") (result i32) i32.const {value}))')
    assert wasmdock("diff", tmp_path / "a.wat", tmp_path / "b.wat").text.startswith(said)


def test_diff_says_of_what_no_crates_are_known(wasmdock: CommandLine) -> None:
    store = Store(Path(wasmdock.environment["WASMDOCK_HOME"], "images"))
    for name, image in (("a", hello()), ("b", hello(args=["x"]))):
        store.put(image, Reference.parse(name))
    store.attach(Referrer.of(hello().descriptor, SPDX, make_sbom(HELLO, "", "1970-01-01T00:00:00Z")))
    assert wasmdock("diff", "a", "b").text == "no difference\ncrates: unknown, b:latest has no SBOM\n"
    assert json.loads(wasmdock("diff", "a", "b", "--format", "json").text)["crates"] is None


def test_diff_names_the_image_that_is_no_wasm(wasmdock: CommandLine) -> None:
    native = image_of(plain_layer(tar_of({"app": b"\x7fELF"})), run={"Entrypoint": ["/app"]})
    Store(Path(wasmdock.environment["WASMDOCK_HOME"], "images")).put(native, Reference.parse("native"))
    done = wasmdock("diff", guest("hello"), "native")
    assert (done.code, done.stderr.startswith('wasmdock: comparing "native:latest": not a Wasm binary')) == (1, True)


HELLO_WAT = replace(HELLO, data=assemble((GUESTS / "hello.wat").read_bytes(), "hello"))


def test_optimizing_makes_a_module_that_is_smaller_and_sound() -> None:
    if not shutil.which("wasm-opt"):
        pytest.skip("wasm-opt is not here: apt-get install binaryen")
    data = HELLO_WAT.data + b"\0\x4c\x0b.debug_info" + bytes(64)
    smaller, how = optimize(replace(HELLO_WAT, data=data))
    assert how.startswith("wasm-opt ")
    assert len(smaller.data) < len(data)
    assert {each.name for each in parse(smaller.data).exports} == {each.name for each in parse(data).exports}


_SIMD = """(module (memory (export "memory") 1)
  (func (export "_start") (v128.store (i32.const 0) (i8x16.splat (i32.const 7)))))"""
_TAIL_CALL = '(module (func $f (export "f") (param i32) (return_call $f (local.get 0))))'


@pytest.mark.parametrize(("text", "needed"), [(_SIMD, {"simd"}), (_TAIL_CALL, {"tail-call"})])
def test_a_module_may_use_more_than_is_on_by_default(text: str, needed: set[str]) -> None:
    if not shutil.which("wasm-opt"):
        pytest.skip("wasm-opt is not here: apt-get install binaryen")
    data = assemble(text.encode(), "guest") + b"\0\x4c\x0b.debug_info" + bytes(64)
    called: list[tuple[str, ...]] = []

    def run(argv: Sequence[str], **options: Any) -> Completed:
        called.append(tuple(argv))
        return run_command(argv, **options)

    smaller, _ = optimize(replace(HELLO, data=data), run)
    default = {flag for flag in called[1] if flag.startswith("--enable-")}
    enabled = {flag for flag in called[-1] if flag.startswith("--enable-")} - default
    assert enabled == {f"--enable-{name}" for name in needed}
    assert parse(smaller.data).exports == parse(data).exports


def test_without_wasm_opt_the_cure_is_told() -> None:
    with pytest.raises(UnavailableError, match="no wasm-opt on PATH") as caught:
        optimize(HELLO_WAT, FakeRunner({("wasm-opt",): UnavailableError("none")}))
    assert "apt-get install binaryen" in caught.value.hint


def test_what_wasm_opt_refuses_is_a_build_error_with_its_output() -> None:
    failed = Completed(("wasm-opt",), 1, stderr=b"parse exception")
    runner = FakeRunner(
        {("wasm-opt", "--version"): Completed(("wasm-opt",), 0, b"wasm-opt version 108"), ("wasm-opt",): failed}
    )
    with pytest.raises(BuildError, match="wasm-opt: exit code 1") as caught:
        optimize(HELLO_WAT, runner)
    assert caught.value.output == "parse exception"


def test_a_component_is_stripped_and_says_that_wasm_opt_reads_none() -> None:
    component = assemble((GUESTS / "component_cli.wat").read_bytes(), "component_cli")
    noted = component + b"\0\x4c\x0b.debug_info" + bytes(64) + b"\0\x05\x04name"
    smaller, how = optimize(replace(HELLO, data=noted, target=Target.WASIP2), FakeRunner())
    assert len(smaller.data) <= len(component)
    assert "wasm-opt reads no components" in how
    assert parse(smaller.data).exports == parse(component).exports
    assert strip(smaller.data) == smaller.data


def test_stripping_reaches_the_modules_within_a_component() -> None:
    named = '(component (core module $inner (func $secret_name (export "f"))))'
    data = assemble(named.encode(), "named")
    assert b"secret_name" in data
    assert b"secret_name" not in strip(data)
    assert parse(strip(data)).form == parse(data).form


@pytest.mark.parametrize(("form", "said"), [("json", '"unoptimized_size": 2000'), ("text", "program 2.0 -> 1.0 kB")])
def test_build_says_what_optimizing_won(form: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain, made = (Build(replace(HELLO, data=bytes(size)), "host cargo", False, 1.0) for size in (2000, 1000))
    options = argparse.Namespace(format=form, optimize=True)
    _report(hello(), "hello", made, options, "wasm-opt 108 -Oz", plain)
    out = capsys.readouterr().out
    assert said in out
    if form == "json":
        found = json.loads(out)
        assert (found["program_size"], found["optimized_by"]) == (1000, "wasm-opt 108 -Oz")


def test_native_programs_are_not_optimized() -> None:
    with pytest.raises(GuestError, match="optimizing"):
        optimize(replace(HELLO, target=Target.NATIVE), FakeRunner())
