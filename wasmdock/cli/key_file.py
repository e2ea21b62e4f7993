"""The bytes of a key's file, found to be a key before any work is done that needs it."""

from collections.abc import Callable
from pathlib import Path

from wasmdock.errors import UsageError
from wasmdock.keys import check_private_key, check_public_key

_CAP = 1 << 16  # bytes


def read_public_key(path: Path) -> bytes:
    """The bytes of a public key's file. Raises UsageError, also for what is no such key."""
    return _read(path, check_public_key)


def read_signing_key(path: Path) -> bytes:
    """The bytes of a private key's file. Raises UsageError, also for what is no such key."""
    return _read(path, check_private_key)


def _read(path: Path, check: Callable[[bytes], None]) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_CAP)
    except OSError as error:
        raise UsageError(f'reading key "{path}": {error.strerror or error}') from error
    try:
        check(data)
    except UsageError as error:
        cause = error.message.partition(": ")[2]
        raise UsageError(f'reading key "{path}": {cause}', error.hint) from error
    return data
