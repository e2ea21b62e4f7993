"""YAML files as they were read, kept on disk: a file that has not changed is not parsed, nor PyYAML loaded, again."""

import hashlib
import json
from pathlib import Path
from typing import Any

from wasmdock import __version__
from wasmdock.code_cache import CodeCache
from wasmdock.compose_yaml import Node

_LARGEST = 100_000  # bytes of a file; a longer one is rare, and may be short only by its anchors
_ROOM = 8 << 20  # bytes of all that is kept
_KIND = f"wasmdock {__version__} compose 1 "  # another form of what is kept needs another number


class ParsedFiles:
    """Reads documents as `compose_reader.read_documents` does, and keeps them in a folder for its owner alone."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when something is kept."""
        self._cache = CodeCache(folder, _ROOM)

    def __call__(self, data: bytes, file: str) -> tuple[Node, ...]:
        """The documents of a YAML file. Raises UsageError with file and line."""
        key = hashlib.sha256(_KIND.encode() + data).hexdigest()
        kept = self._cache.get(key) if len(data) <= _LARGEST else None
        if kept is not None:
            return tuple(_node(each, file) for each in json.loads(kept))
        from wasmdock.compose_reader import read_documents

        documents = read_documents(data, file)
        if len(data) <= _LARGEST and sum(each.size for each in documents) <= _LARGEST:
            self._cache.put(key, json.dumps([_plain(each) for each in documents], separators=(",", ":")).encode())
        return documents


def _plain(node: Node) -> list[Any]:
    if isinstance(node.value, dict):
        entries = {key: _plain(each) for key, each in node.value.items()}
        return [entries, node.line, node.tag, node.lines]
    value = [_plain(each) for each in node.value] if isinstance(node.value, tuple) else node.value
    return [value, node.line, node.tag]


def _node(plain: list[Any], file: str) -> Node:
    value, line, tag, *lines = plain
    if lines:
        return Node({key: _node(each, file) for key, each in value.items()}, file, line, tag, lines[0])
    return Node(tuple(_node(each, file) for each in value) if isinstance(value, list) else value, file, line, tag)
