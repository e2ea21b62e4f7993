"""Compiling what is dear: in a child that can be ended, with the same result as here."""

import time

import pytest

from tests.conftest import sample
from tests.fakes import FakeRunner
from tests.wasm_samples import MODULE_HEAD, leb, section
from wasmdock.engine import compile_child
from wasmdock.engine.compile_child import compile_in_child
from wasmdock.engine.compiler import CHEAP, Engine
from wasmdock.errors import GuestError
from wasmdock.guest import Artifact, Target
from wasmdock.inprocess import InProcessRuntime
from wasmdock.pack import extract, pack
from wasmdock.process import Completed
from wasmdock.runtime import RunRequest
from wasmdock.wasm_cost import estimate_cost

BOUND = 1 << 40


def module(*bodies: bytes) -> bytes:
    """A module of functions without parameters; the first is its command."""
    count = leb(len(bodies))
    types = section(1, b"\1\x60\0\0")
    exports = section(7, b"\1\6_start\0\0")
    code = section(10, count + b"".join(leb(len(body)) + body for body in bodies))
    return MODULE_HEAD + types + section(3, count + b"\0" * len(bodies)) + exports + code


def nested(depth: int) -> bytes:
    """A body of loops in loops: what is dearest to compile for its size."""
    return b"\0" + b"\x03\x40" * depth + b"\x0b" * depth + b"\x0b"


LOCALS = b"\1" + leb(50_000) + b"\x7f\x0b"
REFERENCES = b"\2" + leb(1) + b"\x63\x70" + leb(50_000) + b"\x7f\x0b"


@pytest.mark.parametrize(
    "data",
    [module(*[b"\0\x0b"] * 10_000), module(*[LOCALS] * 100), module(*[REFERENCES] * 100), module(nested(10_000))],
)
def test_what_is_dear_to_compile_is_seen_without_compiling(data: bytes) -> None:
    assert estimate_cost(data, CHEAP) >= CHEAP


@pytest.mark.parametrize("name", ["hello", "component_cli"])
def test_small_guest_is_cheap(name: str) -> None:
    data = extract(sample(name))
    assert len(data) <= estimate_cost(data, BOUND) < CHEAP


def test_binary_that_cannot_be_read_counts_as_dear() -> None:
    assert estimate_cost(module(b"\0\x0b")[:-2], BOUND) == BOUND


def test_dear_guest_runs_like_any_other() -> None:
    image = pack(Artifact("dear", Target.WASIP1, module(*[b"\0\x0b"] * 5_000)))
    assert InProcessRuntime().run(image, RunRequest()).exit_code == 0


@pytest.mark.parametrize("name", ["hello", "component_cli"])
def test_child_compiles_what_runs_here(name: str) -> None:
    image = sample(name)
    assert InProcessRuntime(compile_time=4.0).run(image, RunRequest()).stdout


@pytest.mark.parametrize("metered", [False, True])
def test_child_compiles_for_the_same_engine(metered: bool) -> None:
    code = compile_in_child(extract(sample("hello")), False, metered, 30.0)
    assert len(code) > 1000


def test_compilation_is_ended_at_its_time_and_this_process_goes_on() -> None:
    image = pack(Artifact("hostile", Target.WASIP1, module(nested(20_000))))
    began = time.monotonic()
    with pytest.raises(GuestError, match=r"compiling: stopped after 0.3 s \(--compile-time\)"):
        InProcessRuntime(compile_time=0.3).run(image, RunRequest())
    assert time.monotonic() - began < 20


def test_unsound_binary_is_explained_by_the_child_as_here() -> None:
    data = module(b"\0\x6a\x0b")
    with pytest.raises(GuestError) as here:
        Engine(compile_time=None).module(data)
    with pytest.raises(GuestError) as there:
        compile_in_child(data, False, False, 30.0)
    assert (there.value.message, there.value.hint) == (here.value.message, here.value.hint)


def test_child_that_runs_out_of_memory_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    died = Completed((), -6, b"", b"memory allocation of 99 bytes failed\n")
    with pytest.raises(GuestError, match="within 4 GiB of memory .memory allocation of 99 bytes failed"):
        compile_in_child(
            b"", False, False, 1.0, runner=lambda argv, **_: FakeRunner({(argv[0],): died})(argv, timeout=1)
        )
    assert compile_child.MEMORY == 4 << 30
