"""One wasmtime engine: its configuration, and Wasm binaries compiled once or fetched from the cache."""

import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wasmtime

from wasmdock.code_cache import CodeCache
from wasmdock.engine.endings import one_line
from wasmdock.errors import GuestError
from wasmdock.watch import Watch

if TYPE_CHECKING:
    from wasmtime import component

MAX_BINARY = 256 << 20  # bytes of Wasm that are compiled at all


def version() -> str:
    """The wasmtime package's version, such as "50.0.1". importlib.metadata would cost 10 ms of every start."""
    site = Path(wasmtime.__file__).parent.parent
    names = sorted(folder.name for folder in site.glob("wasmtime-*.dist-info"))
    return names[-1].removeprefix("wasmtime-").removesuffix(".dist-info") if names else "unknown"


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
                f"compiling: {one_line(error)}",
                "check that the file is a sound Wasm binary: wasmdock inspect",
            ) from error

    def _key(self, data: bytes) -> str:
        host = f"{version()} {platform.machine()} {platform.system()} fuel={self.metered} "
        return hashlib.sha256(host.encode() + hashlib.sha256(data).digest()).hexdigest()


def assemble(text: bytes, what: str) -> bytes:
    """Turn WebAssembly text (.wat) into the binary. Raises GuestError with line and column."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise GuestError(f'assembling "{what}": {one_line(error)}', "check the text form at the line named") from error
