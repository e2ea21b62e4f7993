"""A lock between processes that the kernel gives back when its holder dies."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wasmdock.errors import UnavailableError

_PATIENCE = 60.0  # seconds
_PAUSE = 0.02  # seconds between two attempts
_ABANDONED = 600.0  # seconds after which a lock folder's holder is taken for dead

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]  # `locked` asks


@contextmanager
def locked(path: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock file exclusively. Raises UnavailableError after `patience` seconds, or OSError."""
    holding = _flock(path, patience) if fcntl else folder_lock(path.with_suffix(".d"), patience)
    with holding:
        yield


@contextmanager
def _flock(path: Path, patience: float) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + patience
        while not _try_flock(handle):
            _wait(path, deadline)
        yield
    finally:
        os.close(handle)  # gives the lock back


def _try_flock(handle: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@contextmanager
def folder_lock(path: Path, patience: float = _PATIENCE, abandoned: float = _ABANDONED) -> Iterator[None]:
    """The same by making a folder, where there is no flock: one left by a dead process expires."""
    deadline = time.monotonic() + patience
    while not _try_folder(path, abandoned):
        _wait(path, deadline)
    try:
        yield
    finally:
        path.rmdir()


def _try_folder(path: Path, abandoned: float) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > abandoned:
                path.rmdir()
        return False
    return True


def _wait(path: Path, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise UnavailableError(
            f'waiting for "{path}": another process has held the lock for too long',
            "look for a wasmdock that hangs, or try again",
        )
    time.sleep(_PAUSE)
