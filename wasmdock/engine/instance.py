"""Fresh stores: exactly what was granted, and a question to the guard at every tick."""

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char, c_char_p, cast
from functools import lru_cache
from typing import Any, NamedTuple

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.engine.compiler import Engine
from wasmdock.engine.endings import STOPPED
from wasmdock.errors import GuestError
from wasmdock.runtime import Mount
from wasmdock.watch import Guard

_PLENTY = 1 << 62  # fuel of a guest without a limit, on an engine that meters


class Grants(NamedTuple):
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


class _Granted:
    """What both stores share: the grants, and the watch over the guest from entering to leaving.

    holdings are the memories and tables that the guest defines: wasmtime limits each, so they share the grant.
    Entering raises GuestError for a grant that wasmtime refuses, such as a directory that is not there. (Classes,
    not generators, and C functions without wasmtime's wrappers: this is the path whose microseconds count.)
    """

    __slots__ = ("_engine", "_grants", "_guard", "_holdings", "_store")

    def __init__(self, engine: Engine, grants: Grants, guard: Guard, holdings: tuple[int, int]) -> None:
        """Grant nothing yet."""
        self._engine, self._grants, self._guard, self._holdings = engine, grants, guard, holdings

    def _begin(self, pointer: Any, context: Any) -> None:
        self._limit(pointer, context)
        _check(raw._wasmtime_context_set_wasi(context, _wasi(self._grants)))
        guard = self._guard
        self._engine.watch.add(guard)
        _GUARDS[id(guard)] = guard
        raw._wasmtime_store_epoch_deadline_callback(pointer, _CALLBACK, id(guard), _NO_FINALIZER)

    def _end(self) -> None:
        self._engine.watch.remove(self._guard)
        del _GUARDS[id(self._guard)]

    def _limit(self, pointer: Any, context: Any) -> None:
        memory, tables, fuel = self._grants.memory, self._grants.tables, self._grants.fuel
        own_memories, own_tables = (max(1, count) for count in self._holdings)
        raw._wasmtime_context_set_epoch_deadline(context, 1)
        raw._wasmtime_store_limiter(
            pointer,
            -1 if memory is None else memory // own_memories,
            -1 if tables is None else tables // own_tables,
            -1,
            -1 if tables is None else own_tables,
            -1 if memory is None else own_memories,
        )
        if self._engine.metered:
            _check(raw._wasmtime_context_set_fuel(context, _PLENTY if fuel is None else fuel))


class FreshStore(_Granted):
    """A store that holds exactly what is granted and asks `guard` at every tick whether to go on."""

    __slots__ = ()

    def __enter__(self) -> wasmtime.Store:
        """Grant, and put the guest under watch."""
        self._store = store = wasmtime.Store(self._engine.raw_engine)
        try:
            self._begin(store.ptr(), store._context())
        except BaseException:
            store.close()
            raise
        return store

    def __exit__(self, *_: object) -> None:
        """End the watch and the store."""
        self._end()
        self._store.close()


class FreshContext(_Granted):
    """The same for who calls C functions only: entering gives the store's context."""

    __slots__ = ()

    def __enter__(self) -> Any:
        """Grant, and put the guest under watch."""
        self._store = pointer = raw._wasmtime_store_new(self._engine.pointer, None, _NO_FINALIZER)
        context = raw._wasmtime_store_context(pointer)
        try:
            self._begin(pointer, context)
        except BaseException:
            raw._wasmtime_store_delete(pointer)
            raise
        return context

    def __exit__(self, *_: object) -> None:
        """End the watch and the store."""
        self._end()
        raw._wasmtime_store_delete(self._store)


def _check(error: Any) -> None:
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


def _wasi(grants: Grants) -> Any:
    """The C configuration, for the store to take over."""
    config = raw._wasi_config_new()
    try:
        _fill(config, grants)
    except BaseException:
        raw._wasi_config_delete(config)
        raise
    return config


def _fill(config: Any, grants: Grants) -> None:
    argv, env = grants.argv, grants.env
    arguments = _texts(argv, "arguments")
    _granted(raw._wasi_config_set_argv(config, len(argv), arguments), "arguments", "it is not UTF-8 text")
    if env:
        names, values = _texts(tuple(env), "environment"), _texts(tuple(env.values()), "environment")
        _granted(raw._wasi_config_set_env(config, len(env), names, values), "environment", "it is not UTF-8 text")
    for mount in grants.mounts:
        error = raw._wasi_config_preopen_dir(config, _text(str(mount.host)), _text(mount.guest), not mount.read_only)
        _granted(error, f'directory "{mount.host}"', "it cannot be opened", "check that it exists and is readable")
    if grants.stdin is not None:
        raw._wasi_config_set_stdin_bytes(config, byref(_byte_vector(grants.stdin)))
    elif grants.interactive:
        raw._wasi_config_inherit_stdin(config)
    if grants.stdout is None:
        raw._wasi_config_inherit_stdout(config)
    else:
        _granted(raw._wasi_config_set_stdout_file(config, _text(grants.stdout)), "stdout", "it cannot be opened")
    if grants.stderr is None:
        raw._wasi_config_inherit_stderr(config)
    else:
        _granted(raw._wasi_config_set_stderr_file(config, _text(grants.stderr)), "stderr", "it cannot be opened")


def _granted(done: bool, what: str, wrong: str, hint: str = "") -> None:
    if not done:
        raise GuestError(f"granting {what}: {wrong}", hint)


@lru_cache(maxsize=64)
def _text(text: str) -> Any:
    """A C string; wasmtime copies what it is given."""
    return cast(c_char_p(_encoded(text, "a path")), POINTER(c_char))


@lru_cache(maxsize=16)
def _texts(texts: tuple[str, ...], what: str) -> Any:
    """An array of C strings, kept for the next instance with the same arguments. Raises GuestError."""
    return cast((c_char_p * len(texts))(*(_encoded(text, what) for text in texts)), POINTER(POINTER(c_char)))


def _encoded(text: str, what: str) -> bytes:
    """The bytes of a C string; a NUL would end it early. No message repeats the text: it may be a secret."""
    if "\0" in text:
        raise GuestError(f"granting {what}: there is a NUL in it")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise GuestError(f"granting {what}: it is not UTF-8 text") from error


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
_NO_FINALIZER = ctypes.cast(0, _ARGUMENT_TYPES[3])  # leaving the store forgets the guard
