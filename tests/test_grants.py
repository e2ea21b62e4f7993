"""What a guest may ask for: who decides, and what is said where it asks for more."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import GUESTS
from wasmdock.capabilities import Capability
from wasmdock.cli.run import hold_to_grant
from wasmdock.engine import assemble
from wasmdock.errors import GuestError, UsageError
from wasmdock.grants import (
    GRANTED,
    Grant,
    check_grant,
    decide_grant,
    label_text,
    parse_capabilities,
    render_capabilities,
)
from wasmdock.guest import Artifact, Target
from wasmdock.pack import pack
from wasmdock.runtime import CAPABILITIES_LABEL as LABEL
from wasmdock.wasm import parse
from wasmdock.wasm_types import WasmBinary

STDIO, EXIT, FILES, CLOCKS = Capability.STDIO, Capability.EXIT, Capability.FILES, Capability.CLOCKS


def binary(name: str) -> WasmBinary:
    return parse(assemble((GUESTS / f"{name}.wat").read_bytes(), name))


def test_lists_are_read_and_written_in_one_order() -> None:
    assert parse_capabilities("exit, stdio") == {STDIO, EXIT}
    assert label_text(parse_capabilities("exit,stdio")) == "stdio,exit"
    assert parse_capabilities("none") == frozenset()
    assert parse_capabilities("all") == set(Capability)
    assert parse_capabilities(label_text([])) == frozenset()


@pytest.mark.parametrize("text", ["", "file", "files;exit", ","])
def test_unknown_capability_is_a_usage_error_that_lists_them(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_capabilities(text)
    assert "arguments, environment, stdio, files" in raised.value.hint


DECISIONS = [
    # label, allow, deny, granted
    (None, None, set(), None),
    (None, {STDIO}, set(), {STDIO}),
    (None, {STDIO, EXIT}, {EXIT}, {STDIO}),
    ("stdio", None, set(), {STDIO}),
    ("stdio,exit", None, {EXIT}, {STDIO}),
    ("stdio", {STDIO, FILES}, set(), {STDIO, FILES}),
    (None, None, {FILES}, set(Capability) - {FILES}),
]


@pytest.mark.parametrize("label, allow, deny, granted", DECISIONS)
def test_user_decides_before_the_author(
    label: str | None, allow: set[Capability] | None, deny: set[Capability], granted: set[Capability] | None
) -> None:
    labels = {} if label is None else {LABEL: label}
    grant = decide_grant(labels, None if allow is None else frozenset(allow), frozenset(deny))
    assert (None if grant is None else set(grant.capabilities)) == granted


def test_guest_that_asks_for_more_is_refused_with_the_names() -> None:
    with pytest.raises(GuestError) as raised:
        check_grant(binary("sleep_hour"), Grant(frozenset({STDIO}), "--allow"))
    assert raised.value.message == "running a guest that asks for clocks: not granted by --allow"
    assert raised.value.hint == "--allow stdio,clocks grants it\nclocks: imported as poll_oneoff"


REFUSALS = [
    # label, allow, deny, what refuses sleep_hour its clocks, what would grant them
    ("stdio", None, {FILES}, f"the image's label {LABEL}", "--allow stdio,clocks grants it"),
    ("stdio,clocks", None, {CLOCKS}, "--deny", "without --deny it runs"),
    ("stdio", None, {CLOCKS}, f"the image's label {LABEL}", "--allow stdio,clocks without --deny grants it"),
    (None, {STDIO, CLOCKS}, {CLOCKS}, "--deny", "without --deny it runs"),
    (None, {STDIO}, {FILES}, "--allow", "--allow stdio,clocks grants it"),
]


@pytest.mark.parametrize("label, allow, deny, refuser, cure", REFUSALS)
def test_refusal_names_who_refused(
    label: str | None, allow: set[Capability] | None, deny: set[Capability], refuser: str, cure: str
) -> None:
    labels = {} if label is None else {LABEL: label}
    grant = decide_grant(labels, None if allow is None else frozenset(allow), frozenset(deny))
    assert grant
    with pytest.raises(GuestError) as raised:
        check_grant(binary("sleep_hour"), grant)
    assert raised.value.message == f"running a guest that asks for clocks: not granted by {refuser}"
    assert raised.value.hint.splitlines()[0] == cure


BOTH = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32))))"""


