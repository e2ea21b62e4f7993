"""The bytes of a key's file, for what signs and verifies."""

from pathlib import Path

from wasmdock.errors import UsageError

_CAP = 1 << 16  # bytes


def read_key(path: Path) -> bytes:
    """The bytes of a key's file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(_CAP)
    except OSError as error:
        raise UsageError(f'reading key "{path}": {error.strerror or error}') from error
