"""What is read from a YAML file: a tree that knows its lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

LARGEST = 1 << 20  # bytes of one file

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Node:
    """A value of a file and where it stands. value is a scalar, a tuple of nodes, or a dict of nodes by key.

    tag is `!reset` or `!override` where the file says so, else empty. Aliases share their node.
    """

    value: "Scalar | tuple[Node, ...] | dict[str, Node]"
    file: str = ""
    line: int = 0
    tag: str = ""
    lines: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def size(self) -> int:
        """How many nodes it has with all below it."""
        return 1 + sum(child.size for child in self.children())

    @property
    def map(self) -> "dict[str, Node]":
        """Its entries; none where it is no mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> "tuple[Node, ...]":
        """Its elements; none where it is no list."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def text(self) -> str:
        """A scalar as Compose writes it in a text; empty for null, a list or a mapping."""
        return scalar_text(self.value) if not isinstance(self.value, (tuple, dict)) else ""

    @property
    def is_null(self) -> bool:
        """Whether nothing is said."""
        return self.value is None

    @property
    def where(self) -> str:
        """File and line, as in compilers' messages."""
        return f"{self.file}:{self.line}"

    def get(self, *path: str) -> "Node | None":
        """What stands under these keys, one below the other."""
        node: Node | None = self
        for key in path:
            node = node.map.get(key) if node is not None else None
        return node

    def with_value(self, value: "Scalar | tuple[Node, ...] | dict[str, Node]") -> "Node":
        """The same place with another value."""
        return Node(value, self.file, self.line, self.tag, self.lines)

    def line_of(self, key: str) -> int:
        """The line a key stands in."""
        return self.lines.get(key, self.line)

    def children(self) -> "Iterator[Node]":
        """The nodes right below."""
        yield from self.map.values()
        yield from self.items

    def plain(self) -> Any:
        """The value without places: dicts, lists, scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


def scalar_text(value: Scalar) -> str:
    """A scalar as text: true, 1.5, empty for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)
