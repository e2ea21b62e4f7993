"""What a guest's Cargo.toml says of its benchmark: [package.metadata.wasmdock.bench] -> the flags it stands for."""

import argparse
import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wasmdock.cli.values import parse_mount
from wasmdock.errors import GuestError

_KEYS = ("args", "call", "stdin", "volume", "native")


def with_defaults(options: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The options with the guest's own where the command line gives none. Raises GuestError."""
    manifest = folder / "Cargo.toml"
    if not manifest.is_file():
        return options
    merged = copy.copy(options)
    for key, value in read_defaults(manifest.read_text(encoding="utf-8"), folder).items():
        if not getattr(merged, key, None):
            setattr(merged, key, value)
    return merged


def read_defaults(text: str, folder: Path) -> dict[str, Any]:
    """The flags in the text of a Cargo.toml: `args` (texts), `call`, `stdin` (a file), `volume` (HOST:GUEST), `native`.

    native is the folder of a crate: the counterpart of a wasi:http guest, which listens on WASMDOCK_HTTP_ADDRESS, else
    on 0.0.0.0:8080. Paths are the guest's folder's own. Raises GuestError for another key or another type.
    """
    doing = f'reading "{folder / "Cargo.toml"}": [package.metadata.wasmdock.bench]'
    try:
        table: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GuestError(f"{doing}: {error}") from error
    for key in ("package", "metadata", "wasmdock", "bench"):
        table = table.get(key, {}) if isinstance(table, Mapping) else {}
    for key, value in table.items():
        texts = value if key == "args" and isinstance(value, list) else [value]
        if key not in _KEYS or not all(isinstance(each, str) for each in texts):
            raise GuestError(f'{doing}: "{key}" is not one of args = ["..."], call, stdin, volume, native = "..."')
    found: dict[str, Any] = dict(table)
    if "stdin" in found:
        found["stdin"] = folder / found["stdin"]
    if "native" in found:
        found["native"] = folder / found["native"]
    if "volume" in found:
        found["volume"] = [parse_mount(f"{folder.absolute()}/{found['volume']}")]
    return found
