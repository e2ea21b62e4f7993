"""The cases of one benchmark on their way: found, left out, cleaned up after."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wasmdock.bench import Case
from wasmdock.bench_http import Service
from wasmdock.bench_load import Crowd
from wasmdock.errors import ImageError, UnavailableError, UsageError, WasmdockError
from wasmdock.oci.compression import GZIP, ZSTD, gzip_bytes
from wasmdock.oci.image import Image
from wasmdock.pack import extract
from wasmdock.results import LeftOut
from wasmdock.runtime import Mount, RunRequest
from wasmdock.wasm import parse

NOT_COUNTED = "services without a container are not counted"


@dataclass(slots=True)
class Cases:
    """The cases found, and what was left out; `close` removes what was made for them.

    services answer HTTP, loads are the others whose throughput is of interest, and crowds make what is started until
    memory is used up; crowdless are the names of the cases without, and why.
    """

    found: list[Case] = field(default_factory=list)
    loads: list[Case] = field(default_factory=list)
    services: list[tuple[Case, Service]] = field(default_factory=list)
    crowds: list[Callable[[], Crowd]] = field(default_factory=list)
    crowdless: dict[str, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    engine: dict[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="wasmdock-bench-")))
    cleanups: list[Callable[[], None]] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Take a case. Raises UsageError where another is called the same: their samples could not be told apart."""
        name, start = case.describe.key
        if any(each.describe.key == (name, start) for each in self.found):
            raise UsageError(
                f'adding case "{name} ({start})": there is one of that name', "give each case its own name"
            )
        self.found.append(case)

    def add_command(self, case: Case) -> None:
        """Take a program that ends by itself: as many as possible can be started, but none stays."""
        self.add(case)
        self.loads.append(case)
        self.crowdless[case.describe.name] = "it ends by itself, and what has ended uses no memory"

    def leave_out(self, what: str, error: WasmdockError) -> None:
        """Note what cannot be measured here, why, and what to do about it."""
        cure = f" (try: {error.hint.splitlines()[0]})" if error.hint else ""
        self.left_out.append(LeftOut(what, f"{error.message}{cure}"))

    def close(self) -> None:
        """Remove what was made for the benchmark."""
        for cleanup in self.cleanups:
            with suppress(WasmdockError):
                cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def check_service(request: RunRequest) -> None:
    """Raise UnavailableError for what no service is given: what was measured would be another thing than asked for."""
    if request.mounts or request.stdin is not None:
        flag = "--volume" if request.mounts else "--stdin"
        doing = f"measuring a service with {flag}"
        raise UnavailableError(f"{doing}: here it is given neither folders nor stdin", f"leave {flag} out")


def volume_words(mounts: Sequence[Mount]) -> list[str]:
    """The mounts as flags again."""
    texts = (f"{mount.host}:{mount.guest}{':ro' if mount.read_only else ''}" for mount in mounts)
    return [word for text in texts for word in ("--volume", text)]


def image_sizes(image: Image) -> dict[str, int]:
    """Bytes of an image: `packed` to send (layers compressed), `unpacked`, and of its program alone.

    An engine without containerd's store hands out layers uncompressed: these are compressed here to be counted.
    """
    layers = [layer.data for layer in image.layers]
    packed = sum(len(data if _is_compressed(data) else gzip_bytes(data)) for data in layers)
    sizes = {"packed": packed + len(image.config) + len(image.manifest)}
    if (unpacked := image.unpacked_size) is not None:
        sizes["unpacked"] = unpacked
    with suppress(ImageError):
        sizes["program"] = len(extract(image))
    return sizes


def image_parts(image: Image) -> dict[str, int]:
    """Bytes of every layer as it is stored, and of every section of a Wasm binary, largest first."""
    layers = {f"layer {place}": layer.descriptor.size for place, layer in enumerate(image.layers, 1)}
    if not image.platform.is_wasm:
        return layers
    sections: dict[str, int] = {}
    for each in parse(extract(image)).sections:
        if not each.inside:
            name = f"section {each.name} {each.custom}".rstrip()
            sections[name] = sections.get(name, 0) + each.size
    return {**layers, **dict(sorted(sections.items(), key=lambda entry: -entry[1]))}


def _is_compressed(data: bytes) -> bool:
    return data.startswith((GZIP, ZSTD))
