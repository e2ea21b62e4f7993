"""Cold starts without a container: the image is read from an archive within the timed part, as an engine loads it."""

import time
from collections.abc import Callable
from pathlib import Path

from wasmdock.bench import Clock
from wasmdock.oci.archive import read_archive, write_archive
from wasmdock.oci.image import Image
from wasmdock.runtime import RunRequest, RunResult, Runtime

Read = Callable[[], Image]


def kept_in(folder: Path, image: Image) -> Read:
    """Keep an image in an archive; give what reads and verifies it, anew each time."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{image.digest.hex[:16]}.tar"
    write_archive(image, path)
    return lambda: read_archive(path, [image.platform])[0][1]


def cold_run(
    read: Read, make: Callable[[], Runtime], request: RunRequest, clock: Clock = time.perf_counter
) -> Callable[[], RunResult]:
    """What reads an image, prepares it in a new runtime and runs it; the phase `total` is the seconds of it all."""

    def run() -> RunResult:
        began = clock()
        image = read()
        loaded = clock()
        runtime = make()
        runtime.prepare(image)
        prepared = clock()
        result = runtime.run(image, request)
        phases = {"load": loaded - began, "compile": prepared - loaded, **result.phases, "total": clock() - began}
        return result._replace(phases=phases)

    return run
