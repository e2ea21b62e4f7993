"""The files of a guest's folder, found and read."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wasmdock.errors import GuestError

_CAP = 512 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its path within the guest's folder, in POSIX form, its bytes, and whether it may be executed."""

    path: str
    data: bytes
    executable: bool = False


def read_sources(folder: Path) -> tuple[SourceFile, ...]:
    """Read all files of a guest's folder, in order, without .git and cargo's target folder.

    A symlink within the folder counts as what it leads to; one that leads outside is an error: the file would
    be missing wherever else the guest is built. Raises GuestError.
    """
    files, total = [], 0
    root = folder.resolve()
    for path in _walk(folder):
        try:
            if not path.resolve(strict=True).is_relative_to(root):
                raise GuestError(
                    f'reading guest "{folder}": "{path.relative_to(folder)}" leads outside the folder',
                    "copy the file into the guest's folder",
                )
            data, mode = path.read_bytes(), path.stat().st_mode
        except OSError as error:
            raise GuestError(f'reading guest "{folder}": {error.strerror}: "{error.filename}"') from error
        except RuntimeError as error:  # Python before 3.13
            raise GuestError(f'reading guest "{folder}": "{path.relative_to(folder)}" leads to itself') from error
        total += len(data)
        if total > _CAP:
            raise GuestError(f'reading guest "{folder}": more than {_CAP >> 20} MiB of files', "is this a crate?")
        files.append(SourceFile(path.relative_to(folder).as_posix(), data, bool(mode & 0o100)))
    return tuple(files)


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not _is_left_out(here, name, here == folder))
        for name in folders[:]:
            if (here / name).is_symlink():  # os.walk does not enter it; reading it says what is wrong
                folders.remove(name)
                yield here / name
        yield from (here / name for name in sorted(names) if (here / name).is_file() or (here / name).is_symlink())


def _is_left_out(here: Path, name: str, at_top: bool) -> bool:
    """Cargo marks its target folders; a module named target is source."""
    return name == ".git" or (name == "target" and (at_top or (here / name / "CACHEDIR.TAG").exists()))
