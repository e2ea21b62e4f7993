"""Before docker compose starts a project: what cannot work of its Wasm services, each with its line in the file."""

from typing import TYPE_CHECKING

from wasmdock.cli.context import Context
from wasmdock.cli.foresee import find_kind
from wasmdock.cli.proof import is_proven
from wasmdock.cli.run import nature_of
from wasmdock.cli.source import Wanted, find_image
from wasmdock.errors import ImageError, WasmdockError
from wasmdock.foresight import Start, find_obstacle, remarks
from wasmdock.oci.image import Image

if TYPE_CHECKING:
    from wasmdock.compose import Stack
    from wasmdock.compose_service import Service


def foresee_services(stack: "Stack", context: Context) -> None:
    """Raise the first obstacle of a Wasm service, say what may surprise. What is not here yet docker compose gets."""
    services = [each for each in stack.services if each.is_wasm]
    kind, proven = (find_kind(context), is_proven(context)) if services else (None, False)
    for service in services:
        image = _image_here(stack, service, context)
        if image is None or kind is None:
            continue
        with_line = f'{service.where}: service "{service.name}"'
        terminal = service.node.get("tty")
        try:
            nature = nature_of(image)
            start = Start(
                image,
                nature,
                context.engine_facts,
                shim=kind,
                proven=proven,
                tty=terminal is not None and terminal.text == "true",
                published=bool(service.ports),
                in_file=True,
            )
            obstacle = find_obstacle(start)
        except WasmdockError as error:
            obstacle = error
        if obstacle is not None:
            obstacle.message = f"{with_line}: {obstacle.message}"
            raise obstacle
        for remark in remarks(start):
            context.say(f"wasmdock: {with_line}: {remark}")


def _image_here(stack: "Stack", service: "Service", context: Context) -> Image | None:
    from wasmdock.compose import image_name

    try:
        return find_image(image_name(stack, service), context, Wanted("never")).image
    except ImageError:
        return None
