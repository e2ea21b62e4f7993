"""IMAGE on the command line -> an Image: from the store, the engine, an archive, a layout, a file, a guest's folder."""

import argparse
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmdock.cli.context import Context
from wasmdock.cli.values import expanded
from wasmdock.errors import GuestError, ImageError, UnavailableError, UsageError, WasmdockError
from wasmdock.oci.compression import GZIP, ZSTD
from wasmdock.oci.image import Digest, Image, Platform, Reference
from wasmdock.program_size import LARGEST, LIFT, largest
from wasmdock.wasm_sniff import ELF, Form, check_whole, form_of, recognise

if TYPE_CHECKING:
    from wasmdock.guest import Target

_LEAST_READ = 1 << 20  # bytes: some files do not tell their size
_WASM_MAGIC = b"\0asm"
_TAR_MAGIC = b"ustar"
_FILES = (".wasm", ".wat", ".tar", ".tar.gz", ".tgz", ".tar.zst")
_FROM_REGISTRY = "registry "
_PATHS = ("/", "./", "../", "~")


class Source(NamedTuple):
    """An image, the name it goes by, and where it was found (for --why).

    named is the digest that the name means, an index's where it holds several images; None for files and the engine.
    """

    image: Image
    reference: str
    origin: str
    named: Digest | None = None

    @property
    def is_pulled(self) -> bool:
        """Whether it has just come from a registry."""
        return self.origin.startswith(_FROM_REGISTRY)


class Wanted(NamedTuple):
    """How an image is looked for: pull is missing, always or never; platform None: Wasm, else this machine's."""

    pull: str = "missing"
    platform: Platform | None = None
    insecure: bool = False

    @property
    def platforms(self) -> tuple[Platform, ...] | None:
        """The platform as the store wants it."""
        return (self.platform,) if self.platform else None


def wanted_of(options: argparse.Namespace) -> Wanted:
    """What the flags of `add_source` say."""
    return Wanted(options.pull, options.platform, options.insecure)


_USUAL = Wanted()


def find_image(text: str, context: Context, wanted: Wanted = _USUAL) -> Source:
    """Find what `text` names. A name in the store comes before a path unless it has a slash or a known ending.

    A name that is nowhere on this machine is pulled where it begins with a registry: a typo asks nobody outside.
    """
    if not text:
        raise UsageError('finding image "": its name is empty')
    path = expanded(text)
    looks_like_path = "/" in text or text.endswith(_FILES) or text == "."
    if looks_like_path and path.exists():
        return _from_path(path, context, wanted)
    if wanted.pull == "always":
        return _from_registry(Reference.parse(text), context, wanted)
    try:
        return _from_store(text, context, wanted)
    except ImageError as error:
        if path.exists() and not _is_stored(text, context):
            return _from_path(path, context, wanted)
        found = _from_engine(text, context)
        if found:
            return found
        if wanted.pull == "missing" and names_registry(text):
            return _from_registry(Reference.parse(text), context, wanted)
        if text.startswith(_PATHS) or text.endswith(_FILES):
            raise UsageError(f'reading "{text}": no such file or folder') from error
        raise error


def names_registry(text: str) -> bool:
    """Whether the name begins with a registry, as `docker.io/library/hello-world` does and `hello-world` does not."""
    try:
        return Reference.parse(text).registry != "docker.io" or text.startswith(("docker.io/", "index.docker.io/"))
    except ImageError:
        return False


def _from_store(text: str, context: Context, wanted: Wanted) -> Source:
    line = context.store.resolve(text, wanted.platforms)
    image = context.store.get(str(line.digest), wanted.platforms)
    several = ", ".join(map(str, line.platforms))
    origin = f"the store ({image.platform} of {several})" if several else "the store"
    return Source(image, line.reference.familiar, origin, line.part_of or line.digest)


def _is_stored(text: str, context: Context) -> bool:
    """Whether the store has the name, for whatever platform."""
    try:
        return bool(context.store.resolve(text))
    except ImageError:
        return False


