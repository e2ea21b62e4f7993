"""Text on a command line <-> numbers of core WebAssembly types.

Wasm's integers have no sign: i32 is 32 bits, and both -1 and 4294967295 name the same ones. Either
reading is taken; what comes out is the signed one, which is what wasmtime's Python package takes.
"""

import re
import struct
from typing import Any

from wasmdock.errors import UsageError

INTEGER_BITS = {"i32": 32, "i64": 64}
_DECIMAL = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
_PREFIXED = re.compile(r"[+-]?0(x[0-9a-f]+(_[0-9a-f]+)*|b[01]+(_[01]+)*|o[0-7]+(_[0-7]+)*)", re.IGNORECASE)
_LONGEST = 4000  # Python refuses decimal text of more than 4300 digits


def parse_argument(text: str, kind: str, what: str = "argument") -> int | float:
    """The value `text` names in the core type `kind` (i32, i64, f32, f64).

    Integers may be decimal, 0x, 0b or 0o, with underscores; floats also hexadecimal (0x1.8p3), nan and
    inf. Raises UsageError naming `what`, the type, the text and the range where it does not fit.
    """
    if kind in INTEGER_BITS:
        bits = INTEGER_BITS[kind]
        value = parse_integer(text, kind, -(1 << (bits - 1)), (1 << bits) - 1, what)
        return value - (1 << bits) if value >= 1 << (bits - 1) else value
    if kind in ("f32", "f64"):
        return parse_float(text, kind, what)
    raise UsageError(
        f'{what} of type {kind}: "{shortened(text)}" cannot be given: '
        "only i32, i64, f32 and f64 can be written on a command line"
    )


def parse_integer(text: str, kind: str, low: int, high: int, what: str) -> int:
    """A whole number from `low` to `high`, or UsageError with that range."""
    plain = text.strip()
    if len(plain) > _LONGEST or not (_DECIMAL.fullmatch(plain) or _PREFIXED.fullmatch(plain)):
        raise UsageError(f'{what} of type {kind}: "{shortened(text)}" is no whole number')
    value = int(plain, 10 if _DECIMAL.fullmatch(plain) else 0)
    if not low <= value <= high:
        raise UsageError(f'{what} of type {kind}: "{shortened(text)}" is outside {low} to {high}')
    return value


def parse_float(text: str, kind: str, what: str) -> float:
    """A float rounded to `kind`; nan and inf only where the text says so."""
    plain = text.strip()
    try:
        value = float.fromhex(plain) if "0x" in plain.lower() else float(plain)
        return fit_float(value, kind, what, "inf" in plain.lower())
    except ValueError:
        raise UsageError(f'{what} of type {kind}: "{shortened(text)}" is no number') from None
    except OverflowError:
        raise UsageError(f'{what} of type {kind}: "{shortened(text)}" is too large') from None


def fit_float(value: float, kind: str, what: str, infinite: bool = False) -> float:
    """The float rounded to f32 or f64; UsageError where it overflows unless `infinite` was meant."""
    if kind.endswith("32"):
        try:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            raise UsageError(f'{what} of type {kind}: "{value!r}" is too large') from None
    if value in (float("inf"), float("-inf")) and not infinite:
        raise UsageError(f"{what} of type {kind}: the number is too large")
    return value


def shortened(text: str) -> str:
    """What was given, fit for one line of a message."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def format_result(value: Any, kind: str, unsigned: bool = False) -> str:
    """A result as text that `parse_argument` reads back; integers signed unless `unsigned`."""
    if kind in INTEGER_BITS and isinstance(value, int):
        return str(value & ((1 << INTEGER_BITS[kind]) - 1) if unsigned else value)
    if isinstance(value, float):
        return format_float(value, kind)
    return "null" if value is None else f"<{kind}>"


def format_float(value: float, kind: str) -> str:
    """The shortest decimal text that rounds to the same f32 or f64; `nan`, `inf`, `-inf`."""
    if kind.endswith("64") or value != value or value in (float("inf"), float("-inf")):
        return repr(value)
    for digits in range(1, 9):
        short = float(f"{value:.{digits}g}")
        if _same_f32(short, value):
            return repr(short)
    return repr(float(f"{value:.9g}"))


def _same_f32(short: float, value: float) -> bool:
    try:
        return struct.pack("<f", short) == struct.pack("<f", value)
    except OverflowError:
        return False
