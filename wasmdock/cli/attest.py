"""What is said of a built image, attached to it in the store: its SBOM and its provenance."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from wasmdock.build import HOST_ROAD, Build
from wasmdock.cli.context import Context
from wasmdock.cli.key_file import read_key
from wasmdock.errors import WasmdockError
from wasmdock.guest_files import read_sources
from wasmdock.guest_inputs import digest_sources
from wasmdock.host_cargo import find_toolchain
from wasmdock.oci.image import Image
from wasmdock.oci.referrer import IN_TOTO, SPDX, Referrer
from wasmdock.process import run_command
from wasmdock.provenance import make_statement, sign
from wasmdock.sbom import make_sbom


def attach_to(
    image: Image,
    made: Build,
    options: argparse.Namespace,
    context: Context,
    optimized: str = "",
    told: Sequence[str] = (),
) -> None:
    """Attach SBOM and provenance to an image that was just built and stored.

    optimized says by what, if at all; told is what the binary said of its making before that.
    """
    folder: Path = options.folder
    lock = _lock(folder)
    sbom = make_sbom(made.artifact, lock, image.created, (*_toolchain(made, folder, context), *told))
    source = digest_sources(folder, read_sources(folder))
    statement = make_statement(image, made.artifact, road=made.road, source=source, lock=lock, optimized=optimized)
    if options.sign:
        statement = sign(statement, read_key(options.sign))
    for kind, data in ((SPDX, sbom), (IN_TOTO, statement)):
        context.store.attach(Referrer.of(image.descriptor, kind, data))


def _lock(folder: Path) -> str:
    """A guest without crates may have no Cargo.lock."""
    try:
        return (folder / "Cargo.lock").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _toolchain(made: Build, folder: Path, context: Context) -> tuple[str, ...]:
    """The compiler by name and version, as far as it is known without starting anything new."""
    if made.road != HOST_ROAD:
        return ("wasmdock-builder",)
    try:
        toolchain = find_toolchain(folder, context.cache, context.environment, run_command)
    except WasmdockError:
        return ()
    return (" ".join(toolchain.version.splitlines()[0].split()[:2]),)
