"""wasmdock convert: an image of the store, a registry or a file in another shape."""

import argparse
import json

from wasmdock.cli.context import Context
from wasmdock.cli.documents import documents
from wasmdock.cli.source import Source, Wanted, find_image, wanted_of
from wasmdock.convert import convert
from wasmdock.errors import RegistryError
from wasmdock.oci.image import Image, Reference
from wasmdock.oci.referrer import SPDX, Referrer
from wasmdock.shape import Shape, shape_of


def convert_image(options: argparse.Namespace, context: Context) -> int:
    """Store the image in the shape asked for, under the name given, with its SBOM."""
    wanted = wanted_of(options)
    source = find_image(options.image, context, wanted)
    image = convert(source.image, Shape(options.shape))
    name = Reference.parse(options.name)
    about = _about(source, context, wanted)
    context.store.put(image, name)
    if image != source.image:
        _take_along(about, image, context)
    facts = {"name": name.familiar, "digest": str(image.digest), "shape": shape_of(image).value}
    if options.format == "json":
        print(json.dumps({**facts, "platform": str(image.platform), "packed_size": image.packed_size}))
    else:
        size = f"{image.packed_size / 1000:.1f} kB"
        print(f"{name.familiar}  {image.digest.short}  {image.platform}  {facts['shape']}  {size}")
    return 0


def _about(source: Source, context: Context, wanted: Wanted) -> list[Referrer]:
    """What is said of the image; a registry is asked only for an image that has just come from there."""
    try:
        return documents(source, context, wanted if source.is_pulled else Wanted("never"))
    except RegistryError as error:
        context.say(f"wasmdock: the image is there, but not what is said of it: {error.message}")
        return []


def _take_along(about: list[Referrer], image: Image, context: Context) -> None:
    """The SBOM is of the program, so it is the new image's, too; other statements name the image they are about."""
    for each in about:
        if each.artifact_type == SPDX:
            context.store.attach(Referrer.of(image.descriptor, SPDX, each.data))
    if any(each.artifact_type != SPDX for each in about):
        context.say("wasmdock: provenance stays with the image it is about: build in this shape to have some of it")
