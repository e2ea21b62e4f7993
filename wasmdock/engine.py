"""wasmtime: configuration, compiled code, fresh instances.

The one importer of the wasmtime package. Its private bindings are used in three places that the public
classes do not reach (standard input from bytes, the epoch callback, a call without type look-ups), which
is why the dependency is pinned to one major version.
"""

import contextlib
import ctypes
import hashlib
import platform
from collections.abc import Iterator, Mapping
from ctypes import POINTER, byref
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import wasmtime
from wasmtime import _bindings as raw
from wasmtime import component

from wasmdock.code_cache import CodeCache
from wasmdock.errors import GuestError
from wasmdock.runtime import Mount
from wasmdock.watch import Guard, Watch

MAX_BINARY = 256 << 20  # bytes of Wasm that are compiled at all
_STOPPED = b"stopped by wasmdock"
_FOREVER = 1 << 40
_WAITING_FUNCTIONS = frozenset({"poll_oneoff", "sock_accept", "sock_recv", "sock_send"})
_WAITING_INTERFACES = ("wasi:io/poll", "wasi:sockets/", "wasi:http/")
_MEMORY_KIND = 3  # WASMTIME_EXTERN_MEMORY of wasmtime/extern.h


def version() -> str:
    """The wasmtime package's version, such as "50.0.1". importlib.metadata would cost 10 ms of every start."""
    site = Path(wasmtime.__file__).parent.parent
    names = sorted(folder.name for folder in site.glob("wasmtime-*.dist-info"))
    return names[-1].removeprefix("wasmtime-").removesuffix(".dist-info") if names else "unknown"


class EndKind(Enum):
    """How a guest's code came to its end."""

    EXITED = "exited"
    TRAPPED = "trapped"
    STOPPED = "stopped"
    REFUSED_MEMORY = "refused memory"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one instance: `code` of an exit, `message` of anything else (cause, then Wasm backtrace).

    memory is the final size of the linear memory in bytes, None where it cannot be seen.
    """

    kind: EndKind
    code: int = 0
    message: str = ""
    memory: int | None = None


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


class Program(Protocol):
    """A compiled guest with its imports resolved."""

    @property
    def may_block(self) -> bool:
        """Whether it can wait in a host call, where neither epoch nor fuel reaches it."""

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run a fresh instance to its end, in this thread."""


class Engine:
    """One wasmtime engine with its compiled-code cache and its watching thread. `metered` compiles for fuel."""

    def __init__(self, cache: CodeCache | None = None, metered: bool = False) -> None:
        """Configure wasmtime; nothing is compiled yet."""
        config = wasmtime.Config()
        config.epoch_interruption = True
        config.consume_fuel = metered
        self._engine = wasmtime.Engine(config)
        self._cache = cache
        self.metered = metered
        self.watch = Watch(self._engine.increment_epoch)

    def command(self, data: bytes, is_component: bool, export: str = "_start") -> Program:
        """Compile a command (or fetch its compiled code) and resolve its imports. Raises GuestError.

        export is the function without parameters that a core module is started by.
        """
        if is_component:
            return ComponentCommand(self, self.component(data))
        return ModuleCommand(self, self.module(data), export)

    def module(self, data: bytes) -> wasmtime.Module:
        """A core module, compiled or from the cache. Raises GuestError."""
        return self._load(data, wasmtime.Module)

    def component(self, data: bytes) -> component.Component:
        """A component, compiled or from the cache. Raises GuestError."""
        return self._load(data, component.Component)

    @property
    def raw_engine(self) -> wasmtime.Engine:
        """wasmtime's own engine."""
        return self._engine

    def _load(self, data: bytes, kind: Any) -> Any:
        if len(data) > MAX_BINARY:
            raise GuestError(f"compiling: {len(data)} bytes are more than the {MAX_BINARY} that are taken")
        key = self._key(data)
        cached = self._cache.get(key) if self._cache else None
        if self._cache and cached is not None:
            try:
                return kind.deserialize(self._engine, cached)
            except wasmtime.WasmtimeError:  # another wasmtime or CPU wrote it under the same key: compile again
                self._cache.drop(key)
        compiled = self._compile(data, kind)
        if self._cache:
            self._cache.put(key, bytes(compiled.serialize()))
        return compiled

    def _compile(self, data: bytes, kind: Any) -> Any:
        try:
            return kind(self._engine, data)
        except wasmtime.WasmtimeError as error:
            raise GuestError(
                f"compiling: {one_line(error)}", "check that the file is a sound Wasm binary: wasmdock inspect"
            ) from error

    def _key(self, data: bytes) -> str:
        host = f"{version()} {platform.machine()} {platform.system()} fuel={self.metered} "
        return hashlib.sha256(host.encode() + hashlib.sha256(data).digest()).hexdigest()


