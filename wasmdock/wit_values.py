"""JSON (or bare text) <-> values of WIT types, in the shapes wasmtime's Python package takes and gives.

bool, numbers    true, 42, 1.5; floats also "nan", "inf", "-inf"
char, string     "x"; bare text on a command line
list, tuple      [1, 2, 3]
record           {"field": 1, ...}, every field
variant, result  {"case": payload}, or "case" where it has none ({"ok": 1}, "err")
enum, flags      "name", ["name", ...]
option           null or the value itself; {"some": value} where that value is an option too
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from wasmdock.errors import UsageError
from wasmdock.values import fit_float, format_float, parse_float, parse_integer, shortened
from wasmdock.wit import BUILTIN, FLOATS, RANGES, Variant, Wit, classes, tagged


@dataclass(frozen=True, slots=True)
class Makers:
    """How to make the two shapes an engine has classes of its own for.

    `record()` gives an object that takes any attribute; `variant(tag, payload)` one that has both.
    """

    record: Callable[[], Any] = SimpleNamespace
    variant: Callable[[str, Any], Any] = Variant


PLAIN = Makers()


def parse_wit(text: str, wit: Wit, what: str = "argument", makers: Makers = PLAIN) -> Any:
    """The value a command-line argument names: bare text for strings, chars, enums, numbers; else JSON.

    Raises UsageError naming `what`, its type and what was given.
    """
    if wit.kind in ("string", "char", "enum"):
        return from_json(_bare(text), wit, what, makers)
    if wit.kind in RANGES:
        return parse_integer(text, wit.kind, *RANGES[wit.kind], what)
    if wit.kind in FLOATS:
        return parse_float(text.strip().strip('"'), wit.kind, what)
    if wit.kind == "option" and wit.part.kind != "option":
        return None if text.strip() == "null" else _some(wit, parse_wit(text, wit.part, what, makers), makers)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _refused(what, wit, f'"{shortened(text)}" is not JSON') from None
    return from_json(value, wit, what, makers)


def _bare(text: str) -> str:
    """Text as it stands, or without its quotes where it is a JSON string."""
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, str) else text
    return text


def from_json(value: Any, wit: Wit, what: str = "argument", makers: Makers = PLAIN) -> Any:
    """A value decoded from JSON -> the Python value wasmtime takes for the type; else UsageError."""
    if wit.kind in RANGES:
        return _integer(value, wit, what)
    reader = _READERS.get(wit.kind)
    if reader is None:
        raise _refused(what, wit, "such a value cannot be written as JSON")
    return reader(value, wit, what, makers)


def _refused(what: str, wit: Wit, why: str) -> UsageError:
    return UsageError(f"{what} of type {shortened(str(wit))}: {why}")


def _wrong(what: str, wit: Wit, value: Any, wanted: str) -> UsageError:
    return _refused(what, wit, f"{wanted} is wanted, {shortened(_json(value))} was given")


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return type(value).__name__


def _integer(value: Any, wit: Wit, what: str) -> int:
    low, high = RANGES[wit.kind]
    if type(value) is not int or not low <= value <= high:
        raise _wrong(what, wit, value, f"a whole number from {low} to {high}")
    return value


def _bool(value: Any, wit: Wit, what: str, _: Makers) -> bool:
    if not isinstance(value, bool):
        raise _wrong(what, wit, value, "true or false")
    return value


def _float(value: Any, wit: Wit, what: str, _: Makers) -> float:
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if type(value) not in (int, float):
        raise _wrong(what, wit, value, "a number")
    try:
        return fit_float(float(value), wit.kind, what, value in (float("inf"), float("-inf")))
    except OverflowError:
        raise _wrong(what, wit, value, "a smaller number") from None


def _string(value: Any, wit: Wit, what: str, _: Makers) -> str:
    if not isinstance(value, str):
        raise _wrong(what, wit, value, "text")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _wrong(what, wit, value, "text that is Unicode (no lone surrogates)")
    return value


def _char(value: Any, wit: Wit, what: str, makers: Makers) -> str:
    text = _string(value, wit, what, makers)
    if len(text) != 1:
        raise _wrong(what, wit, value, "one character")
    return text


def _list(value: Any, wit: Wit, what: str, makers: Makers) -> list[Any] | bytes:
    if not isinstance(value, list):
        raise _wrong(what, wit, value, "a list")
    items = [from_json(each, wit.part, f"{what}[{i}]", makers) for i, each in enumerate(value)]
    return bytes(items) if wit.part.kind == "u8" else items


def _tuple(value: Any, wit: Wit, what: str, makers: Makers) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != len(wit.parts):
        raise _wrong(what, wit, value, f"a list of {len(wit.parts)}")
    pairs = zip(value, wit.parts, strict=True)
    return tuple(
        [from_json(each, part or Wit("_"), f"{what}[{i}]", makers) for i, (each, (_, part)) in enumerate(pairs)]
    )


def _record(value: Any, wit: Wit, what: str, makers: Makers) -> Any:
    names = [name for name, _ in wit.parts]
    if not isinstance(value, dict) or set(value) != set(names):
        raise _wrong(what, wit, value, f"an object with {', '.join(names)}")
    made = makers.record()
    for name, part in wit.parts:
        setattr(made, name, from_json(value[name], part or Wit("_"), f"{what}.{name}", makers))
    return made


def _enum(value: Any, wit: Wit, what: str, _: Makers) -> str:
    names = [name for name, _ in wit.parts]
    if not isinstance(value, str) or value not in names:
        raise _wrong(what, wit, value, f"one of {', '.join(names)}")
    return value


def _flags(value: Any, wit: Wit, what: str, _: Makers) -> set[str]:
    names = [name for name, _ in wit.parts]
    if not isinstance(value, list) or not all(isinstance(each, str) and each in names for each in value):
        raise _wrong(what, wit, value, f"a list of {', '.join(names)}")
    return set(value)


def _option(value: Any, wit: Wit, what: str, makers: Makers) -> Any:
    if value is None:
        return makers.variant("none", None) if tagged(wit) else None
    if wit.part.kind != "option":
        return _some(wit, from_json(value, wit.part, what, makers), makers)
    if not isinstance(value, dict) or list(value) != ["some"]:
        raise _wrong(what, wit, value, 'null or {"some": ...}')
    return _some(wit, from_json(value["some"], wit.part, what, makers), makers)


def _some(wit: Wit, payload: Any, makers: Makers) -> Any:
    return makers.variant("some", payload) if tagged(wit) else payload


def _variant(value: Any, wit: Wit, what: str, makers: Makers) -> Any:
    parts = dict(wit.parts)
    if isinstance(value, str) and value in parts and parts[value] is None:
        return _chosen(wit, value, None, what, makers)
    if isinstance(value, dict) and len(value) == 1:
        ((name, payload),) = value.items()
        part = parts.get(name)
        if part is not None:
            return _chosen(wit, name, from_json(payload, part, f"{what}.{name}", makers), what, makers)
    raise _wrong(what, wit, value, f"one of {', '.join(_case_form(n, p) for n, p in wit.parts)}")


def _case_form(name: str, part: Wit | None) -> str:
    return f'{{"{name}": {part}}}' if part else f'"{name}"'


def _chosen(wit: Wit, name: str, payload: Any, what: str, makers: Makers) -> Any:
    if tagged(wit):
        return makers.variant(name, payload)
    for earlier, part in wit.parts:
        if earlier == name:
            break
        # wasmtime takes the first case whose class fits, and to Python True is an int, all an object.
        taken = classes(part) if part else frozenset[str]()
        if "object" in taken or (isinstance(payload, bool) and "int" in taken):
            raise _refused(what, wit, f"wasmtime's Python package mistakes the case {name} for {earlier}")
    return payload


_READERS: dict[str, Callable[[Any, Wit, str, Makers], Any]] = {
    "bool": _bool,
    "f32": _float,
    "f64": _float,
    "string": _string,
    "char": _char,
    "list": _list,
    "tuple": _tuple,
    "record": _record,
    "enum": _enum,
    "flags": _flags,
    "option": _option,
    "variant": _variant,
    "result": _variant,
}


def to_json(value: Any, wit: Wit | None) -> Any:
    """What wasmtime returned for the type -> a value for `json.dumps`, which `from_json` reads back.

    A resource, stream or future comes out as text such as `<own>`; no result (None) as null.
    """
    if wit is None or wit.kind == "bool" or wit.kind in RANGES or wit.kind in ("char", "string", "enum"):
        return value
    writer = _WRITERS.get(wit.kind)
    return f"<{wit.kind}>" if writer is None else writer(value, wit)


def _write_float(value: Any, wit: Wit) -> float | str:
    text = format_float(value, wit.kind)
    return float(text) if math.isfinite(value) else text


def _write_members(value: Any, wit: Wit) -> list[Any]:
    if wit.kind == "list":
        return [to_json(each, wit.part) for each in value]
    return [to_json(each, part) for each, (_, part) in zip(value, wit.parts, strict=True)]


def _write_record(value: Any, wit: Wit) -> dict[str, Any]:
    return {name: to_json(getattr(value, name), part) for name, part in wit.parts}


def _write_flags(value: Any, wit: Wit) -> list[str]:
    return [name for name, _ in wit.parts if name in value]


def _write_option(value: Any, wit: Wit) -> Any:
    if tagged(wit):
        if value.tag == "none":
            return None
        value = value.payload
    elif value is None:
        return None
    inner = to_json(value, wit.part)
    return {"some": inner} if wit.part.kind == "option" else inner


def _write_variant(value: Any, wit: Wit) -> Any:
    name, payload = (value.tag, value.payload) if tagged(wit) else (_case_of(value, wit), value)
    part = dict(wit.parts)[name]
    return name if part is None else {name: to_json(payload, part)}


def _case_of(value: Any, wit: Wit) -> str:
    """Which case wasmtime meant by a value it gave without its case's name."""
    python = "object" if value is None else type(value).__name__
    if python not in BUILTIN:
        python = "Variant" if hasattr(value, "tag") and hasattr(value, "payload") else "Record"
    for name, part in wit.parts:
        if python in (classes(part) if part else ("object",)):
            return name
    return wit.parts[0][0]


_WRITERS: dict[str, Callable[[Any, Wit], Any]] = {
    "f32": _write_float,
    "f64": _write_float,
    "list": _write_members,
    "tuple": _write_members,
    "record": _write_record,
    "flags": _write_flags,
    "option": _write_option,
    "variant": _write_variant,
    "result": _write_variant,
}
