"""Blobs on their way into the store: in a folder of their own, invisible until all are there."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from wasmdock.errors import ImageError, UnavailableError, cure_of
from wasmdock.oci.image import Descriptor
from wasmdock.oci.layout import FolderBlobs
from wasmdock.oci.lock import locked

LOCK = "lock"
_PIECE = 1 << 20
_WORTH_A_THREAD = 16 << 20  # bytes
_EVERY = 0.005  # seconds between two flushes; with 50 ms the last one took a sixth of a pull


class Incoming:
    """The folder of one transfer. What it holds is taken over by the store, or removed with it."""

    def __init__(self, folder: Path, store: Path) -> None:
        """Keep the folder, which exists, and the store's root."""
        self.folder = folder
        self._store = store

    def take(self, descriptor: Descriptor) -> bool:
        """Keep the store's own copy of a blob, if it has a sound one; nobody can remove it from here."""
        import hashlib

        target = self._path(descriptor)
        try:
            os.link(self._store / "blobs" / "sha256" / descriptor.digest.hex, target)
        except OSError:
            return False
        summed = hashlib.sha256()
        with suppress(ImageError, OSError), FolderBlobs(self.folder).open(descriptor) as file:
            while piece := file.read(_PIECE):
                summed.update(piece)
        if summed.hexdigest() == descriptor.digest.hex:
            return True
        target.unlink()
        return False

    @contextmanager
    def writing(self, descriptor: Descriptor) -> Iterator[BinaryIO]:
        """A file for a blob, flushed to the disk at the end; gone where an exception ends the writing."""
        path = self._path(descriptor)
        try:
            with path.open("w+b") as file:
                with _flushing(file.fileno(), descriptor.size):
                    yield file
                    file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            path.unlink(missing_ok=True)
            doing = f'writing blob "sha256:{descriptor.digest.short}..." into "{self._store}"'
            raise UnavailableError(f"{doing}: {error.strerror or error}", cure_of(error, "WASMDOCK_HOME")) from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def read(self, descriptor: Descriptor) -> bytes:
        """A blob's bytes, not verified. Raises ImageError."""
        return FolderBlobs(self.folder).read(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A blob as a stream. Raises ImageError."""
        return FolderBlobs(self.folder).open(descriptor)

    @property
    def paths(self) -> list[Path]:
        """The blobs that are here."""
        return sorted((self.folder / "blobs" / "sha256").iterdir())

    def _path(self, descriptor: Descriptor) -> Path:
        return self.folder / "blobs" / "sha256" / descriptor.digest.hex


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold the lock that tells a living transfer's folder from a dead one's, and remove the folder at the end."""
    try:
        (folder / "blobs" / "sha256").mkdir(parents=True)
        with locked(folder / LOCK):
            yield
    finally:
        _remove_tree(folder)


@contextmanager
def _flushing(handle: int, size: int) -> Iterator[None]:
    """Have the disk write a large file while more of it comes, so that the flush at its end is short."""
    if size < _WORTH_A_THREAD:
        yield
        return
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(_EVERY):
            with suppress(OSError):  # the flush at the end says it
                os.fsync(handle)

    thread = threading.Thread(target=work, name="wasmdock-flush", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def sweep(transfers: Path) -> None:
    """Remove the folders of transfers whose process is gone: the kernel has given their lock back."""
    for folder in transfers.iterdir() if transfers.is_dir() else ():
        with suppress(UnavailableError, OSError), locked(folder / LOCK, patience=-1.0):
            _remove_tree(folder)


def _remove_tree(folder: Path) -> None:
    import shutil  # with lzma and bz2 a twentieth of a start, and every run imports the store

    shutil.rmtree(folder, ignore_errors=True)
