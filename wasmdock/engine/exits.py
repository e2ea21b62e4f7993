"""proc_exit of our own: wasmtime's takes codes up to 125 only, and a program may end with any up to 255."""

import threading
from ctypes import c_void_p, cast, create_string_buffer
from typing import Any

import wasmtime
from wasmtime import _bindings as raw

_MODULE, _NAME = b"wasi_snapshot_preview1", b"proc_exit"
_ENDED = threading.local()  # the guest runs, and ends, in the thread that started it


def _proc_exit(_env: Any, _caller: Any, params: Any, _count: int, _results: Any, _result_count: int) -> int:
    _ENDED.code = params[0].of.i32 & 0xFF
    trap = raw.wasmtime_trap_new(b"exited", 6)  # the only way out of a guest
    return cast(trap, c_void_p).value or 0


_PROC_EXIT = raw.wasmtime_func_callback_t(_proc_exit)
_NO_FINALIZER = raw._wasmtime_linker_define_func.argtypes[8](0)


def define_exit(linker: wasmtime.Linker) -> None:
    """Put our proc_exit in the place of the linker's."""
    linker.allow_shadowing = True
    kind = wasmtime.FuncType([wasmtime.ValType.i32()], [])
    module, name = create_string_buffer(_MODULE), create_string_buffer(_NAME)
    error = raw.wasmtime_linker_define_func(
        linker.ptr(), module, len(_MODULE), name, len(_NAME), kind.ptr(), _PROC_EXIT, None, _NO_FINALIZER
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


def take_exit_code() -> int | None:
    """The code this thread's guest has just ended with by proc_exit, None where it did not; asked once."""
    code: int | None = _ENDED.__dict__.pop("code", None)
    return code
