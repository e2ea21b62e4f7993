"""wasmtime's errors and traps -> how a guest's code came to its end."""

import re
from enum import Enum
from typing import NamedTuple

import wasmtime

from wasmdock.engine.exits import take_exit_code
from wasmdock.errors import GuestError
from wasmdock.wasm_trap import explain_trap
from wasmdock.watch import Guard

STOPPED = b"stopped by wasmdock"
_NUMBER = re.compile(r"^\d+: ")  # of a cause, where there are several
_QUOTED = re.compile(r"\d*\s*\|")  # a line of the text form, or the mark under it
_PLACE = re.compile(r": --> .*?:(\d+):(\d+)")


class BusyError(Exception):
    """No room for one more instance in the pool at this moment; nothing of it has run."""


class EndKind(Enum):
    """How a guest's code came to its end."""

    EXITED = "exited"
    TRAPPED = "trapped"
    STOPPED = "stopped"
    REFUSED_MEMORY = "refused memory"
    REFUSED_TABLE = "refused table"


class Ending(NamedTuple):
    """The end of one instance: `code` of an exit, `message` of anything else (cause, then Wasm backtrace).

    memory is the final size of the linear memory in bytes, None where it cannot be seen. refused is the size that the
    largest growth would have given it which the limit refused, or the limit where no more is known; 0: none was
    refused, None: nobody can tell.
    """

    kind: EndKind
    code: int = 0
    message: str = ""
    memory: int | None = None
    refused: int | None = None


def ending_of(
    failure: Exception | None, guard: Guard, memory: int | None = None, instantiating: bool = False
) -> Ending:
    """Sort what wasmtime raised, or did not raise; memory is the linear memory's size in bytes at the end."""
    if failure is None:
        return Ending(EndKind.EXITED, memory=memory)
    code = take_exit_code()
    if code is not None:
        return Ending(EndKind.EXITED, code=code, memory=memory)
    if isinstance(failure, wasmtime.ExitTrap):
        return Ending(EndKind.EXITED, code=failure.code & 0xFF, memory=memory)
    text = str(failure)
    if STOPPED.decode() in text:
        return Ending(EndKind.STOPPED, message=guard.reason, memory=memory)
    if instantiating and ("exceeds memory limits" in text or "memory count too high" in text):
        return Ending(EndKind.REFUSED_MEMORY, message=one_line(failure), memory=0)
    if instantiating and ("exceeds table limits" in text or "table count too high" in text):
        return Ending(EndKind.REFUSED_TABLE, message=one_line(failure), memory=0)
    return Ending(EndKind.TRAPPED, message=explain_trap(text), memory=memory)


def one_line(error: Exception) -> str:
    """wasmtime's message in one line: the attempt, the causes and the place in a text form, joined."""
    lines = (_NUMBER.sub("", line.strip()) for line in str(error).splitlines())
    parts = [line for line in lines if line and line != "Caused by:" and not _QUOTED.match(line)]
    return _PLACE.sub(r" at line \1, column \2", ": ".join(parts))


def import_error(error: Exception) -> GuestError:
    """The GuestError for an import that nobody provides."""
    return GuestError(
        f"resolving the guest's imports: {one_line(error)}",
        "wasmdock inspect lists what it asks for; build it for wasm32-wasip1 or wasm32-wasip2",
    )