class ModuleCommand:
    """A WASI preview 1 command: a core module started by `_start` or another function without parameters."""

    def __init__(self, engine: Engine, module: wasmtime.Module, export: str = "_start") -> None:
        """Resolve the imports once. Raises GuestError for one that WASI preview 1 does not have."""
        self._engine, self._export = engine, export
        self.may_block = any(each.name in _WAITING_FUNCTIONS for each in module.imports)
        _check_startable(module, export)
        linker = wasmtime.Linker(engine.raw_engine)
        linker.define_wasi()
        try:
            self._pre = linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise import_error(error) from error

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run `_start` of a fresh instance to its end, in this thread."""
        with fresh_store(self._engine, grants, guard) as store:
            context = store._context()
            instance, trap = raw.wasmtime_instance_t(), POINTER(raw.wasm_trap_t)()
            error = raw.wasmtime_instance_pre_instantiate(
                self._pre.ptr(), context, byref(instance), byref(trap)
            )
            if error or trap:
                return _ending(_failure(error, trap), guard, instantiating=True)
            start = _export(context, instance, self._export.encode())
            error = raw.wasmtime_func_call(context, byref(start.of.func), None, 0, None, 0, byref(trap))
            memory = _memory_size(context, instance)
            return _ending(_failure(error, trap), guard, memory)


class ComponentCommand:
    """A WASI 0.2 command: a component that exports `wasi:cli/run`."""

    def __init__(self, engine: Engine, compiled: component.Component) -> None:
        """Find the run function and give the linker WASI 0.2. Raises GuestError."""
        self._engine, self._component = engine, compiled
        self._linker = component.Linker(engine.raw_engine)
        self._linker.add_wasip2()
        names = [name for name in compiled.type.exports(engine.raw_engine) if name.startswith("wasi:cli/run@")]
        interface = compiled.get_export_index(names[0]) if names else None
        self._run = compiled.get_export_index("run", interface) if interface else None
        if self._run is None:
            raise GuestError("starting the guest: it does not export wasi:cli/run", "wasmdock inspect shows its exports")
        imports = compiled.type.imports(engine.raw_engine)
        self.may_block = any(name.startswith(_WAITING_INTERFACES) for name in imports)

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run `wasi:cli/run` of a fresh instance to its end, in this thread."""
        with fresh_store(self._engine, grants, guard) as store:
            try:
                instance = self._linker.instantiate(store, self._component)
            except wasmtime.WasmtimeError as error:
                if "matching implementation was not found" in str(error):
                    raise import_error(error) from error
                return _ending(error, guard, instantiating=True)
            except wasmtime.Trap as trap:
                return _ending(trap, guard, instantiating=True)
            assert self._run is not None
            function = instance.get_func(store, self._run)
            assert function is not None, "the component's type says that run is a function"
            try:
                result = function(store)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                return _ending(error, guard)
            return Ending(EndKind.EXITED, code=0 if _is_ok(result) else 1)


def _check_startable(module: wasmtime.Module, export: str) -> None:
    functions = {each.name: each.type for each in module.exports if isinstance(each.type, wasmtime.FuncType)}
    if export not in functions:
        there = ", ".join(sorted(str(name) for name in functions)[:20]) or "none"
        raise GuestError(f'starting the guest at "{export}": it exports no such function', f"it exports: {there}")
    if functions[export].params or functions[export].results:
        raise GuestError(
            f'starting the guest at "{export}": the function takes parameters or gives results',
            "call it with wasmdock invoke",
        )


