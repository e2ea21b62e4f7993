"""IMAGE on the command line -> an Image: from the store, the engine, an archive, a layout, a file, a guest's folder."""

from dataclasses import dataclass
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.errors import ImageError, UsageError, WasmdockError
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Image, Reference
from wasmdock.wasm_sniff import Form, form_of

_MOST = 256 << 20  # bytes of a .wasm or .wat file
_WASM_MAGIC = b"\0asm"
_TAR_MAGIC = b"ustar"


@dataclass(frozen=True, slots=True)
class Source:
    """An image, the name it goes by, and where it was found (for --why)."""

    image: Image
    reference: str
    origin: str


def find_image(text: str, context: Context) -> Source:
    """Find what `text` names. A name in the store comes before a path unless it has a slash or a known ending."""
    path = Path(text).expanduser()
    looks_like_path = (
        "/" in text or text.endswith((".wasm", ".wat", ".tar", ".tar.gz", ".tgz")) or text == "."
    )
    if looks_like_path and path.exists():
        return _from_path(path, context)
    try:
        line = context.store.resolve(text)
    except ImageError as error:
        if path.exists():
            return _from_path(path, context)
        return _from_engine(text, context, error)
    return Source(context.store.get(str(line.digest)), line.reference.familiar, "the store")


def _from_engine(text: str, context: Context, missing: ImageError) -> Source:
    """The engine's image of that name; where there is neither, the store's own complaint stands."""
    try:
        reference = Reference.parse(text).familiar
        image = context.docker.image(reference)
    except WasmdockError:
        raise missing from None
    return Source(image, reference, "the engine")


def _from_path(path: Path, context: Context) -> Source:
    if path.is_dir():
        return _from_folder(path, context)
    head = _head(path)
    if head.startswith(_WASM_MAGIC) or path.suffix in (".wasm", ".wat"):
        return _packed(path.stem, read_wasm(path), f"file {path}")
    if head[257:262] == _TAR_MAGIC or head.startswith(b"\x1f\x8b"):
        return _from_archive(path)
    raise UsageError(
        f'reading "{path}": neither Wasm, nor an image archive',
        "name an image, an archive (docker save), an OCI layout, a .wasm or .wat file, or a guest's folder",
    )


def _from_archive(path: Path) -> Source:
    from wasmdock.oci.archive import read_archive

    images = read_archive(path)
    if len(images) != 1:
        names = ", ".join(str(name) for name, _ in images) or "none"
        raise ImageError(
            f'reading archive "{path}": {len(images)} images where one is needed',
            f"wasmdock load takes all; it has {names}",
        )
    reference, image = images[0]
    return Source(image, reference.familiar if reference else path.stem, f"archive {path}")


def _from_folder(path: Path, context: Context) -> Source:
    if (path / "Cargo.toml").is_file():
        from wasmdock.cli.build import build_and_pack

        return build_and_pack(path, None, context)
    if (path / "oci-layout").is_file():
        from wasmdock.oci.layout import read_layout

        return Source(read_layout(path), path.name, f"layout {path}")
    raise UsageError(
        f'reading folder "{path}": neither a guest (Cargo.toml) nor an OCI layout (oci-layout)',
        "name one of these",
    )


def _packed(name: str, data: bytes, origin: str) -> Source:
    from wasmdock.pack import pack

    safe = "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
    safe = "-".join(filter(None, safe.split("-"))) if safe.isascii() else ""
    target = Target.WASIP2 if form_of(data) is Form.COMPONENT else Target.WASIP1
    image = pack(Artifact(safe or "guest", target, data))
    return Source(image, safe or "guest", origin)


def read_wasm(path: Path) -> bytes:
    """The Wasm binary in a .wasm or .wat file. Raises GuestError, UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f'reading "{path}": {error.strerror}') from error
    if len(data) > _MOST:
        raise UsageError(f'reading "{path}": larger than {_MOST} bytes')
    if path.suffix == ".wat" and not data.startswith(_WASM_MAGIC):
        from wasmdock.engine import assemble

        return assemble(data, str(path))
    form_of(data)  # says what it is instead, where it is not Wasm
    return data


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise UsageError(f'reading "{path}": {error.strerror}') from error
