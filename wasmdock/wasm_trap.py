"""wasmtime's text for a trap -> its cause in the first line, with the flag that moves it, and the Wasm backtrace."""

import re

_NUMBER = re.compile(r"^\d+: ")  # of a cause, where there are several
_TRAP = "wasm trap: "
UNREACHABLE = "wasm `unreachable`"  # how the cause begins that a guest ends in which was refused what it needs
WITNESS = b"wasmdock:refused"  # the export of wasm_witness; here, as a run that comes to no trap needs no more of it
_FLAGS = {"all fuel consumed by WebAssembly": "--fuel", "call stack exhausted": "--stack"}


def explain_trap(text: str) -> str:
    """Put the cause of wasmtime's error text first and the Wasm backtrace under it."""
    backtrace, _, cause = text.partition("Caused by:")
    causes = [_NUMBER.sub("", line.strip()) for line in cause.splitlines() if line.strip()]
    frames = [line.rstrip() for line in backtrace.splitlines()[1:] if line.strip()]
    if not causes:
        first, end, rest = text.strip().partition("\n")
        return f"{_with_flag(first)}{end}{rest}"
    is_trap = causes[-1].startswith(_TRAP)
    named = causes[-1].removeprefix(_TRAP) if is_trap else ": ".join(each.removeprefix(_TRAP) for each in causes)
    return "\n".join([_with_flag(named), *frames])


def _with_flag(cause: str) -> str:
    return f"{cause} ({_FLAGS[cause]})" if cause in _FLAGS else cause
