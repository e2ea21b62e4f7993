"""Compiled code kept on disk: found by content, written whole or not at all, never trusted without its digest."""

import hashlib
from contextlib import suppress
from pathlib import Path

from wasmdock.aside import NEW, is_private, write_aside

_DIGEST_SIZE = 32
_SUFFIX = ".code"


class CodeCache:
    """A folder of compiled modules; each file is the SHA-256 of its code, then the code.

    Native code is only as safe as the folder it lies in: the folder is made for its owner alone, and one that
    others may write to is not used. `limit` bounds the folder's size in bytes; the oldest entries go first.
    """

    def __init__(self, folder: Path, limit: int = 512 << 20) -> None:
        """Use `folder`, which is made when the first entry is written."""
        self._folder = folder
        self._limit = limit

    def get(self, key: str) -> bytes | None:
        """The code kept under `key` (hexadecimal text), or None; a spoiled entry is thrown away."""
        path = self._path(key)
        try:
            if not is_private(self._folder):
                return None
            data = path.read_bytes()
        except OSError:
            return None
        digest, code = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
        if hashlib.sha256(code).digest() == digest:
            return code
        self.drop(key)
        return None

    def put(self, key: str, code: bytes) -> None:
        """Keep `code` under `key`. A full or read-only disk is no error: the code is compiled again next time."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_private(self._folder):
                write_aside(self._path(key), hashlib.sha256(code).digest(), code)
                self._trim()

    def drop(self, key: str) -> None:
        """Forget the entry, if there is one."""
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self._folder / (key + _SUFFIX)

    def _trim(self) -> None:
        """Remove the oldest entries beyond the limit, and what a killed writer left an hour ago."""
        entries = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        entries.sort(reverse=True)
        newest, total = (entries[0][0] if entries else 0.0), 0
        for modified, size, path in entries:
            total += size
            abandoned = path.name.startswith(NEW) and newest - modified > 3600
            if abandoned or (total > self._limit and path.suffix == _SUFFIX):
                with suppress(OSError):
                    path.unlink()
