"""Room made ready for many fresh instances: wasmtime's pooling allocator, where a guest and this process allow it.

An instance from the pool starts and ends some 20 microseconds earlier than one whose memory is mapped anew.
"""

import mmap

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.runtime import Limits
from wasmdock.wasm_holdings import count_holdings
from wasmdock.wasm_sniff import Form

SLOTS = 16  # instances at once; a run beyond them is given memory of its own
_MEMORIES = 2 * SLOTS  # a guest with garbage collection has its heap in one, beside its linear memory
_MEMORY = 1 << 32  # bytes of address space reserved for each
_TABLE = 1_000_000  # elements
_INSTANCE = 64 << 20  # bytes for globals and the like; not reserved, only checked
_ROOM = _MEMORIES * (_MEMORY + (64 << 20))  # with the guards between them
_BUSY = "maximum concurrent"  # of wasmtime's error where every slot is taken
_TOO_LARGE = "pooling allocator"  # and where a module does not fit into one


def suits(limits: Limits) -> bool:
    """Whether a slot is as large as the limits allow a guest to become."""
    within = limits.memory is not None and limits.memory <= _MEMORY
    return within and limits.tables is not None and limits.tables <= _TABLE


def fits(data: bytes, form: Form) -> bool:
    """Whether a binary needs no more memories and tables than a slot has, one of each. Raises GuestError."""
    return form is Form.MODULE and max(count_holdings(data)) <= 1


def is_too_large(error: Exception) -> bool:
    """Whether wasmtime refused a binary because it needs more than a slot has."""
    return _TOO_LARGE in str(error)


def is_busy(error: Exception) -> bool:
    """Whether wasmtime refused an instance because every slot was taken."""
    return _BUSY in str(error)


def has_room() -> bool:
    """Whether this process may reserve what the pool does; asked first, for wasmtime's C API aborts where it cannot."""
    try:
        mmap.mmap(-1, _ROOM, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0), 0).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def use_pool(config: wasmtime.Config) -> None:
    """Let an engine take its instances from a pool."""
    pool = raw.wasmtime_pooling_allocation_config_new()
    raw.wasmtime_pooling_allocation_config_total_core_instances_set(pool, SLOTS)
    raw.wasmtime_pooling_allocation_config_total_memories_set(pool, _MEMORIES)
    raw.wasmtime_pooling_allocation_config_total_tables_set(pool, SLOTS)
    raw.wasmtime_pooling_allocation_config_total_gc_heaps_set(pool, SLOTS)
    raw.wasmtime_pooling_allocation_config_total_stacks_set(pool, 0)  # of async calls, which we do not use
    raw.wasmtime_pooling_allocation_config_max_memory_size_set(pool, _MEMORY)
    raw.wasmtime_pooling_allocation_config_max_core_instance_size_set(pool, _INSTANCE)
    raw.wasmtime_pooling_allocation_config_table_elements_set(pool, _TABLE)
    raw.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    raw.wasmtime_pooling_allocation_config_delete(pool)
