"""Hostile JSON bytes -> one object whose members are fetched by name with their type checked."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from wasmdock.errors import ImageError

DOCUMENT_CAP = 4 << 20  # bytes; the distribution spec asks registries to take manifests up to 4 MiB
NOTHING: Mapping[str, str] = MappingProxyType({})


def shown(text: object, length: int = 120) -> str:
    """Text of unknown origin made fit for a message: printable, on one line, not longer than `length`."""
    clean = "".join(char if char.isprintable() else "?" for char in str(text)[: length + 1])
    return clean if len(clean) <= length else clean[:length] + "..."


def without_login(address: str) -> str:
    """An address (`scheme://user:password@host`, or without its scheme) fit for a message.

    All up to the last @ is left out: a / in a password makes no valid address, but must not show it either.
    """
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def parse_object(data: bytes, what: str, cap: int = DOCUMENT_CAP) -> "Fields":
    """Parse one JSON object; `what` names it in errors (`manifest "sha256:..."`).

    Raises ImageError for anything but one UTF-8 object without duplicate keys, NaN, lone surrogates or
    nesting deeper than the interpreter can parse.
    """
    return Fields(what, _object(parse_json(data, what, cap), what))


def parse_json(data: bytes, what: str, cap: int = DOCUMENT_CAP) -> Any:
    """Parse any JSON value under the rules of `parse_object`. Raises ImageError."""
    if len(data) > cap:
        raise ImageError(f"reading {what}: it has {len(data)} bytes, more than the {cap} allowed")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if "\\u" in text:  # only an escape can smuggle in half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ImageError(f"reading {what}: its JSON is nested too deep") from error
    except ValueError as error:
        raise ImageError(f"reading {what}: not the JSON expected here ({shown(error)})") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add is None
        raise ValueError(f'key "{shown(twice)}" appears twice')
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ImageError(f"reading {what}: a JSON object was expected, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


class Fields(NamedTuple):
    """One JSON object; null counts as absent, as Docker writes it. Every getter raises ImageError."""

    what: str
    members: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Whether the member is there and not null."""
        return self.members.get(key) is not None

    def text(self, key: str, required: bool = False) -> str:
        """A text without NUL; empty when absent, unless `required`."""
        value = self.members.get(key)
        if value is None and not required:
            return ""
        return self._text(value, key)

    def number(self, key: str) -> int:
        """A required whole number, zero or more."""
        value = self.members.get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(key, "a whole number", value)
        if value < 0:
            raise ImageError(f'reading {self.what}: "{key}" is negative ({shown(value, 30)})')
        return value

    def child(self, key: str) -> "Fields":
        """A nested object; an empty one when absent."""
        value = self.members.get(key)
        if value is None:
            return Fields(self.what, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "an object", value)
        return Fields(self.what, value)

    def children(self, key: str) -> tuple["Fields", ...]:
        """A list of objects; empty when absent."""
        found = []
        for value in self._list(key):
            if not isinstance(value, dict):
                raise self.wrong(key, "a list of objects", value)
            found.append(Fields(self.what, value))
        return tuple(found)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts without NUL; empty when absent."""
        return tuple(self._text(value, key) for value in self._list(key))

    def text_map(self, key: str) -> Mapping[str, str]:
        """An object whose values are all texts; empty when absent."""
        members = self.child(key).members
        return MappingProxyType({name: self._text(value, key) for name, value in members.items()})

    def wrong(self, key: str, expected: str, value: object) -> ImageError:
        """The error for a member of the wrong type."""
        found = "missing" if value is None else f"{_kind(value)}"
        cause = f'"{key}" is missing' if value is None else f'"{key}" should be {expected}, not {found}'
        return ImageError(f"reading {self.what}: {cause}")

    def _list(self, key: str) -> list[Any]:
        value = self.members.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list", value)
        return value

    def _text(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self.wrong(key, "text", value)
        if "\0" in value:
            raise ImageError(f'reading {self.what}: "{key}" holds a NUL character')
        return value
