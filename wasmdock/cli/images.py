"""wasmdock images, rmi, load and save: the local store."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from wasmdock.cli import complain
from wasmdock.cli.build import write_out
from wasmdock.cli.context import Context
from wasmdock.errors import ImageError, UsageError
from wasmdock.oci.archive import read_archive_whole
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import Whole, read_layout_whole
from wasmdock.oci.store import StoredImage

_COLUMNS = ("IMAGE", "DIGEST", "PLATFORM", "PACKED", "STORED")
_CHUNK = 1 << 20


def images(options: argparse.Namespace, context: Context) -> int:
    """List the store."""
    lines = context.store.images()
    if options.format == "json":
        print(json.dumps([_json(line) for line in lines]))
        return 0
    rows = [_COLUMNS, *(_row(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def rmi(options: argparse.Namespace, context: Context) -> int:
    """Remove names from the store."""
    code = 0
    for name in options.images:
        try:
            print(context.store.remove(name).reference.familiar, flush=True)
        except ImageError as error:
            complain(error)
            code = error.exit_code
    return code


def load(options: argparse.Namespace, context: Context) -> int:
    """Put an archive's images, or a layout's, into the store; an index with all of its images."""
    for reference, (content, left_out) in _read(options.input):
        name = Reference.parse(options.tag) if options.tag else reference
        if name is None:
            raise UsageError(f'loading "{options.input}": the image in it has no name', "give one with -t NAME")
        if isinstance(content, ImageIndex):
            line = context.store.put_index(content, name)
        else:
            line = context.store.put(content, name)
        print(f"{name.familiar}  {line.digest.short}  {', '.join(map(str, line.platforms or (line.platform,)))}")
        if left_out:
            others = ", ".join(map(shown, left_out))
            context.say(
                f'wasmdock: left out of "{name.familiar}": {others}: "{options.input}" has no whole index of it'
            )
    return 0


def save(options: argparse.Namespace, context: Context) -> int:
    """Write an image of the store as a layout folder or an archive."""
    line = context.store.resolve(options.image)
    write_out(context.store.content(str(line.digest)), options.output, line.reference)
    return 0


def _read(path: Path) -> list[tuple[Reference | None, Whole]]:
    if str(path) == "-":
        # Not closed here: the images read their layers from it when they are used.
        file = tempfile.TemporaryFile()  # noqa: SIM115
        while chunk := sys.stdin.buffer.read(_CHUNK):
            file.write(chunk)
        file.seek(0)
        return read_archive_whole(file)
    if path.is_dir():
        return [(None, read_layout_whole(path))]
    if not path.exists():
        raise UsageError(f'loading "{path}": no such file', "name an archive (docker save) or an OCI layout")
    if path.suffix in (".wasm", ".wat"):
        raise UsageError(f'loading "{path}": a Wasm file, not an archive of images', f"wasmdock pack {path}")
    return read_archive_whole(path)


def _row(line: StoredImage) -> tuple[str, ...]:
    stored = time.strftime("%Y-%m-%d %H:%M", time.localtime(line.stored))
    size = f"{line.packed_size / 1000:.1f} kB"
    return (line.reference.familiar, line.digest.short, _platforms(line), size, stored)


def _platforms(line: StoredImage) -> str:
    return ",".join(map(str, line.platforms or (line.platform,)))


def _json(line: StoredImage) -> dict[str, object]:
    return {
        "name": line.reference.familiar,
        "digest": str(line.digest),
        "platform": str(line.platform),
        "platforms": [str(each) for each in line.platforms or (line.platform,)],
        "packed_size": line.packed_size,
        "created": line.created,
        "stored": line.stored,
    }
