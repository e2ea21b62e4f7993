"""Instances that stay after their command ended, so that what they hold can be counted."""

import contextlib
from collections.abc import Callable, Sequence

import wasmtime
from wasmtime import component

from wasmdock.engine.compiler import Engine
from wasmdock.errors import GuestError, UnavailableError

_NEVER = 1 << 60  # epochs


class Held:
    """One compiled command, started again and again; every instance stays until it is given back."""

    def __init__(self, engine: Engine, data: bytes, is_component: bool) -> None:
        """Compile (or fetch the compiled code) and resolve the imports once. Raises GuestError."""
        self._engine = engine
        self._start: Callable[[wasmtime.Store], object]
        if is_component:
            self._start = _component_start(engine, engine.component(data))
        else:
            self._start = _module_start(engine, engine.module(data))

    def start(self, argv: Sequence[str], memory: int | None = None) -> Callable[[], None]:
        """Run one more to its end and keep it; what is returned gives it back.

        Its output goes nowhere. Raises UnavailableError where this process has no room for another.
        """
        store = wasmtime.Store(self._engine.raw_engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = list(argv)
        store.set_wasi(wasi)
        store.set_epoch_deadline(_NEVER)
        store.set_limits(memory_size=-1 if memory is None else memory)
        try:
            kept = self._start(store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            store.close()
            raise UnavailableError(f"keeping one more instance: {str(error).splitlines()[0]}") from error

        def give_back() -> None:
            nonlocal kept
            kept = None
            store.close()

        return give_back


def _module_start(engine: Engine, module: wasmtime.Module) -> Callable[[wasmtime.Store], object]:
    linker = wasmtime.Linker(engine.raw_engine)
    linker.define_wasi()

    def start(store: wasmtime.Store) -> object:
        instance = linker.instantiate(store, module)
        function = instance.exports(store)["_start"]
        assert isinstance(function, wasmtime.Func)
        with contextlib.suppress(wasmtime.ExitTrap):  # whatever the code: the instance is there
            function(store)
        return instance

    return start


def _component_start(engine: Engine, compiled: component.Component) -> Callable[[wasmtime.Store], object]:
    linker = component.Linker(engine.raw_engine)
    linker.add_wasip2()
    names = [name for name in compiled.type.exports(engine.raw_engine) if name.startswith("wasi:cli/run@")]
    interface = compiled.get_export_index(names[0]) if names else None
    run = compiled.get_export_index("run", interface) if interface else None
    if run is None:
        raise GuestError("keeping instances of the guest: it does not export wasi:cli/run")

    def start(store: wasmtime.Store) -> object:
        instance = linker.instantiate(store, compiled)
        function = instance.get_func(store, run)
        assert function is not None, "the component's type says that run is a function"
        with contextlib.suppress(wasmtime.ExitTrap):
            function(store)
        return instance

    return start
