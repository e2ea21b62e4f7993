"""Files written aside and renamed: whoever reads one sees all of it, or what was there before; and folders of ours."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

NEW = ".new-"  # how the name of a file begins that is not whole yet, or never became so


def is_private(folder: Path) -> bool:
    """Whether nobody else may write to a folder: native code is only as safe as that. Raises OSError."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def beside(path: Path) -> Path:
    """A name in the same folder that nobody else makes."""
    return path.parent / f"{NEW}{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}"


def is_device(path: Path) -> bool:
    """Whether a path leads to what is no ordinary file, as /dev/stdout may without looking so."""
    return path.exists() and (not path.is_file() or str(path.absolute()).startswith(("/dev/", "/proc/")))


def write_output(path: Path, *parts: bytes) -> None:
    """Write what a user asked for as `write_aside` does: where a link leads, with the mode that is there."""
    path = path.resolve() if path.is_symlink() and not is_device(path) else path
    kept = path.stat().st_mode & 0o777 if path.is_file() else None
    write_aside(path, *parts, mode=0o666, kept=kept)


def write_aside(path: Path, *parts: bytes, mode: int = 0o600, kept: int | None = None) -> None:
    """Write a file whole or not at all, in a folder that is there. Raises OSError, and leaves nothing then.

    A device or a pipe is written to: renaming would put a file in its place. mode is what the umask is taken from,
    kept one that no umask changes.
    """
    if is_device(path):
        with path.open("wb") as device:
            device.writelines(parts)
        return
    new = beside(path)
    try:  # from here on: a signal may come as soon as the file is there
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if kept is not None:
                os.fchmod(file.fileno(), kept)
            for part in parts:
                file.write(part)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
