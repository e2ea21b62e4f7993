"""Commands of WASI 0.2: components run once from a fresh instance."""

from typing import Any

import wasmtime
from wasmtime import component

from wasmdock.engine.compiler import Engine
from wasmdock.engine.endings import Ending, EndKind, ending_of, import_error
from wasmdock.engine.instance import FreshStore, Grants
from wasmdock.errors import GuestError
from wasmdock.wasm_holdings import count_holdings
from wasmdock.watch import Guard

_WAITING_INTERFACES = ("wasi:io/poll", "wasi:sockets/", "wasi:http/")


class ComponentCommand:
    """A WASI 0.2 command: a component that exports `wasi:cli/run`."""

    def __init__(self, engine: Engine, data: bytes) -> None:
        """Compile it, find the run function and give the linker WASI 0.2. Raises GuestError."""
        self._engine, self._data = engine, data
        self._component = compiled = engine.component(data)
        self._holdings = count_holdings(data)
        self._linker = component.Linker(engine.raw_engine)
        self._linker.add_wasip2()
        names = [name for name in compiled.type.exports(engine.raw_engine) if name.startswith("wasi:cli/run@")]
        interface = compiled.get_export_index(names[0]) if names else None
        self._run = compiled.get_export_index("run", interface) if interface else None
        if self._run is None:
            raise GuestError(
                "starting the guest: it does not export wasi:cli/run", "wasmdock inspect shows its exports"
            )
        imports = compiled.type.imports(engine.raw_engine)
        self.may_block = any(name.startswith(_WAITING_INTERFACES) for name in imports)

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run `wasi:cli/run` of a fresh instance to its end, in this thread."""
        with FreshStore(self._engine, grants, guard, self._holdings) as store:
            try:
                instance = self._linker.instantiate(store, self._component)
            except wasmtime.WasmtimeError as error:
                if "matching implementation was not found" in str(error):
                    raise import_error(error) from error
                return ending_of(error, guard, instantiating=True)
            except wasmtime.Trap as trap:
                return ending_of(trap, guard, instantiating=True)
            guard.begin()
            assert self._run is not None
            function = instance.get_func(store, self._run)
            assert function is not None, "the component's type says that run is a function"
            try:
                result = function(store)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                from wasmdock.engine.refusals import told_by_trap  # few runs end so

                return told_by_trap(ending_of(error, guard), self._data, grants)
            return Ending(EndKind.EXITED, code=0 if _is_ok(result) else 1)


def _is_ok(result: Any) -> bool:
    """Whether a WIT `result` without values is its ok case."""
    return getattr(result, "tag", "ok") == "ok"