def _from_registry(reference: Reference, context: Context, wanted: Wanted) -> Source:
    """Pull, as `wasmdock pull` does: the image stays in the store."""
    from wasmdock.cli.registry import pull_into_store

    context.say(f"wasmdock: asking {reference.registry} for {reference.repository}")
    line = pull_into_store(reference, context, wanted.platforms, wanted.insecure)
    image = context.store.get(str(line.digest), wanted.platforms)
    named = reference.digest or line.part_of or line.digest
    return Source(image, line.reference.familiar, f"{_FROM_REGISTRY}{reference.registry}", named)


def _from_engine(text: str, context: Context) -> Source | None:
    """The engine's image of that name, if there is an engine and it has one."""
    try:
        reference = Reference.parse(text).familiar
        return Source(context.docker.image(reference), reference, "the engine")
    except WasmdockError:
        return None


def _from_path(path: Path, context: Context, wanted: Wanted) -> Source:
    found = _read_path(path, context, wanted)
    if wanted.platform and not found.image.platform.matches(wanted.platform):
        cause = f'"{path}" is for {found.image.platform}'
        raise ImageError(f'choosing an image for "{wanted.platform}": {cause}', "leave --platform out")
    return found


def _read_path(path: Path, context: Context, wanted: Wanted) -> Source:
    if path.is_dir():
        return _from_folder(path, context, wanted)
    head = _head(path)
    if head.startswith(_WASM_MAGIC) or path.suffix in (".wasm", ".wat"):
        return _packed(path.stem, read_wasm(path), f"file {path}")
    if head[257:262] == _TAR_MAGIC or head.startswith((GZIP, ZSTD)):
        return _from_archive(path)
    what = recognise(head)[0] if head.startswith(ELF) else "neither Wasm, nor an image archive"
    raise UsageError(
        f'reading "{path}": {what}',
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


def _from_folder(path: Path, context: Context, wanted: Wanted) -> Source:
    if (path / "Cargo.toml").is_file():
        from wasmdock.guest import Target

        is_native = wanted.platform and not wanted.platform.is_wasm
        return build_and_pack(path, Target.NATIVE if is_native else None, context)
    if (path / "oci-layout").is_file():
        from wasmdock.oci.layout import read_layout

        return Source(read_layout(path), path.name, f"layout {path}")
    raise UsageError(
        f'reading folder "{path}": neither a guest (Cargo.toml) nor an OCI layout (oci-layout)',
        "name one of these",
    )


def _packed(name: str, data: bytes, origin: str) -> Source:
    from wasmdock.guest import Artifact, Target
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
            status = os.fstat(file.fileno())
            is_file = stat.S_ISREG(status.st_mode)
            most = largest() if is_file else min(largest(), LARGEST)  # a device may have no end
            too_large = is_file and status.st_size > most
            data = b"" if too_large else file.read(max(status.st_size, _LEAST_READ) if is_file else most + 1)
    except OSError as error:
        raise _unread(path, error) from error
    if too_large or len(data) > most:
        raise UsageError(f'reading "{path}": larger than the {most} bytes that a program may have', LIFT)
    if path.suffix == ".wat" and not data.startswith(_WASM_MAGIC):
        from wasmdock.engine import assemble

        return assemble(data, str(path))
    try:
        check_whole(data)  # says what it is instead, where it is not Wasm
    except GuestError as error:
        raise GuestError(f'reading "{path}": {error.message}', error.hint) from error
    return data


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise _unread(path, error) from error


def _unread(path: Path, error: OSError) -> WasmdockError:
    """A file that is not there is the caller's mistake; one that cannot be read is the machine's."""
    kind = UsageError if isinstance(error, FileNotFoundError | NotADirectoryError) else UnavailableError
    return kind(f'reading "{path}": {error.strerror or error}')


def build_and_pack(folder: Path, target: "Target | None", context: Context) -> Source:
    """What `wasmdock run FOLDER` does: build, pack, keep nothing."""
    from wasmdock.cli.toolchain import build_folder, epoch
    from wasmdock.pack import pack

    made = build_folder(folder, target, context)
    image = pack(made.artifact, created=epoch(context))
    return Source(image, made.artifact.name, f"guest {folder}, built by {made.road}")
