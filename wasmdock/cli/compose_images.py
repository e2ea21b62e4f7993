"""The images of a project's Wasm services: found, or built from their folders and kept under their names."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.cli.context import Context
from wasmdock.errors import ImageError, UsageError, WasmdockError
from wasmdock.oci.image import Image, Reference

if TYPE_CHECKING:
    from wasmdock.compose import Stack
    from wasmdock.compose_service import Service


def image_of(stack: "Stack", service: "Service", context: Context, rebuild: bool = False) -> Image:
    """A service's image: from the store, built from its folder, or wherever its name leads. Raises with its line."""
    from wasmdock.compose import image_name

    name = image_name(stack, service)
    try:
        if service.context is None:
            from wasmdock.cli.source import find_image

            return find_image(name, context).image
        reference = Reference.parse(name)
        if not rebuild:
            try:
                return context.store.get(reference)
            except ImageError:
                pass
        image = _build(service, context)
        context.store.put(image, reference)
        return image
    except WasmdockError as error:
        error.message = f'{service.where}: service "{service.name}": {error.message}'
        raise


def _build(service: "Service", context: Context) -> Image:
    from wasmdock.cli.source import build_and_pack
    from wasmdock.guest import parse_target

    folder = service.context
    assert folder
    if not (folder / "Cargo.toml").is_file():
        raise UsageError(
            f'building "{folder}": no Cargo.toml: only Rust guests are built without docker compose',
            "build it with docker and name its image, or use --on docker",
        )
    wanted = service.node.get("build", "args", "TARGET")
    context.say(f'wasmdock: building "{service.name}" from {folder}')
    return build_and_pack(folder, parse_target(wanted.text)[0] if wanted else None, context).image


def load_into_engine(stack: "Stack", context: Context, rebuild: bool = False) -> None:
    """Put the Wasm images that are built or in the store into the engine under their names, unless they are there."""
    from wasmdock.compose import image_name
    from wasmdock.convert import convert
    from wasmdock.shape import Shape

    for service in stack.services:
        found = _ours(stack, service, context, rebuild) if service.is_wasm else None
        if found is None:
            continue
        name, image = image_name(stack, service), convert(found, Shape.ROOTFS)  # the shape every engine starts
        if not context.docker.has_image(name, image):
            context.docker.load(image, name)


def _ours(stack: "Stack", service: "Service", context: Context, rebuild: bool) -> Image | None:
    """What the engine cannot get but from us: a guest that is built here, or what the store has under that name."""
    if service.context is not None:
        return image_of(stack, service, context, rebuild) if (service.context / "Cargo.toml").is_file() else None
    try:
        reference = Reference.parse(service.image)
        image = context.store.get(reference)
    except ImageError:
        return None
    return image if image.platform.is_wasm and not reference.digest else None  # a digest is no name to load under


def find_host_program(context: Context) -> Path | None:
    """wasmdock-host, None where it is not."""
    from wasmdock.http_host import find_host

    return find_host(Path(sys.executable).parent, context.cache, context.environment.get("WASMDOCK_SHIM", ""))
