"""Compiling what is dear: in a child that can be ended, with the same result as here."""

import time

import pytest

from tests import hostile_modules as hostile
from tests.conftest import sample
from tests.fakes import FakeRunner
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
from wasmdock.wasm_sniff import Form, form_of

BOUND = 1 << 40


# Some of these kept wasmtime 50 busy for minutes.
DEAR = [
    hostile.many_functions(10_000),
    hostile.giant_locals(100),
    hostile.typed_locals(100),
    hostile.nested_loops(10_000),
    hostile.looped_locals(200, 200),
    hostile.left_blocks(200, 200),
    hostile.wide_loops(100, 1000),
    hostile.wide_calls(50, 1000),
    hostile.large_structs(100, 10_000),
    hostile.many_types(10_000),
    hostile.growing(6_000),
    hostile.adapters(1000, 300),
]
# The largest of each kind that are still compiled here.
EDGE = [
    hostile.many_functions(3_600),
    hostile.giant_locals(70),
    hostile.nested_loops(5_200),
    hostile.looped_locals(100, 100),
    hostile.left_blocks(100, 100),
    hostile.wide_calls(10, 1000),
    hostile.many_types(1_900),
    hostile.growing(2_300),
    hostile.adapters(1000, 100),
]


@pytest.mark.parametrize("data", DEAR)
def test_what_is_dear_to_compile_is_seen_without_compiling(data: bytes) -> None:
    assert estimate_cost(data, CHEAP) >= CHEAP


@pytest.mark.parametrize("data", EDGE)
def test_what_is_compiled_here_is_done_soon_whatever_its_shape(data: bytes) -> None:
    assert estimate_cost(data, CHEAP) < CHEAP
    engine, began = Engine(compile_time=None), time.process_time()
    (engine.component if form_of(data) is Form.COMPONENT else engine.module)(data)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["hello", "component_cli"])
def test_small_guest_is_cheap(name: str) -> None:
    data = extract(sample(name))
    assert len(data) <= estimate_cost(data, BOUND) < CHEAP


def test_binary_that_cannot_be_read_counts_as_dear() -> None:
    assert estimate_cost(hostile.many_functions(1)[:-2], BOUND) == BOUND


def test_dear_guest_runs_like_any_other() -> None:
    image = pack(Artifact("dear", Target.WASIP1, hostile.many_functions(5_000)))
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
    image = pack(Artifact("hostile", Target.WASIP1, hostile.looped_locals(700, 700)))
    began = time.monotonic()
    with pytest.raises(GuestError, match=r"compiling: stopped after 0.3 s \(--compile-time\)"):
        InProcessRuntime(compile_time=0.3).run(image, RunRequest())
    assert time.monotonic() - began < 20


def test_unsound_binary_is_explained_by_the_child_as_here() -> None:
    data = hostile.module(b"\0\x6a\x0b")
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
