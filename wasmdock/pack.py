"""An artifact -> an image FROM scratch, the same bytes each time; and back."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wasmdock.errors import GuestError, ImageError, UsageError
from wasmdock.oci.fields import NOTHING, shown
from wasmdock.oci.image import WASI, Image, Layer, Platform
from wasmdock.oci.layer import list_files, read_file
from wasmdock.oci.tar import clean_name
from wasmdock.program_size import LIFT, excess
from wasmdock.shape import Program, Shape, assemble

if TYPE_CHECKING:  # running an image need not load what reads guests
    from wasmdock.guest import Artifact

_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*")
_MAGIC = b"\0asm"
_ELF = b"\x7fELF"
# e_machine of the ELF header (System V gABI), at offset 18, little-endian except on s390x.
_MACHINES = {3: "386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64le", 22: "s390x"}
_FOLDERS = 1000  # of PATH that are looked into
_LAST_YEAR = 253_402_300_799  # the end of the year 9999, in seconds since 1970
_OCI = "org.opencontainers.image."
_TITLE = f"{_OCI}title"


class Entry(NamedTuple):
    """What an image starts: `path` as written, without `#func`; `export` is that func or empty.

    arguments always follow the path; defaults follow them unless the caller gives arguments of his own.
    """

    path: str
    export: str
    arguments: tuple[str, ...]
    defaults: tuple[str, ...]

    def argv(self, args: Sequence[str] = ()) -> tuple[str, ...]:
        """The argument vector of a run, its first element the path."""
        return (self.path, *self.arguments, *(args or self.defaults))


def pack(
    artifact: "Artifact",
    *,
    env: Mapping[str, str] = NOTHING,
    labels: Mapping[str, str] = NOTHING,
    annotations: Mapping[str, str] = NOTHING,
    args: Sequence[str] = (),
    entrypoint: Sequence[str] | None = None,
    created: int | None = None,
    user: str | None = None,
    shape: Shape = Shape.ROOTFS,
) -> Image:
    """Put an artifact into an image FROM scratch: wasi/wasm, or linux/<its architecture> for a native one.

    args are the default arguments (CMD), created is seconds since 1970 (SOURCE_DATE_EPOCH; None: 1970).
    Raises GuestError for an artifact that is not what its target says, UsageError for bad values.
    """
    file_name = _file_name(artifact)
    if too_large := excess(len(artifact.data)):  # nothing of ours would run it
        raise GuestError(f'packing "{artifact.name}": {too_large}', LIFT)
    platform = _platform(artifact)
    time = _time(created)
    described = _described(artifact, time if created is not None else "")
    run = {
        "Entrypoint": list(entrypoint) if entrypoint is not None else [f"/{file_name}"],
        "Cmd": list(args),
        "Env": [_variable(name, value) for name, value in env.items()],
        "Labels": dict(sorted({**described, **labels}.items())),
        "StopSignal": "SIGINT",
        "User": user or "",
    }
    said = {key: value for key, value in run.items() if value}
    program = Program(artifact.data, file_name, platform, said, {**described, **annotations}, time)
    try:
        return assemble(program, shape)
    except ImageError as error:  # a NUL or half a surrogate pair in what the caller gave
        raise UsageError(f'packing "{artifact.name}": {error.message}') from error


def entry(image: Image) -> Entry:
    """What the image starts. Raises ImageError when it names nothing."""
    program = image.entrypoint or image.cmd[:1] or ("",)
    path, _, export = program[0].partition("#")
    if not path and any(layer.is_wasm for layer in image.layers):
        path = _titled(image)
    if not path:
        raise ImageError(f'reading image "{image.digest}": it has neither ENTRYPOINT nor CMD')
    defaults = image.cmd if image.entrypoint else image.cmd[1:]
    return Entry(path, export, program[1:], defaults)


def _titled(image: Image) -> str:
    """What to call a bare binary whose image names no program: by its title, as oras and wkg give one."""
    notes = (image.annotations, *(layer.descriptor.annotations for layer in image.layers))
    titles = [note.get(_TITLE, "") for note in notes]
    names = (title.rpartition("/")[2].removesuffix(".wasm") for title in titles)
    return f"/{next(filter(_NAME.fullmatch, names), 'app')}.wasm"


def extract(image: Image) -> bytes:
    """The program the image starts, byte for byte. Raises ImageError when it is not there."""
    wasm = [layer for layer in image.layers if layer.is_wasm]
    if wasm:
        return _bare(image, wasm)
    path = program_path(image)
    try:
        return read_file(image, path)
    except ImageError as error:
        raise ImageError(error.message, error.hint or _found_instead(path, image)) from error


def program_path(image: Image) -> str:
    """The program's whole path, as a container finds it; a bare binary's, where it would be. Raises ImageError."""
    candidates = _candidates(image, entry(image).path)
    if len(candidates) > 1 and not any(layer.is_wasm for layer in image.layers):
        there = set(list_files(image))
        return next((candidate for candidate in candidates if candidate in there), candidates[-1])
    return candidates[-1]


def _bare(image: Image, layers: Sequence[Layer]) -> bytes:
    """Containerd's runwasi and the CNCF's artifact both take exactly one Wasm layer."""
    if len(layers) != 1:
        cause = f"it has {len(layers)} Wasm layers instead of one"
        raise ImageError(f'extracting from image "{image.digest}": {cause}')
    if too_large := excess(layers[0].descriptor.size):
        raise ImageError(f'extracting from image "{image.digest}": {too_large}', LIFT)
    return layers[0].data


def _candidates(image: Image, path: str) -> list[str]:
    """Where containerd's shims look: a name without a slash on PATH, then from the working directory."""
    if path.startswith("/"):
        found = [path]
    else:
        folders = image.env.get("PATH", "").split(":") if "/" not in path else []
        found = [f"{folder}/{path}" for folder in (*filter(None, folders[:_FOLDERS]), image.working_dir)]
    return ["/" + clean_name(name, f'"{shown(path)}" in the image') for name in found]


