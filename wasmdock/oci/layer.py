"""One file out of an image's layers, read in memory by its exact name and never unpacked to disk."""

import hashlib
from collections.abc import Iterator, Mapping

from wasmdock.errors import ImageError
from wasmdock.oci.compression import UNPACKED_CAP, unpack
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Digest, Image, Layer
from wasmdock.oci.tar import Member, PieceSource, clean_name, members
from wasmdock.program_size import LIFT, largest

_NAMES_CAP = 128 << 20  # bytes that the names of all layers together may take
_NAME_COST = 100  # bytes of a name beside its letters
_LOWEST = 1 << 30  # below every layer
_WHITEOUT = ".wh."  # image-spec layer.md, "Whiteouts"
_OPAQUE = ".wh..wh..opq"


def read_file(image: Image, path: str, *, file_cap: int | None = None, layer_cap: int | None = None) -> bytes:
    """The content of the file at `path` (absolute or from the image's root), as a container would see it.

    Looks through the layers from the top, honours whiteouts, follows no link, and verifies the diff_id of
    each layer it looks at. Raises ImageError when the file is not there or not an ordinary one, for hostile
    tars, and beyond the caps (bytes of the file, None: of the largest program; bytes of one unpacked layer).
    """
    file_cap = largest() if file_cap is None else file_cap
    wanted = clean_name(path, f'"{shown(path)}" in the image')
    hidden = ""
    for layer, diff_id in _from_the_top(image):
        search = _Search(wanted, file_cap)
        for member, source in _walk(layer, diff_id, _cap(layer_cap)):
            search.look_at(member, source)
        if search.found:
            return _content(search.found, search.content, file_cap)
        if search.hidden:
            hidden = f" ({search.hidden})"
            break
    raise ImageError(f'reading "/{shown(wanted)}" in the image: there is no such file{hidden}')


def list_files(image: Image, *, layer_cap: int | None = None) -> tuple[str, ...]:
    """The absolute paths of the ordinary files a container would see, sorted. Raises as `read_file` does."""
    tops: dict[str, tuple[int, str]] = {}  # how far from the top each name is first, and as what
    covers: dict[str, int] = {}  # how far from the top a name first hides what lower layers have at and below it
    left = _NAMES_CAP
    for depth, (layer, diff_id) in enumerate(_from_the_top(image)):
        found = {}
        for member, _ in _walk(layer, diff_id, _cap(layer_cap)):
            found[member.name] = member.kind
            left -= 0 if member.name in tops else len(member.name) + _NAME_COST
            if left < 0:
                raise ImageError(f'listing the files of image "{image.digest}": it has too many names')
        for name, kind in found.items():
            tops.setdefault(name, (depth, kind))
            for covering in _covering(name, kind):
                covers.setdefault(covering, depth)
    covered = _covered(tops, covers)
    files = (name for name, (_, kind) in tops.items() if kind == "file" and _whitened(name) is None)
    return tuple(sorted(f"/{name}" for name in files if name not in covered))


def _cap(given: int | None) -> int:
    """Bytes of one layer that are looked at: room for two of the largest programs."""
    return max(UNPACKED_CAP, 2 * largest()) if given is None else given


def _covering(name: str, kind: str) -> list[str]:
    removed = _whitened(name)
    return [name] * (kind != "directory") + ([] if removed is None else [removed])


def _covered(tops: Mapping[str, tuple[int, str]], covers: Mapping[str, int]) -> set[str]:
    """The names that something in a higher layer hides, in one pass: a folder is followed by all that is in it."""
    above: list[tuple[str, int]] = []  # the names on the way to this one that cover, each with the highest so far
    covered = set()
    for name in sorted(tops.keys() | covers, key=lambda name: name.replace("/", "\0")):
        while above and not _is_within(name, above[-1][0]):
            above.pop()
        highest = min(covers.get(name, _LOWEST), above[-1][1] if above else _LOWEST)
        if name in covers:
            above.append((name, highest))
        if name in tops and highest < tops[name][0]:
            covered.add(name)
    return covered


def _is_within(name: str, folder: str) -> bool:
    return not folder or name.startswith(folder) and name[len(folder) :][:1] in ("", "/")


class _Search:
    """What one layer has to say of one path: the last entry of a tar wins."""

    def __init__(self, wanted: str, file_cap: int) -> None:
        self.wanted, self.file_cap = wanted, file_cap
        self.parents = frozenset(_parents(wanted))
        self.found: Member | None = None
        self.content = b""
        self.hidden = ""  # why layers below are not looked at

    def look_at(self, member: Member, source: PieceSource) -> None:
        if member.name == self.wanted:
            self.found = member
            wanted = member.is_file and member.size <= self.file_cap
            self.content = source.read(member.size) if wanted else b""
        elif member.name in self.parents and member.kind != "directory":
            self.hidden, self.found = f'"/{shown(member.name)}" is a {member.kind}', None
        elif (removed := _whitened(member.name)) in ("", self.wanted) or removed in self.parents:
            self.hidden = "a layer removed it"


def _content(member: Member, content: bytes, file_cap: int) -> bytes:
    what = f'"/{shown(member.name)}" in the image'
    if not member.is_file:
        hint = "links are not followed: name the file itself" if "link" in member.kind else ""
        raise ImageError(f"reading {what}: it is a {member.kind}, not an ordinary file", hint)
    if member.size > file_cap:
        raise ImageError(f"reading {what}: it has {member.size} bytes, more than the {file_cap} allowed", LIFT)
    return content


def _from_the_top(image: Image) -> Iterator[tuple[Layer, Digest]]:
    if any(layer.is_wasm for layer in image.layers):
        raise ImageError(
            f'reading a file of image "{image.digest}": its layer is a bare Wasm binary, without files',
        )
    return zip(reversed(image.layers), reversed(image.diff_ids), strict=True)


def _walk(layer: Layer, diff_id: Digest, cap: int) -> Iterator[tuple[Member, PieceSource]]:
    """The layer's members, then the check that what was unpacked is what the config promised."""
    what = f'layer "{layer.descriptor.digest}"'
    summed = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for piece in unpack(layer.data, what, cap):
            summed.update(piece)
            yield piece

    pieces = hashed()
    source = PieceSource(pieces)
    for member in members(source, what):
        yield member, source
    for _ in pieces:  # padding after the end mark counts too
        pass
    if summed.hexdigest() != diff_id.hex:
        raise ImageError(f"reading {what}: unpacked, its digest is not the {diff_id} its config promises")


def _parents(name: str) -> tuple[str, ...]:
    """`a/b/c` -> `a`, `a/b`."""
    return tuple(name[:place] for place, letter in enumerate(name) if letter == "/")


def _whitened(name: str) -> str | None:
    """The path that a whiteout removes from the layers below (with all beneath it), None for other names."""
    folder, _, last = name.rpartition("/")
    if last == _OPAQUE:
        return folder
    if last.startswith(_WHITEOUT):
        return f"{folder}/{last[len(_WHITEOUT) :]}".lstrip("/")
    return None
