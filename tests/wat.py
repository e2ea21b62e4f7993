"""Guests written out in a test, where a few lines say more than a file of their own."""

from collections.abc import Sequence

from wasmdock.engine import assemble
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Image
from wasmdock.pack import pack


def image_of(text: str, name: str = "guest", entrypoint: Sequence[str] | None = None) -> Image:
    """The image of a guest given as WebAssembly text."""
    return pack(Artifact(name, Target.WASIP1, assemble(text.encode(), name)), entrypoint=entrypoint)
