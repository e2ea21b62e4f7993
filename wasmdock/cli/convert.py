"""wasmdock convert: an image of the store, a registry or a file in another shape."""

import argparse
import json

from wasmdock.cli.context import Context
from wasmdock.cli.source import find_image, wanted_of
from wasmdock.convert import convert
from wasmdock.oci.image import Reference
from wasmdock.shape import Shape, shape_of


def convert_image(options: argparse.Namespace, context: Context) -> int:
    """Store the image in the shape asked for, under the name given."""
    source = find_image(options.image, context, wanted_of(options))
    image = convert(source.image, Shape(options.shape))
    name = Reference.parse(options.name)
    context.store.put(image, name)
    facts = {"name": name.familiar, "digest": str(image.digest), "shape": shape_of(image).value}
    if options.format == "json":
        print(json.dumps({**facts, "platform": str(image.platform), "packed_size": image.packed_size}))
    else:
        size = f"{image.packed_size / 1000:.1f} kB"
        print(f"{name.familiar}  {image.digest.short}  {image.platform}  {facts['shape']}  {size}")
    return 0