def test_refusal_by_both_tells_their_parts_apart() -> None:
    grant = decide_grant({LABEL: "exit,stdio"}, None, frozenset({STDIO}))
    assert grant
    with pytest.raises(GuestError) as raised:
        check_grant(parse(assemble(BOTH, "both")), grant)
    assert raised.value.message.endswith(f"not granted by the image's label {LABEL} (clocks) and --deny (stdio)")


def test_guest_that_asks_for_less_is_not() -> None:
    check_grant(binary("hello"), Grant(frozenset({STDIO, FILES}), "--allow"))
    check_grant(binary("add"), Grant(frozenset(), "--allow"))


def test_table_has_a_line_for_every_capability_and_the_authors_list() -> None:
    page = render_capabilities(binary("hello"), {LABEL: "stdio"}).splitlines()
    assert [line.split()[0] for line in page[1 : 1 + len(Capability)]] == list(Capability)
    assert "fd_write" in next(line for line in page if line.startswith("stdio"))
    assert page[-1] == "listed by its author: stdio"


def test_every_capability_says_what_run_grants() -> None:
    assert set(GRANTED) == set(Capability)


# The command line


def wasmdock(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "wasmdock", *words], capture_output=True, text=True, timeout=60)


@pytest.fixture
def guest(tmp_path: Path) -> str:
    file = tmp_path / "guest.wasm"
    file.write_bytes(assemble((GUESTS / "stdout_and_stderr.wat").read_bytes(), "guest"))
    return str(file)


def test_run_refuses_what_is_denied_and_runs_what_is_allowed(guest: str) -> None:
    denied = wasmdock("run", "--on", "process", "--deny", "stdio", guest)
    assert (denied.returncode, denied.stdout) == (125, "")
    assert "running a guest that asks for stdio: not granted by --deny" in denied.stderr
    assert wasmdock("run", "--on", "process", "--allow", "stdio,exit", guest).returncode == 0


def test_authors_list_goes_into_the_image_and_is_kept_to(guest: str, tmp_path: Path) -> None:
    refused = wasmdock("pack", "--capabilities", "exit", guest)
    assert refused.returncode == 1
    assert "asks for stdio: not granted by --capabilities" in refused.stderr
    assert "try: --capabilities stdio,exit grants it" in refused.stderr
    image = str(tmp_path / "image.tar")
    assert wasmdock("pack", "--capabilities", "auto", "-o", image, guest).returncode == 0
    shown = json.loads(wasmdock("inspect", "--capabilities", "--format", "json", image).stdout)
    assert shown["label"] == "stdio"
    assert shown["capabilities"]["stdio"]["imports"] == ["fd_write"]
    assert wasmdock("run", "--on", "process", image).returncode == 0


def test_image_that_asks_for_more_than_its_author_listed_is_refused(guest: str, tmp_path: Path) -> None:
    image = str(tmp_path / "image.tar")
    wasmdock("pack", "--label", f"{LABEL}=exit", "-o", image, guest)
    refused = wasmdock("run", "--on", "process", image)
    assert (refused.returncode, refused.stdout) == (125, "")
    assert f"asks for stdio: not granted by the image's label {LABEL}" in refused.stderr
    assert wasmdock("run", "--on", "process", "--allow", "stdio", image).returncode == 0


NATIVE = Artifact("app", Target.NATIVE, b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0" + bytes(44))


@pytest.mark.parametrize("denied, cure", [(set(), f"without the label {LABEL}"), ({FILES}, "leave --allow and --deny")])
def test_native_program_has_no_capabilities_and_who_lists_some_is_named(denied: set[Capability], cure: str) -> None:
    with pytest.raises(UsageError) as raised:
        hold_to_grant(pack(NATIVE, labels={LABEL: "files"}), argparse.Namespace(allow=None, deny=denied))
    assert cure in raised.value.hint


def test_invoke_holds_a_guest_to_the_same_lists(guest: str, tmp_path: Path) -> None:
    image = str(tmp_path / "image.tar")
    wasmdock("pack", "--label", f"{LABEL}=none", "-o", image, guest)
    refused = wasmdock("invoke", image, "_start")
    assert (refused.returncode, refused.stdout) == (125, "")
    assert f"asks for stdio: not granted by the image's label {LABEL}" in refused.stderr
    assert wasmdock("invoke", "--allow", "stdio", image, "_start").stdout == "to stdout\n"
    assert wasmdock("invoke", "--deny", "stdio", guest, "_start").returncode == 125
