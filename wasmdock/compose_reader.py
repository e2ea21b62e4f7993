"""YAML text -> nodes, with anchors, merges and caps. The one importer of yaml.

Scalars are read by YAML 1.2's core schema, as Compose does: `yes` and `22:22` are texts, not a truth and a number.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from wasmdock.compose_yaml import LARGEST, Node, Scalar
from wasmdock.errors import UsageError

MOST_NODES = 100_000  # of one file, aliases counted as often as they are used
DEEPEST = 60
_TOO_DEEP = f"nested deeper than {DEEPEST} levels"
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_OCTAL = re.compile(r"0o?([0-7_]+)")
_HEX = re.compile(r"0x([0-9a-fA-F_]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULLS = ("", "~", "null", "Null", "NULL")
_TRUTHS = {
    word: truth for words, truth in (("true True TRUE", True), ("false False FALSE", False)) for word in words.split()
}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # its events alone are used: nothing recursive, no objects


def read_documents(data: bytes, file: str) -> tuple[Node, ...]:
    """The documents of a YAML file. Raises UsageError with file and line."""
    if len(data) > LARGEST:
        raise UsageError(f'reading "{file}": larger than {LARGEST} bytes')
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}:{data[: error.start].count(10) + 1}: not UTF-8 text") from error
    try:
        return _Reader(file).documents(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        line = _line(error, text)
        place = f"{file}:{line}" if line else file
        if "nesting depth" in str(error.problem):  # libyaml from 0.2.6 on sees it before we do
            raise UsageError(f"{place}: {_TOO_DEEP}") from error
        raise UsageError(f"{place}: malformed YAML: {error.problem or error}", _hint(error, text, line)) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: malformed YAML: {str(error).splitlines()[0]}") from error


def _line(error: "yaml.MarkedYAMLError", text: str) -> int:
    """Where it is: what is missing at the end of the file, where that begins which lacks it; 0 where nobody knows."""
    last = len(text.rstrip().splitlines())
    marks = (error.problem_mark, error.context_mark)
    lines = [mark.line + 1 for mark in marks if mark]
    return next((line for line in lines if line <= last), min(lines, default=0) and last)


def _hint(error: "yaml.MarkedYAMLError", text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return "indent with spaces, not tabs"
    problem = str(error.problem)
    return "look at the indentation and the colons here and in the line above" if "expected" in problem else ""


class _Reader:
    """Events of the parser -> nodes; the depth and the size are bounded while they come."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, Node | None] = {}

    def documents(self, events: Iterator[Any]) -> tuple[Node, ...]:
        found = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
            elif isinstance(event, yaml.NodeEvent):
                found.append(self._node(event, events, 0))
        return tuple(found)

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if depth > DEEPEST:
            raise self._wrong(line, _TOO_DEEP)
        if event.anchor:
            self._anchors[event.anchor] = None
        tag = event.tag if event.tag in ("!reset", "!override") else ""
        if isinstance(event, yaml.ScalarEvent):
            node = Node(_scalar(event), self._file, line, tag)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self._list(events, depth), self._file, line, tag)
        else:
            node = self._mapping(events, depth, line, tag)
        if node.size > MOST_NODES:
            raise self._wrong(line, f"more than {MOST_NODES} values once its anchors are followed")
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, name: str, line: int) -> Node:
        if name not in self._anchors:
            raise self._wrong(line, f'the alias "*{name}" has no anchor "&{name}" before it')
        node = self._anchors[name]
        if node is None:
            raise self._wrong(line, f'the anchor "&{name}" contains itself')
        return node

    def _list(self, events: Iterator[Any], depth: int) -> tuple[Node, ...]:
        found = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self._node(event, events, depth + 1))
        return tuple(found)

    def _mapping(self, events: Iterator[Any], depth: int, start: int, tag: str) -> Node:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = event.start_mark.line + 1
            key = self._node(event, events, depth + 1)
            if not isinstance(key.value, str):
                said = (
                    f'the key "{event.value}"' if isinstance(event, yaml.ScalarEvent) else "a list or a mapping as key"
                )
                raise self._wrong(line, f"{said} is no text", "put it in quotes")
            value = self._node(next(events), events, depth + 1)
            name = key.text
            if name == "<<":
                merged += value.items or (value,)
                continue
            if name in entries:
                raise self._wrong(line, f'the key "{name}" is there already, in line {lines[name]}')
            entries[name], lines[name] = value, line
        for source in merged:
            if not isinstance(source.value, dict):
                raise self._wrong(source.line, '"<<" merges mappings, and this is none')
            for name, value in source.value.items():
                entries.setdefault(name, value)
                lines.setdefault(name, source.line_of(name))
        return Node(entries, self._file, start, tag, lines)

    def _wrong(self, line: int, cause: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._file}:{line}: {cause}", hint)


def _scalar(event: Any) -> Scalar:
    text: str = event.value
    if not event.implicit[0] or event.style in ("'", '"', "|", ">"):
        return _tagged(event.tag, text) if event.tag else text
    return plain_scalar(text)


def _tagged(tag: str, text: str) -> Scalar:
    return text if tag.endswith((":str", "!")) or tag == "!override" else plain_scalar(text)


def plain_scalar(text: str) -> Scalar:
    """An unquoted text by the core schema."""
    if text in _NULLS:
        return None
    if text in _TRUTHS:
        return _TRUTHS[text]
    for pattern, base in ((_OCTAL, 8), (_HEX, 16)):
        if match := pattern.fullmatch(text):
            return int(match[1], base)
    if _INTEGER.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text) and any(sign in text for sign in ".eE"):
        return float(text)
    return text
