"""The contract between whoever wants an image run and whatever can run it."""

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from wasmdock.errors import UsageError

if TYPE_CHECKING:
    from wasmdock.oci.image import Image

MIB = 1 << 20
CAPABILITIES_LABEL = "dev.wasmdock.capabilities"  # of an image: all that its author says it may ask for
DEFAULT_STACK = 512 << 10  # wasmtime's own
STACKS = (64 << 10, 1 << 30)  # bytes, the smallest and the largest: wasmtime aborts the process without any
LONGEST = 1e8  # seconds of a time limit, some three years
_MOST = 1 << 62


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Outcome(Enum):
    """How a run ended, with the word used in JSON."""

    EXITED = "exited"
    TRAPPED = "trapped"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"


TRAP_CODE = 134
OUT_OF_MEMORY_CODE = 137
TIMED_OUT_CODE = 124
PIPE_CLOSED_CODE = 141  # as of SIGPIPE: nobody reads what it prints


class Limits(NamedTuple):
    """What a guest may use at most; None lifts a limit.

    memory is bytes of linear memory over all memories (a GC heap may be as large again), output is bytes,
    tables is elements over all tables, timeout is seconds of wall time,
    fuel is Wasm instructions as wasmtime counts them; stack is bytes of Wasm's call stack, which always has an end.
    output is what a captured stream keeps at most, printed what a shared one passes on at most: both end the guest.
    """

    memory: int | None = 512 * MIB
    tables: int | None = 1_000_000
    timeout: float | None = None
    fuel: int | None = None
    output: int | None = 64 * MIB
    stack: int = DEFAULT_STACK
    printed: int | None = None


def check_limits(limits: Limits) -> None:
    """Raise UsageError for a limit that is none: no whole number, negative, or a stack wasmtime cannot give."""
    _check_limits(*limits)


@lru_cache(maxsize=64, typed=True)  # 64.0 and True are equal to whole numbers, and are none
def _check_limits(*values: Any) -> None:
    limits = Limits(*values)
    for name, least in (("memory", 0), ("tables", 0), ("fuel", 1), ("output", 0), ("printed", 0)):
        value = getattr(limits, name)
        if value is not None and not (type(value) is int and least <= value < _MOST):
            raise UsageError(f"limiting {name} to {value!r}: no whole number from {least} on", "None lifts a limit")
    smallest, largest = STACKS
    if type(limits.stack) is not int or not smallest <= limits.stack <= largest:
        raise UsageError(f"limiting the stack to {limits.stack!r}: not from {smallest} to {largest} bytes")
    seconds = limits.timeout
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds <= LONGEST):
        raise UsageError(f"limiting the time to {seconds!r}: no positive number of seconds", "None lifts a limit")


class Mount(NamedTuple):
    """One directory of the host (`host`, absolute) seen by the guest at `guest` (absolute, POSIX)."""

    host: Path
    guest: str
    read_only: bool = False


class Stdio(Enum):
    """Where a guest's streams lead: CAPTURE keeps them in the result, INHERIT shares this process's."""

    CAPTURE = "capture"
    INHERIT = "inherit"


class RunRequest(NamedTuple):
    """What is granted to one run. Nothing is inherited: no environment, no directory, no network.

    args come after the entrypoint's name; env adds to the image's own; stdin is given whole, or None
    for the empty stream (with stdio INHERIT: None is empty too unless `interactive`). network is a network's
    name as docker run takes it, empty for the road's own: none in-process, Docker's default in Docker.
    read_only: nothing the guest sees can be written to.
    """

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = _NOTHING
    mounts: tuple[Mount, ...] = ()
    stdin: bytes | None = None
    interactive: bool = False
    stdio: Stdio = Stdio.CAPTURE
    network: str = ""
    read_only: bool = False
    limits: Limits = Limits()


class RunResult(NamedTuple):
    """How one run ended.

    exit_code is the guest's own (0-255) or 134 trap, 137 out of memory, 124 timed out; stdout and stderr
    are empty unless captured; message explains any outcome but EXITED, with the Wasm backtrace; phases are
    seconds by name, in-process `instantiate` and `run`; peak_memory is bytes of linear memory, None when it cannot be
    seen.
    """

    outcome: Outcome
    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    message: str = ""
    phases: Mapping[str, float] = _NOTHING
    peak_memory: int | None = None


class Runtime(Protocol):
    """Something that can run an image from a fresh start."""

    @property
    def name(self) -> str:
        """A short word for tables and reasons: `process`, `docker`."""

    def prepare(self, image: "Image") -> None:
        """Load or compile, outside the timed part. Raises GuestError, ImageError, UnavailableError."""

    def run(self, image: "Image", request: RunRequest) -> RunResult:
        """Run the image once from a fresh start. Raises what `prepare` raises."""
