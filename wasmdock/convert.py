"""An image in one shape -> the same program in another, with nothing lost."""

from wasmdock.errors import ImageError
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Image
from wasmdock.oci.layer import list_files
from wasmdock.oci.manifest import RUN_CONFIG
from wasmdock.pack import entry, extract
from wasmdock.shape import Program, Shape, assemble, shape_of, without_shape

_MANY = 5


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
    path = entry(image).path
    if shape_of(image) is Shape.ROOTFS:
        _check_nothing_else(image, path)
    data = extract(image)
    run = without_shape(image.run_config)
    if not run.get("Entrypoint") and not run.get("Cmd"):
        run = {"Entrypoint": [path], **run}
    annotations = {key: value for key, value in image.annotations.items() if key != RUN_CONFIG}
    file_name = path.strip("/")
    return Program(data, file_name, image.platform, run, annotations, image.created or "1970-01-01T00:00:00Z")


def _check_nothing_else(image: Image, path: str) -> None:
    there = list_files(image)
    others = [name for name in there if name.strip("/") != path.strip("/")]
    if others:
        listed = ", ".join(map(shown, others[:_MANY])) + (" ..." if len(others) > _MANY else "")
        hint = "only the shape rootfs holds files: give them to the guest as a volume instead"
        raise ImageError(f'converting image "{image.digest}": it has files beside the program: {listed}', hint)
