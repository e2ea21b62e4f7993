"""An image in one shape -> the same program in another, with all that its config says but the layers' history."""

from collections.abc import Mapping
from typing import Any

from wasmdock.errors import ImageError
from wasmdock.oci.fields import parse_object, shown
from wasmdock.oci.image import Image
from wasmdock.oci.layer import list_files
from wasmdock.oci.manifest import RUN_CONFIG
from wasmdock.pack import entry, extract, program_path
from wasmdock.shape import Program, Shape, assemble, shape_of, without_shape

_MANY = 5
_LONG_AGO = "1970-01-01T00:00:00Z"
# The members of a config that each shape writes for itself; all others are taken along.
_OF_THE_SHAPE = ("created", "architecture", "os", "config", "rootfs", "history", "layerDigests", "component")


def convert(image: Image, shape: Shape) -> Image:
    """The image in that shape; the very same one where it has the shape already.

    Raises ImageError where something would be lost: files beside the program, or a program that is no Wasm.
    """
    if shape_of(image) is shape:
        return image
    if not image.platform.is_wasm:
        raise ImageError(f'converting image "{image.digest}": it is for {image.platform}, not for Wasm')
    return assemble(_program(image), shape)


def _program(image: Image) -> Program:
    path = program_path(image)
    if path == "/":
        raise ImageError(f'converting image "{image.digest}": its ENTRYPOINT "/" names no file')
    if shape_of(image) is Shape.ROOTFS:
        _check_nothing_else(image, path)
    data = extract(image)
    start = entry(image)
    run = _starting(f"{path}#{start.export}" if start.export else path, without_shape(image.run_config))
    annotations = {key: value for key, value in image.annotations.items() if key != RUN_CONFIG}
    members = parse_object(image.config, "the config").members
    more = {key: value for key, value in members.items() if key not in _OF_THE_SHAPE}
    return Program(data, path.strip("/"), image.platform, run, annotations, image.created or _LONG_AGO, more)


def _starting(program: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """The run config with the program's whole path: elsewhere, a relative one would not lead to it."""
    for key in ("Entrypoint", "Cmd"):
        if run.get(key):
            return {**run, key: [program, *run[key][1:]]}
    return {"Entrypoint": [program], **{key: value for key, value in run.items() if key != "Entrypoint"}}


def _check_nothing_else(image: Image, path: str) -> None:
    there = list_files(image)
    others = [name for name in there if name.strip("/") != path.strip("/")]
    if others:
        listed = ", ".join(map(shown, others[:_MANY])) + (" ..." if len(others) > _MANY else "")
        hint = "only the shape rootfs holds files: give them to the guest as a volume instead"
        raise ImageError(f'converting image "{image.digest}": it has files beside the program: {listed}', hint)
