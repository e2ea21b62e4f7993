"""One wasmtime engine: its configuration, and Wasm binaries compiled once or fetched from the cache."""

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.code_cache import CodeCache
from wasmdock.engine.endings import one_line
from wasmdock.errors import GuestError
from wasmdock.program_size import LIFT, excess
from wasmdock.runtime import DEFAULT_STACK
from wasmdock.watch import Watch

if TYPE_CHECKING:
    from wasmtime import component

COMPILE_TIME = 60.0  # seconds a compilation may take, unless the caller says otherwise
# What is dearer than this (see wasm_cost) is compiled in a child, which can be ended, for 0.1 to 0.2 s more; what
# stays here takes 2 s at the very worst that was found, and a guest like hello-world a tenth of that.
CHEAP = 256 << 10
# The process that has wasmtime's compiling threads: one forked from it waits for them for ever.
_COMPILING: dict[str, int] = {}
_WRITTEN = "witness 2"  # what is compiled besides the guest; another word makes older code in caches unused
_LEAST_HERE = 5.0  # seconds; under a shorter limit even what is cheap goes to the child


def version() -> str:
    """The wasmtime package's version, such as "50.0.1". importlib.metadata would cost 10 ms of every start."""
    site = Path(wasmtime.__file__).parent.parent
    names = sorted(folder.name for folder in site.glob("wasmtime-*.dist-info"))
    return names[-1].removeprefix("wasmtime-").removesuffix(".dist-info") if names else "unknown"


class Engine:
    """One wasmtime engine with its compiled-code cache and its watching thread. `metered` compiles for fuel."""

    def __init__(
        self,
        cache: CodeCache | None = None,
        metered: bool = False,
        stack: int = DEFAULT_STACK,
        compile_time: float | None = COMPILE_TIME,
        pooled: bool = False,
    ) -> None:
        """Configure wasmtime; nothing is compiled yet. stack is bytes; compile_time is seconds, None: no limit.

        pooled: instances come from a pool (see pool), for binaries that fit it.
        """
        self._engine = configured(metered, stack, pooled)
        self.pointer = self._engine.ptr()
        self._compile_time = compile_time
        self._cache = cache
        self.metered, self.pooled = metered, pooled
        self.watch = Watch(self._engine.increment_epoch)

    def module(self, data: bytes) -> wasmtime.Module:
        """A core module, compiled or from the cache. Raises GuestError."""
        module: wasmtime.Module = self._load(data, wasmtime.Module)
        return module

    def component(self, data: bytes) -> "component.Component":
        """A component, compiled or from the cache. Raises GuestError."""
        from wasmtime.component import Component

        compiled: Component = self._load(data, Component)
        return compiled

    @property
    def raw_engine(self) -> wasmtime.Engine:
        """wasmtime's own engine."""
        return self._engine

    def _load(self, data: bytes, kind: Any) -> Any:
        if too_large := excess(len(data)):
            raise GuestError(f"compiling: {too_large}", LIFT)
        key = self._key(data)
        cached = self._cache.get(key) if self._cache else None
        if self._cache and cached is not None:
            try:
                return self._load_code(cached, kind)
            except wasmtime.WasmtimeError:  # another wasmtime or CPU wrote it under the same key: compile again
                self._cache.drop(key)
        if not self._is_dear(data):
            compiled = compile_here(self._engine, data, kind)
            code = bytes(compiled.serialize()) if self._cache else b""
        else:
            from wasmdock.engine.compile_child import compile_in_child  # most runs need no second process

            code = compile_in_child(data, kind is not wasmtime.Module, self.metered, self._compile_time or COMPILE_TIME)
            compiled = self._load_code(code, kind)
        if self._cache:
            self._cache.put(key, code)
        return compiled

    def _load_code(self, code: bytes, kind: Any) -> Any:
        """Raises GuestError where the pool has no room for it (the same code runs outside)."""
        try:
            return kind.deserialize(self._engine, code)
        except wasmtime.WasmtimeError as error:
            if self.pooled:
                from wasmdock.engine.pool import is_too_large

                if is_too_large(error):
                    raise GuestError(f"compiling: {one_line(error)}") from error
            raise

    def _is_dear(self, data: bytes) -> bool:
        """Whether compiling it could take so long that it has to be done where it can be ended."""
        if os.getpid() != _COMPILING.get("process", os.getpid()):
            return True
        if self._compile_time is None:
            return False
        from wasmdock.wasm_cost import estimate_cost

        return self._compile_time < _LEAST_HERE or estimate_cost(data, CHEAP) >= CHEAP

    def _key(self, data: bytes) -> str:
        host = f"{version()} {platform.machine()} {platform.system()} fuel={self.metered} {_WRITTEN} "
        return hashlib.sha256(host.encode() + hashlib.sha256(data).digest()).hexdigest()


def configured(metered: bool, stack: int = DEFAULT_STACK, pooled: bool = False) -> wasmtime.Engine:
    """wasmtime's own engine as we want it."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.consume_fuel = metered
    if stack != DEFAULT_STACK:
        # wasmtime aborts where its stacks for async calls, which we do not use, are smaller than this one.
        raw.wasmtime_config_async_stack_size_set(config.ptr(), stack + (2 << 20))
        config.max_wasm_stack = stack
    if pooled:
        from wasmdock.engine.pool import use_pool  # programs that run one guest need none

        use_pool(config)
    return wasmtime.Engine(config)


def compile_here(engine: wasmtime.Engine, data: bytes, kind: Any) -> Any:
    """Compile in this process, however long it takes, with a witness. Raises GuestError."""
    _COMPILING.setdefault("process", os.getpid())
    with suppress(wasmtime.WasmtimeError):  # what wasmtime says of the binary as it is is to be told
        watched = _with_witness(engine, data)
        if watched is not None:
            return kind(engine, watched)
    try:
        return kind(engine, data)
    except wasmtime.WasmtimeError as error:
        raise GuestError(
            f"compiling: {one_line(error)}",
            "check that the file is a sound Wasm binary: wasmdock inspect",
        ) from error


def _with_witness(engine: wasmtime.Engine, data: bytes) -> bytes | None:
    """The binary with a witness. Raises WasmtimeError for an unsound one: what we add could be what it lacks."""
    from wasmdock.wasm_sniff import core_modules
    from wasmdock.wasm_witness import with_witness  # not where the code comes from the cache

    witnessed = with_witness(data)
    if witnessed is None:
        return None
    for module in core_modules(data):
        wasmtime.Module.validate(engine, data[module.pos - 8 : module.end])
    return witnessed.data


def assemble(text: bytes, what: str) -> bytes:
    """Turn WebAssembly text (.wat) into the binary. Raises GuestError with line and column."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise GuestError(f'assembling "{what}": {one_line(error)}', "check the text form at the line named") from error
