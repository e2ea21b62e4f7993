"""Engines that have run a Wasm container before, remembered: nothing is tried on an engine just to find out."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.docker_host import find_host
from wasmdock.errors import WasmdockError


def is_proven(context: Context) -> bool:
    """Whether the engine at the current address has run a Wasm container for us."""
    with suppress(WasmdockError):
        return _mark(context).exists()
    return False


def record_proof(context: Context, address: str = "") -> None:
    """Remember that it has, or the one at another address. A folder that cannot be written to is no error."""
    with suppress(OSError):
        mark = _mark(context, address)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def forget_proof(context: Context) -> None:
    """Remember it no longer."""
    with suppress(OSError):
        _mark(context).unlink()


def _mark(context: Context, address: str = "") -> Path:
    address = address or find_host(context.environment).url
    return context.cache / "proven-engines" / hashlib.sha256(os.fsencode(address)).hexdigest()[:16]
