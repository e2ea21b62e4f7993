"""What a guest's witness saw of refused growths, and a backtrace as the guest's author knows the binary."""

import re
from ctypes import byref
from typing import Any

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.engine.endings import Ending, EndKind
from wasmdock.engine.instance import Grants
from wasmdock.wasm_trap import WITNESS
from wasmdock.wasm_witness import PAGE, Witnessed, with_witness

_GLOBAL_KIND = 1  # WASMTIME_EXTERN_GLOBAL of wasmtime/extern.h
_FRAME = re.compile(r"^(\s*\d+):(\s+0x[0-9a-f]+)(?= - )", re.MULTILINE)  # its number, where it is


def told_by(instance: wasmtime.Instance, store: wasmtime.Store) -> int | None:
    """Pages that the largest refused growth asked for; 0: none was refused, None: the module has no witness."""
    item, here = raw.wasmtime_extern_t(), byref(instance._instance)
    return told_to(store._context(), here, item)


def told_to(context: Any, instance: Any, item: Any) -> int | None:
    """The same for who calls C functions only; `item` is room for an export."""
    found = raw._wasmtime_instance_export_get(context, instance, WITNESS, len(WITNESS), byref(item))
    if not found or item.kind != _GLOBAL_KIND:
        return None
    value = raw.wasmtime_val_t()
    raw._wasmtime_global_get(context, byref(item.of.global_), byref(value))
    return int(value.of.i64)


def with_refusal(ending: Ending, pages: int | None, grants: Grants, memories: int) -> Ending:
    """The ending of an instance with so many memories, and what its witness told of them.

    One within the limit is refused by the system, and one beyond the guest's own maximum by itself: neither counts.
    """
    if pages is None:
        return ending
    limit = None if grants.memory is None else grants.memory // max(1, memories)
    asked = (pages & ((1 << 64) - 1)) * PAGE
    return ending._replace(refused=asked if limit is not None and asked > limit else 0)


def with_places(ending: Ending, data: bytes) -> Ending:
    """A module's ending, its backtrace with the offsets that the code has in the module as it was."""
    witnessed = with_witness(data)
    first, end, frames = ending.message.partition("\n")
    return ending._replace(message=f"{first}{end}{_placed(frames, witnessed)}") if witnessed else ending


def told_by_trap(ending: Ending, data: bytes, grants: Grants) -> Ending:
    """The same of a component, whose witness tells by where it trapped: a growth was refused, not how large it was."""
    witnessed = with_witness(data) if ending.kind is EndKind.TRAPPED else None
    if witnessed is None:
        return ending
    first, end, frames = ending.message.partition("\n")
    innermost = _FRAME.match(frames)
    is_refused = innermost is not None and witnessed.is_end(int(innermost.group(2), 16))
    frames = _placed(frames.partition("\n")[2] if is_refused else frames, witnessed, 1 if is_refused else 0)
    refused = max(1, grants.memory) if is_refused and grants.memory is not None else 0
    return ending._replace(message=f"{first}{end}{frames}", refused=refused)


def _placed(frames: str, witnessed: Witnessed, removed: int = 0) -> str:
    """The frames where they stood before, and numbered from 0 on though so many were removed."""

    def moved(found: re.Match[str]) -> str:
        number, offset = found.groups()
        place = f"{witnessed.place(int(offset, 16)):#x}"
        return f"{int(number) - removed}".rjust(len(number)) + ":" + place.rjust(len(offset))

    return _FRAME.sub(moved, frames)
