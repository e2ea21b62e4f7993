"""A WIT type as a small immutable tree, and how wasmtime's Python package passes its values."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

RANGES = {
    **{f"u{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    **{f"s{bits}": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)},
}
FLOATS = ("f32", "f64")


@dataclass(frozen=True, slots=True)
class Wit:
    """A WIT type: its kind, and its parts by name.

    `kind` is the WIT keyword (bool, s8 ... u64, f32, f64, char, string, list, record, tuple, variant,
    enum, option, result, flags); any other (own, borrow, stream, future ...) has no JSON form. `parts`:
    fields of a record; cases of a variant and names of an enum or flags (None: no payload); ok and err
    of a result; the single part of a list or option; members of a tuple (names are not used).
    """

    kind: str
    parts: tuple[tuple[str, "Wit | None"], ...] = ()

    def __str__(self) -> str:
        """Give the WIT text of the type, as in `result<u32, string>`."""
        if self.kind == "result":
            ok, err = (str(part) if part else "" for _, part in self.parts)
            inner = f"{ok or '_'}, {err}" if err else ok
            return f"result<{inner}>" if inner else "result"
        if self.kind in ("list", "option", "tuple"):
            return f"{self.kind}<{', '.join(str(part) for _, part in self.parts)}>"
        if self.kind == "variant":
            return f"variant {{{', '.join(f'{name}({part})' if part else name for name, part in self.parts)}}}"
        if self.parts:
            return f"{self.kind} {{{', '.join(f'{n}: {p}' if p else n for n, p in self.parts)}}}"
        return self.kind

    @property
    def part(self) -> "Wit":
        """The single part of a list or option."""
        inner = self.parts[0][1]
        return inner if inner is not None else Wit("_")


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant's case and payload; an engine may give its own class with these two attributes."""

    tag: str
    payload: Any = None


# wasmtime (component/_types.py, VariantLikeType) gives and takes a variant's payload bare where the
# Python classes of its cases tell them apart, and as Variant(tag, payload) where they do not. What
# follows is that rule: `object` stands for a case without payload.
BUILTIN = ("object", "bool", "int", "float", "str", "bytes", "list", "tuple", "set")
_CLASSES = {
    **dict.fromkeys(RANGES, "int"),
    **dict.fromkeys(FLOATS, "float"),
    **dict.fromkeys(("char", "string", "enum"), "str"),
    **dict.fromkeys(("own", "borrow"), "Resource"),
    "bool": "bool",
    "list": "list",
    "tuple": "tuple",
    "record": "Record",
    "flags": "set",
}


def tagged(wit: Wit) -> bool:
    """Whether a variant, option or result goes as Variant(tag, payload) and not as its bare payload."""
    seen: set[str] = set()
    for _, part in _cases(wit):
        own = classes(part) if part else {"object"}
        if seen & own:
            return True
        seen |= own
    return False


def _cases(wit: Wit) -> tuple[tuple[str, Wit | None], ...]:
    return (("none", None), ("some", wit.part)) if wit.kind == "option" else wit.parts


@lru_cache(maxsize=1024)
def classes(wit: Wit) -> frozenset[str]:
    """The Python classes, by name, that a value of the type may have."""
    if wit.kind not in ("variant", "option", "result"):
        return frozenset(("bytes" if wit.kind == "list" and wit.part.kind == "u8" else _CLASSES.get(wit.kind, "?"),))
    if tagged(wit):
        return frozenset(("Variant",))
    return frozenset().union(*(classes(part) if part else {"object"} for _, part in _cases(wit)))
