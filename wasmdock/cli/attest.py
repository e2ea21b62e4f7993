"""What is said of a built image, to be attached to it in the store: its SBOM and its provenance."""

from pathlib import Path

from wasmdock.build import Build
from wasmdock.guest_files import read_sources
from wasmdock.guest_inputs import digest_sources, find_lock
from wasmdock.oci.image import Image
from wasmdock.oci.referrer import IN_TOTO, SPDX, Referrer
from wasmdock.provenance import make_statement, sign
from wasmdock.sbom import make_sbom, producers_of


def documents_of(image: Image, plain: Build, made: Build, optimized: str, key: bytes, folder: Path) -> list[Referrer]:
    """SBOM and provenance of an image that was just built, made before the image takes its name.

    optimized says what made the program smaller, from plain to made, if anything did; that took the binary's own
    notes on its making away. key signs the provenance where it is not empty.
    """
    lock = _lock(folder)
    told = producers_of(plain.artifact) if optimized else ()
    sbom = make_sbom(made.artifact, lock, image.created, made.compiler, told)
    source = digest_sources(folder, read_sources(folder))
    statement = make_statement(
        image,
        made.artifact,
        road=made.road,
        source=source,
        lock=lock,
        compiler=made.compiler,
        optimized=optimized,
        unoptimized_size=len(plain.artifact.data),
    )
    if key:
        statement = sign(statement, key)
    return [Referrer.of(image.descriptor, kind, data) for kind, data in ((SPDX, sbom), (IN_TOTO, statement))]


def _lock(folder: Path) -> str:
    """A guest without crates may have no Cargo.lock."""
    try:
        return find_lock(folder).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
