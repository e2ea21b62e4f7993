"""Fresh stores: exactly what was granted, and a question to the guard at every tick."""

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, byref
from dataclasses import dataclass
from typing import Any

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.engine.compiler import Engine
from wasmdock.engine.endings import STOPPED
from wasmdock.errors import GuestError
from wasmdock.runtime import Mount
from wasmdock.watch import Guard

_PLENTY = 1 << 62  # fuel of a guest without a limit, on an engine that meters


@dataclass(frozen=True, slots=True)
class Grants:
    """All that one instance gets. stdout and stderr are paths to open for writing, None to share ours.

    stdin is given whole; None is the empty stream, or ours where `interactive`. memory is bytes,
    tables is elements, fuel is instructions; None lifts the limit.
    """

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    mounts: tuple[Mount, ...] = ()
    stdin: bytes | None = None
    interactive: bool = False
    stdout: str | None = None
    stderr: str | None = None
    memory: int | None = None
    tables: int | None = None
    fuel: int | None = None


class FreshStore:
    """A store that holds exactly what is granted and asks `guard` at every tick whether to go on.

    holdings are the memories and tables that the guest defines: wasmtime limits each, so they share the grant.
    Entering raises GuestError for a grant that wasmtime refuses, such as a directory that is not there. (A class,
    not a generator: this is the path whose microseconds count.)
    """

    def __init__(self, engine: Engine, grants: Grants, guard: Guard, holdings: tuple[int, int]) -> None:
        """Make the store and grant nothing yet."""
        self._engine, self._grants, self._guard, self._holdings = engine, grants, guard, holdings
        self._store = wasmtime.Store(engine.raw_engine)

    def __enter__(self) -> wasmtime.Store:
        """Grant, and put the guest under watch."""
        store, key = self._store, id(self._guard)
        try:
            self._limit(store)
            store.set_wasi(_wasi(self._grants))
        except BaseException:
            store.close()
            raise
        _GUARDS[key] = self._guard
        raw.wasmtime_store_epoch_deadline_callback(store.ptr(), _CALLBACK, key, _NO_FINALIZER)
        self._engine.watch.add(self._guard)
        return store

    def __exit__(self, *_: object) -> None:
        """End the watch and the store."""
        self._engine.watch.remove(self._guard)
        del _GUARDS[id(self._guard)]
        self._store.close()

    def _limit(self, store: wasmtime.Store) -> None:
        grants = self._grants
        memories, tables = (max(1, count) for count in self._holdings)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=-1 if grants.memory is None else grants.memory // memories,
            table_elements=-1 if grants.tables is None else grants.tables // tables,
            memories=-1 if grants.memory is None else memories,
            tables=-1 if grants.tables is None else tables,
        )
        if self._engine.metered:
            store.set_fuel(_PLENTY if grants.fuel is None else grants.fuel)


def _wasi(grants: Grants) -> wasmtime.WasiConfig:
    config = wasmtime.WasiConfig()
    config.argv = list(grants.argv)
    if grants.env:
        config.env = list(grants.env.items())
    for mount in grants.mounts:
        try:
            config.preopen_dir(str(mount.host), mount.guest, not mount.read_only)
        except wasmtime.WasmtimeError as error:
            raise GuestError(
                f'granting directory "{mount.host}": it cannot be opened',
                "check that it exists and is readable",
            ) from error
    if grants.stdin is not None:
        raw.wasi_config_set_stdin_bytes(config.ptr(), byref(_byte_vector(grants.stdin)))
    elif grants.interactive:
        config.inherit_stdin()
    if grants.stdout is None:
        config.inherit_stdout()
    else:
        config.stdout_file = grants.stdout
    if grants.stderr is None:
        config.inherit_stderr()
    else:
        config.stderr_file = grants.stderr
    return config


def _byte_vector(data: bytes) -> Any:
    """A copy of `data` that wasmtime takes over and frees."""
    vector = raw.wasm_byte_vec_t()
    raw.wasm_byte_vec_new(byref(vector), len(data), (ctypes.c_ubyte * len(data)).from_buffer_copy(data))
    return vector


# The epoch callback: wasmtime calls it in the guest's thread at every tick of the watch.
_GUARDS: dict[int, Guard] = {}


def _on_epoch(_context: int, key: int | None, delta: Any, _kind: int) -> int | None:
    guard = _GUARDS.get(key or 0)
    if guard is not None and guard.should_stop():
        return ctypes.cast(raw.wasmtime_error_new(STOPPED), ctypes.c_void_p).value
    delta[0] = 1
    return None


_ARGUMENT_TYPES: Any = raw._wasmtime_store_epoch_deadline_callback.argtypes
_EPOCH_FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, POINTER(ctypes.c_uint64), ctypes.c_void_p
)(_on_epoch)
_CALLBACK = ctypes.cast(_EPOCH_FUNCTION, _ARGUMENT_TYPES[1])
_NO_FINALIZER = ctypes.cast(0, _ARGUMENT_TYPES[3])  # FreshStore forgets the guard
