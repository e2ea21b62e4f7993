"""Commands: programs run once from a fresh instance; here those of WASI preview 1."""

from ctypes import POINTER, byref
from typing import Any, Protocol

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.engine.compiler import Engine
from wasmdock.engine.endings import BusyError, Ending, EndKind, ending_of, import_error
from wasmdock.engine.exits import define_exit
from wasmdock.engine.instance import FreshContext, Grants
from wasmdock.errors import GuestError
from wasmdock.wasm_holdings import count_holdings
from wasmdock.wasm_trap import WITNESS
from wasmdock.watch import Guard

_WAITING_FUNCTIONS = frozenset({"poll_oneoff", "sock_accept", "sock_recv", "sock_send"})
_MEMORY_KIND = 3  # WASMTIME_EXTERN_MEMORY of wasmtime/extern.h


class Program(Protocol):
    """A compiled guest with its imports resolved."""

    @property
    def may_block(self) -> bool:
        """Whether it can wait in a host call, where neither epoch nor fuel reaches it."""

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run a fresh instance to its end, in this thread."""


def load_command(engine: Engine, data: bytes, is_component: bool, export: str = "_start") -> Program:
    """Compile a command (or fetch its compiled code) and resolve its imports. Raises GuestError.

    export is the function without parameters that a core module is started by.
    """
    if is_component:
        from wasmdock.engine.component_command import ComponentCommand  # wasmtime.component costs 10 ms of a start

        return ComponentCommand(engine, data)
    return ModuleCommand(engine, data, export)


class ModuleCommand:
    """A WASI preview 1 command: a core module started by `_start` or another function without parameters."""

    def __init__(self, engine: Engine, data: bytes, export: str = "_start") -> None:
        """Compile it and resolve its imports. Raises GuestError, also for one that WASI preview 1 does not have."""
        self._engine, self._start, self._data = engine, export.encode(), data
        module = engine.module(data)
        self._holdings = count_holdings(data)
        self.may_block = any(each.name in _WAITING_FUNCTIONS for each in module.imports)
        self._is_watched = _check_startable(module, export)
        linker = wasmtime.Linker(engine.raw_engine)
        linker.define_wasi()
        define_exit(linker)
        try:
            self._pre = linker.instantiate_pre(module)  # kept: the pointer is its own
            self._pre_pointer = self._pre.ptr()
        except wasmtime.WasmtimeError as error:
            raise import_error(error) from error

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run `_start` of a fresh instance to its end, in this thread. Raises BusyError on a pooled engine."""
        with FreshContext(self._engine, grants, guard, self._holdings) as context:
            instance, trap, item = raw.wasmtime_instance_t(), POINTER(raw.wasm_trap_t)(), raw.wasmtime_extern_t()
            here = byref(instance)
            error = raw._wasmtime_instance_pre_instantiate(self._pre_pointer, context, here, byref(trap))
            if error or trap:
                ending = ending_of(self._not_for_now(_failure(error, trap)), guard, instantiating=True)
                return self._placed(ending) if ending.kind is EndKind.TRAPPED else ending
            guard.begin()
            raw._wasmtime_instance_export_get(context, here, self._start, len(self._start), byref(item))
            error = raw._wasmtime_func_call(context, byref(item.of.func), None, 0, None, 0, byref(trap))
            ending = ending_of(_failure(error, trap), guard, _memory_size(context, here, item))
            return self._told(ending, context, here, item, grants) if ending.kind is EndKind.TRAPPED else ending

    def _told(self, ending: Ending, context: Any, here: Any, item: Any, grants: Grants) -> Ending:
        """What the witness says of a trap; few runs end so."""
        from wasmdock.engine.refusals import told_to, with_refusal

        return self._placed(with_refusal(ending, told_to(context, here, item), grants, self._holdings[0]))

    def _placed(self, ending: Ending) -> Ending:
        if not self._is_watched:
            return ending
        from wasmdock.engine.refusals import with_places

        return with_places(ending, self._data)

    def _not_for_now(self, failure: Exception | None) -> Exception | None:
        if self._engine.pooled:
            from wasmdock.engine.pool import is_busy

            if failure is not None and is_busy(failure):
                raise BusyError
        return failure


def _check_startable(module: wasmtime.Module, export: str) -> bool:
    """Whether it has a witness; GuestError where it cannot be started there."""
    kinds = {each.name: each.type for each in module.exports}
    functions = {name: kind for name, kind in kinds.items() if isinstance(kind, wasmtime.FuncType)}
    if export not in functions:
        there = ", ".join(sorted(str(name) for name in functions)[:20]) or "none"
        raise GuestError(f'starting the guest at "{export}": it exports no such function', f"it exports: {there}")
    if functions[export].params or functions[export].results:
        raise GuestError(
            f'starting the guest at "{export}": the function takes parameters or gives results',
            "call it with wasmdock invoke",
        )
    return WITNESS.decode() in kinds


def _memory_size(context: Any, instance: Any, item: Any) -> int | None:
    """Bytes of the export called memory; `item` is room for an export."""
    found = raw._wasmtime_instance_export_get(context, instance, b"memory", 6, byref(item))
    if not found or item.kind != _MEMORY_KIND:
        return None
    return int(raw._wasmtime_memory_data_size(context, byref(item.of.memory)))


def _failure(error: Any, trap: Any) -> Exception | None:
    if error:
        return wasmtime.WasmtimeError._from_ptr(error)
    return wasmtime.Trap._from_ptr(trap) if trap else None
