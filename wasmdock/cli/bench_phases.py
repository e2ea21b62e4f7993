"""The phases of a container as a comparison names them: from the engine's events and our Wasm runtime's own marks."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wasmdock.docker_run import DockerRuntime
from wasmdock.oci.image import Image
from wasmdock.process import Completed, run_command
from wasmdock.runtime import RunRequest, RunResult

MARKS = b"wasmdock-marks: "  # shim/src/host/marks.rs
ASK = "--env=WASMDOCK_MARKS=1"
_EVENTS = {"start": "container start", "run": "guest", "teardown": "container end"}
_INSIDE = ("map", "instantiate", "run")  # of the marks: what lies between a container's start and its end


def split_marks(stderr: bytes) -> tuple[bytes, dict[str, float]]:
    """A Wasm container's stderr without the line of marks, and the seconds in it; none where it has no such line."""
    start = 0 if stderr.startswith(MARKS) else stderr.find(b"\n" + MARKS) + 1
    if not stderr.startswith(MARKS, start):
        return stderr, {}
    line, _, rest = stderr[start:].partition(b"\n")
    try:
        found = {str(name): float(value) for name, value in json.loads(line.removeprefix(MARKS)).items()}
    except (ValueError, AttributeError, TypeError):
        return stderr, {}
    return stderr[:start] + rest, found


class Listener:
    """A Runner that notes the seconds to a program's first output and what its stderr says of its steps."""

    def __init__(self) -> None:
        """Nothing has been heard."""
        self.seconds: float | None = None
        self.marks: Mapping[str, float] = {}

    def __call__(self, argv: Any, *, on_output: Callable[[bytes], None] | None = None, **more: Any) -> Completed:
        """Run the program; see `run_command`. Of `docker run` the marks are not part of its stderr."""
        if list(argv)[1:2] != ["run"]:
            return run_command(argv, on_output=on_output, **more)
        self.seconds, self.marks = None, {}
        began = time.monotonic()

        def seen(chunk: bytes) -> None:
            if self.seconds is None and not chunk.startswith(MARKS):
                self.seconds = time.monotonic() - began
            if on_output:
                on_output(chunk)

        done = run_command(argv, on_output=seen, **more)
        stderr, self.marks = split_marks(done.stderr)
        return replace(done, stderr=stderr) if self.marks else done


class PhasedDocker:
    """DockerRuntime with the phases by the words of a comparison, and what cannot be seen as None.

    create: the client's and the engine's work besides the rest; compile: until the Wasm runtime has the compiled
    code, made or kept; start: until the program runs; map, instantiate, run: the Wasm runtime's own steps; teardown:
    until the engine has noticed the end and the container is gone. Nobody tells how long a native program ran: its run
    is unknown, and part of its teardown. first byte counts from the beginning.
    """

    def __init__(self, runtime: DockerRuntime, listener: Listener) -> None:
        """Wrap a timed DockerRuntime whose Docker runs programs by `listener`."""
        self._runtime, self._listener = runtime, listener
        self.name = "docker"

    def prepare(self, image: Image) -> None:
        """Load the image."""
        self._runtime.prepare(image)

    def run(self, image: Image, request: RunRequest) -> RunResult:
        """Run it; the phase `total` is seconds from the docker client's start to its end."""
        result = self._runtime.run(image, request)
        marks, first = self._listener.marks, self._listener.seconds
        return result._replace(phases=phases_of(result.phases, first, marks, is_wasm=image.platform.is_wasm))


def phases_of(
    seen: Mapping[str, float], first: float | None, marks: Mapping[str, float], *, is_wasm: bool
) -> dict[str, Any]:
    """The phases of one `docker run` from the events' spans, seconds to the first byte, and marks. They add up."""
    total = seen["run"]
    spans = {name: seen.get(key) for name, key in _EVENTS.items()}
    known = [value for value in spans.values() if value is not None]
    create = max(0.0, total - sum(known)) if len(known) == len(_EVENTS) else None
    steps = _told_apart({"create": create, **spans}, marks, is_wasm=is_wasm)
    return {**steps, "first byte": first, "total": total}


def _told_apart(steps: Mapping[str, float | None], marks: Mapping[str, float], *, is_wasm: bool) -> dict[str, Any]:
    """Split the events' spans by the marks: what the program's span has beyond them is the engine noticing the end."""
    start, span, gone = (steps[name] for name in ("start", "run", "teardown"))
    told = {name: marks.get(name) for name in (("compile", *_INSIDE) if is_wasm else ("run",))}
    if start is None or span is None or gone is None:
        return {**steps, **told}
    inside = sum(marks.get(name, 0.0) for name in _INSIDE)
    start, rest = max(0.0, start - marks.get("compile", 0.0)), max(0.0, span - inside)
    return {**steps, **told, "start": start, "teardown": gone + rest}
