"""The lines of the store's table of contents: what each says of an image, and which one a name means."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from wasmdock.digits import read_digits
from wasmdock.errors import ImageError
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Descriptor, Digest, Image, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import index_entry, name_of, usual_platforms
from wasmdock.oci.manifest import CONTAINERD_NAME, REF_NAME

SUBJECT = "dev.wasmdock.subject"  # what an entry without a name is about: the digest of an image
_SIZE = "dev.wasmdock.packed-size"
_STORED = "dev.wasmdock.stored"
_PLATFORMS = "dev.wasmdock.platforms"
_INDEX = "dev.wasmdock.index"
_CREATED = "org.opencontainers.image.created"
_SHORTEST_PREFIX = 4  # hex digits


class StoredImage(NamedTuple):
    """One line of the store: created is RFC 3339 text from the image, stored is seconds since 1970.

    digest is the index's where one name holds images for several `platforms`; platform is the one used here.
    part_of is the index that an image was pulled from, where it came alone.
    """

    reference: Reference
    digest: Digest
    platform: Platform
    packed_size: int
    created: str
    stored: int
    platforms: tuple[Platform, ...] = ()
    part_of: Digest | None = None


def noted(entry: Descriptor) -> StoredImage | None:
    """What the entry alone says; None where another tool wrote it, and the image must be read."""
    notes = entry.annotations
    size, stored = read_digits(notes.get(_SIZE, "")), read_digits(notes.get(_STORED, ""))
    if size is None or stored is None:
        return None
    name = named(entry)
    if entry.platform:
        created, part_of = notes.get(_CREATED, ""), _index_of(entry)
        return StoredImage(name, entry.digest, entry.platform, size, created, stored, part_of=part_of)
    if _PLATFORMS not in notes:
        return None
    platforms = tuple(Platform.parse(text) for text in notes[_PLATFORMS].split(","))
    return StoredImage(name, entry.digest, _usual(platforms), size, "", stored, platforms)


def platforms_of(entry: Descriptor) -> tuple[Platform, ...]:
    """What an entry has images for; empty where it does not say."""
    line = noted(entry)
    return (line.platforms or (line.platform,)) if line else ()


def serves(entry: Descriptor, wanted: Sequence[Platform]) -> bool:
    """Whether it may have an image for one of these."""
    there = platforms_of(entry)
    return not there or any(each.matches(platform) for each in there for platform in wanted)


def named(entry: Descriptor) -> Reference:
    """The entry's name, or one that says it has none."""
    return name_of(entry) or Reference("localhost", "unnamed", "", entry.digest)


def matching(entries: Sequence[Descriptor], name: Reference | str) -> list[Descriptor]:
    """The entries that a name, a digest or the beginning of one means. Raises ImageError where there is none."""
    images = [entry for entry in entries if SUBJECT not in entry.annotations]
    reference = name if isinstance(name, Reference) else _reference(name)
    found = [entry for entry in images if reference and _is(entry, reference)]
    if not found and isinstance(name, str):
        found = _by_digest(images, name)
    if not found:
        raise _unknown(name, images)
    return found


def line_of(image: Image, reference: Reference, stored: int, part_of: Digest | None = None) -> StoredImage:
    """The line of an image, and the index it is from; stored is seconds since 1970."""
    size, created = image.packed_size, image.created
    return StoredImage(reference, image.digest, image.platform, size, created, stored, part_of=part_of)


def entry_of(image: Image, line: StoredImage) -> dict[str, Any]:
    """The entry that keeps an image's line."""
    notes = {_SIZE: str(line.packed_size), _STORED: str(line.stored), _CREATED: line.created}
    notes[_INDEX] = str(line.part_of or "")
    return index_entry(image, line.reference, **{key: value for key, value in notes.items() if value})


def usual(lines: Sequence[Descriptor], platforms: Sequence[Platform] | None) -> Descriptor:
    """Of entries that one name means, as images of one index do, that for the first of the platforms."""
    for wanted in platforms or usual_platforms():
        for entry in lines:
            if entry.platform and entry.platform.matches(wanted):
                return entry
    return lines[0]


def index_line(index: ImageIndex, reference: Reference, stored: int) -> dict[str, Any]:
    """The entry of an index; stored is seconds since 1970. Raises ImageError for a platform that is none."""
    texts = [str(platform) for platform in index.platforms]
    for text in texts:
        Platform.parse(text)  # later, it would spoil the whole store
    platforms = ",".join(texts)
    notes = {_SIZE: str(index.packed_size), _STORED: str(stored), _PLATFORMS: platforms}
    names = {CONTAINERD_NAME: reference.canonical, REF_NAME: reference.tag or str(reference.digest)}
    return {**index.descriptor.document(), "annotations": dict(sorted({**names, **notes}.items()))}


def _usual(platforms: Sequence[Platform]) -> Platform:
    """The platform that is used here when nobody says."""
    for wanted in usual_platforms():
        for platform in platforms:
            if platform.matches(wanted):
                return platform
    return platforms[0]


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except ImageError:
        return None


def _is(entry: Descriptor, wanted: Reference) -> bool:
    """`name:tag` must agree; a digest, where it is given, must be the image's, or that of the index it is from."""
    name = name_of(entry)
    if name is None or name.name != wanted.name or wanted.digest not in (None, entry.digest, _index_of(entry)):
        return False
    return not wanted.tag or wanted.tag == name.tag


def _index_of(entry: Descriptor) -> Digest | None:
    with suppress(ImageError):
        return Digest.parse(entry.annotations.get(_INDEX, ""))
    return None


def _by_digest(entries: Sequence[Descriptor], text: str) -> list[Descriptor]:
    """Entries whose digest, or else that of the index they are from, begins so; an error where these are several."""
    prefix = text.removeprefix("sha256:")
    if len(prefix) < _SHORTEST_PREFIX or prefix.strip("0123456789abcdef"):
        return []
    own = [(entry.digest, entry) for entry in entries]
    indexes = [(index, entry) for entry in entries if (index := _index_of(entry))]
    for each in (own, indexes):
        found = [(digest, entry) for digest, entry in each if digest.hex.startswith(prefix)]
        if len({digest for digest, _ in found}) > 1:
            digests = ", ".join(sorted({digest.short for digest, _ in found}))
            raise ImageError(f'finding image "{text}": several digests begin so', f"one of {digests}")
        if found:
            return [entry for _, entry in found]
    return []


def _unknown(name: Reference | str, entries: Sequence[Descriptor]) -> ImageError:
    import difflib  # only where a name is not there

    known = {str(found): found for entry in entries if (found := name_of(entry))}
    spellings = {text: text for text in known} | {found.familiar_name: text for text, found in known.items()}
    close = difflib.get_close_matches(str(name), spellings, n=3, cutoff=0.6)
    meant = " or ".join(dict.fromkeys(spellings[text] for text in close))
    hint = f"did you mean {meant}?" if meant else "wasmdock images lists what is there"
    return ImageError(f'finding image "{shown(name)}": not in the store', hint)