@contextlib.contextmanager
def fresh_store(engine: Engine, grants: Grants, guard: Guard) -> Iterator[wasmtime.Store]:
    """A store that holds exactly what is granted and asks `guard` at every tick whether to go on.

    Raises GuestError for a grant that wasmtime refuses, such as a directory that is not there.
    """
    store = wasmtime.Store(engine.raw_engine)
    try:
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=-1 if grants.memory is None else grants.memory,
            table_elements=-1 if grants.tables is None else grants.tables,
        )
        if engine.metered:
            store.set_fuel(_FOREVER if grants.fuel is None else grants.fuel)
        store.set_wasi(_wasi(grants))
        with _asked(store, guard), engine.watch.over(guard):
            yield store
    finally:
        store.close()


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
                f'granting directory "{mount.host}": it cannot be opened', "check that it exists and is readable"
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


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, POINTER(ctypes.c_uint64), ctypes.c_void_p)
def _on_epoch(_context: int, key: int | None, delta: Any, _kind: int) -> int | None:
    guard = _GUARDS.get(key or 0)
    if guard is not None and guard.should_stop():
        return ctypes.cast(raw.wasmtime_error_new(_STOPPED), ctypes.c_void_p).value
    delta[0] = 1
    return None


_CALLBACK_TYPE, _FINALIZER_TYPE = (raw._wasmtime_store_epoch_deadline_callback.argtypes[index] for index in (1, 3))
_CALLBACK = ctypes.cast(_on_epoch, _CALLBACK_TYPE)
_NO_FINALIZER = ctypes.cast(0, _FINALIZER_TYPE)  # `_asked` forgets the guard


@contextlib.contextmanager
def _asked(store: wasmtime.Store, guard: Guard) -> Iterator[None]:
    key = id(guard)
    _GUARDS[key] = guard
    raw.wasmtime_store_epoch_deadline_callback(store.ptr(), _CALLBACK, key, _NO_FINALIZER)
    try:
        yield
    finally:
        del _GUARDS[key]


def _export(context: Any, instance: Any, name: bytes) -> Any:
    item = raw.wasmtime_extern_t()
    found = raw.wasmtime_instance_export_get(context, byref(instance), name, len(name), byref(item))
    return item if found else None


def _memory_size(context: Any, instance: Any) -> int | None:
    item = _export(context, instance, b"memory")
    if item is None or item.kind != _MEMORY_KIND:
        return None
    return int(raw.wasmtime_memory_data_size(context, byref(item.of.memory)))


def _failure(error: Any, trap: Any) -> Exception | None:
    if error:
        return wasmtime.WasmtimeError._from_ptr(error)
    return wasmtime.Trap._from_ptr(trap) if trap else None


def _ending(
    failure: Exception | None, guard: Guard, memory: int | None = None, instantiating: bool = False
) -> Ending:
    if failure is None:
        return Ending(EndKind.EXITED, memory=memory)
    if isinstance(failure, wasmtime.ExitTrap):
        return Ending(EndKind.EXITED, code=failure.code & 0xFF, memory=memory)
    text = str(failure)
    if _STOPPED.decode() in text:
        return Ending(EndKind.STOPPED, message=guard.reason, memory=memory)
    if instantiating and "exceeds memory limits" in text:
        return Ending(EndKind.REFUSED_MEMORY, message=one_line(failure), memory=0)
    return Ending(EndKind.TRAPPED, message=explain_trap(text), memory=memory)


def explain_trap(text: str) -> str:
    """Put the cause of wasmtime's error text first and the Wasm backtrace under it."""
    backtrace, _, cause = text.partition("Caused by:")
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    frames = [line.rstrip() for line in backtrace.splitlines()[1:] if line.strip()]
    if not lines:
        return text.strip()
    return "\n".join([lines[-1].removeprefix("wasm trap: "), *frames])


def one_line(error: Exception) -> str:
    """wasmtime's message in one line: the attempt and the causes, joined."""
    parts = [line.strip() for line in str(error).splitlines()]
    return ": ".join(part.removeprefix("0: ") for part in parts if part and part != "Caused by:")


def import_error(error: Exception) -> GuestError:
    """The GuestError for an import that nobody provides."""
    return GuestError(
        f"resolving the guest's imports: {one_line(error)}",
        "wasmdock inspect lists what it asks for; build it for wasm32-wasip1 or wasm32-wasip2",
    )


def _is_ok(result: Any) -> bool:
    """Whether a WIT `result` without values is its ok case."""
    return getattr(result, "tag", "ok") == "ok"
