"""Instances from a pool: who gets one, and that nobody can tell."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.wat import image_of
from wasmdock.engine import pool
from wasmdock.engine.command import ModuleCommand
from wasmdock.inprocess import InProcessRuntime
from wasmdock.oci.image import Image
from wasmdock.programs import Programs
from wasmdock.runtime import Limits, Outcome, RunRequest

# Exits with 1 where its memory, its table or its global are not as they were declared, and spoils all three.
CLEAN = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2) (table $table 4 funcref) (global $global (mut i32) (i32.const 0)) (elem declare func $me)
  (func $me (export "_start")
    (if (i32.or (i32.or (i32.load (i32.const 100000)) (global.get $global))
                (i32.or (i32.ne (memory.size) (i32.const 2)) (i32.eqz (ref.is_null (table.get $table (i32.const 3))))))
      (then (call $exit (i32.const 1))))
    (i32.store (i32.const 100000) (i32.const 7)) (global.set $global (i32.const 7))
    (drop (memory.grow (i32.const 3))) (table.set $table (i32.const 3) (ref.func $me))))"""
GARBAGE = """(module (type $array (array (mut i64)))
  (func (export "_start") (drop (array.new $array (i64.const 1) (i32.const 1000)))))"""


def is_pooled(image: Image, limits: Limits) -> bool:
    program = Programs(None, pooled=True).of_image(image, limits).program
    assert isinstance(program, ModuleCommand)
    return program._engine.pooled


def module(fields: str) -> Image:
    return image_of(f'(module {fields} (func (export "_start")))')


def test_ordinary_command_takes_its_instances_from_a_pool() -> None:
    assert is_pooled(sample("hello"), Limits())


@pytest.mark.parametrize("fields", ["(memory 1) (memory 1)", "(table 1 funcref) (table 1 funcref)"])
def test_guest_that_needs_more_than_a_slot_has_runs_outside_the_pool(fields: str) -> None:
    assert not is_pooled(module(fields), Limits())
    assert InProcessRuntime().run(module(fields), RunRequest()).exit_code == 0


@pytest.mark.parametrize("limits", [Limits(memory=None), Limits(tables=None), Limits(tables=2_000_000)])
def test_guest_that_may_outgrow_a_slot_runs_outside_the_pool(limits: Limits) -> None:
    assert not is_pooled(sample("hello"), limits)
    assert InProcessRuntime().run(sample("hello"), RunRequest(limits=limits)).exit_code == 0


def test_guest_with_a_larger_table_than_a_slot_ends_as_outside_the_pool(tmp_path: Path) -> None:
    image = module("(table 1000001 funcref)")
    for runtime in (InProcessRuntime(tmp_path), InProcessRuntime(tmp_path), InProcessRuntime()):  # the second from code
        assert runtime.run(image, RunRequest()).outcome is Outcome.OUT_OF_MEMORY
    assert len(list(tmp_path.iterdir())) == 1


def test_process_without_the_room_runs_guests_outside_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_ROOM", 1 << 60)
    assert not pool.has_room()
    assert not is_pooled(sample("hello"), Limits())


def test_every_instance_from_the_pool_starts_clean() -> None:
    runtime, image = InProcessRuntime(), image_of(CLEAN)
    assert is_pooled(image, Limits())
    assert {runtime.run(image, RunRequest()).exit_code for _ in range(2 * pool.SLOTS)} == {0}


def test_more_guests_at_once_than_slots_run_all_the_same() -> None:
    """They start together and spin for a second, so all are alive at once."""
    runtime, count = InProcessRuntime(), pool.SLOTS + 4
    runtime.prepare(sample("spin"))
    together = threading.Barrier(count)

    def run(_: int) -> Outcome:
        together.wait()
        return runtime.run(sample("spin"), RunRequest(limits=Limits(timeout=1.0))).outcome

    with ThreadPoolExecutor(count) as threads:
        assert set(threads.map(run, range(count))) == {Outcome.TIMED_OUT}


def test_guest_with_a_garbage_collected_heap_runs_from_the_pool() -> None:
    image = image_of(GARBAGE)
    assert is_pooled(image, Limits())
    runtime = InProcessRuntime()
    assert {runtime.run(image, RunRequest()).exit_code for _ in range(2 * pool.SLOTS)} == {0}