def _found_instead(missing: str, image: Image) -> str:
    files = list_files(image)
    if missing in files:
        return ""
    there = [name for name in files if name.endswith((".wasm", ".wat"))]
    if len(there) == 1:
        return f'it has {shown(there[0])}: say ENTRYPOINT ["{shown(there[0])}"] in its Dockerfile'
    names = ", ".join(map(shown, there[:10]))
    return f"it has {names}: name one as ENTRYPOINT" if there else "it has no .wasm file at all"


def _file_name(artifact: "Artifact") -> str:
    if not _NAME.fullmatch(artifact.name) or len(artifact.name) > 95:
        raise UsageError(
            f'packing "{shown(artifact.name)}": it cannot name an image',
            "use lower-case letters, digits and single . _ - between them",
        )
    return f"{artifact.name}.wasm" if artifact.target.is_wasm else artifact.name


def _platform(artifact: "Artifact") -> Platform:
    data = artifact.data
    if artifact.target.is_wasm:
        if not data.startswith(_MAGIC):
            raise GuestError(f'packing "{artifact.name}": its bytes are not a Wasm binary')
        return WASI
    order = "big" if data[5:6] == b"\2" else "little"
    machine = _MACHINES.get(int.from_bytes(data[18:20], order)) if data.startswith(_ELF) else None  # type: ignore[arg-type]  # one of the two literals
    if machine is None:
        raise GuestError(f'packing "{artifact.name}": its bytes are not a Linux program of a known machine')
    return Platform("linux", machine)


def _time(created: int | None) -> str:
    from datetime import UTC, datetime

    if created is not None and not 0 <= created <= _LAST_YEAR:
        raise UsageError(f'packing: "{created}" is not a time in seconds since 1970', "see SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(created or 0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _variable(name: str, value: str) -> str:
    if not name or "=" in name:
        raise UsageError(f'packing: "{shown(name)}" cannot name an environment variable')
    return f"{name}={value}"


def _described(artifact: "Artifact", time: str) -> dict[str, str]:
    known = {
        "title": artifact.name,
        "version": artifact.version,
        "description": artifact.description,
        "licenses": artifact.license,
        "created": time,
    }
    return {_OCI + key: value for key, value in known.items() if value}
