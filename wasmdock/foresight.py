"""What cannot work, told before anything is started: an image and an engine's facts -> the obstacle and its cure."""

from collections.abc import Callable
from dataclasses import dataclass

from wasmdock.docker_facts import EngineFacts
from wasmdock.doctor_facts import ShimKind, may_hang
from wasmdock.errors import ImageError, UnavailableError, UsageError, WasmdockError
from wasmdock.launch import WASM_RUNTIME, Nature
from wasmdock.oci.image import Image
from wasmdock.pack import entry, extract

_MAGIC = b"\0asm"
# Where this engine looks for it, and whether that takes root, is the doctor's to find out.
_INSTALL = "`wasmdock engine install`, as `wasmdock doctor` spells it for this engine,"
_STORE_CURE = (
    'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and restart Docker '
    "(Docker Desktop: Settings, General, Use containerd), or leave --on docker out"
)
# What Docker calls an architecture in an image, by what the kernel of an engine calls it.
_KERNELS = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i386": "386", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Start:
    """One container about to be started. proven: this engine has run a Wasm container before.

    in_file: a Compose file says what it gets, not flags.
    """

    image: Image
    nature: Nature
    engine: EngineFacts
    shim: ShimKind = ShimKind.UNKNOWN
    proven: bool = False
    tty: bool = False
    interactive: bool = False
    at_terminal: bool = True
    published: bool = False
    in_file: bool = False


def find_obstacle(start: Start) -> WasmdockError | None:
    """The first thing that keeps this container from starting, with its cure; None where nothing is known to."""
    return next(filter(None, (look(start) for look in _OBSTACLES)), None)


def remarks(start: Start) -> tuple[str, ...]:
    """What will start but probably not do what was wanted."""
    return tuple(filter(None, (look(start) for look in _REMARKS)))


def is_mislabelled(image: Image) -> bool:
    """Whether an image says that it is for Linux, but starts a Wasm binary: built without --platform wasi/wasm."""
    if image.platform.is_wasm or not entry(image).path.endswith((".wasm", ".wat")):
        return False
    try:
        return extract(image).startswith(_MAGIC)
    except WasmdockError:
        return False


def _mislabelled(start: Start) -> WasmdockError | None:
    if start.image.platform.is_wasm or start.nature is Nature.NATIVE:
        return None
    return ImageError(
        f'running a Wasm binary as "{start.image.platform}": that is the platform its image was built for',
        "build it with `docker buildx build --platform wasi/wasm`, or run it with --on process",
    )


def _other_machine(start: Start) -> WasmdockError | None:
    wanted = start.image.platform.architecture
    machine = _KERNELS.get(start.engine.architecture, start.engine.architecture)
    if start.nature is not Nature.NATIVE or not machine or wanted == machine or (wanted, machine) == ("386", "amd64"):
        return None
    return ImageError(
        f'running a program for "{start.image.platform}": the engine\'s machine is {start.engine.os}/{machine}',
        f"build it with `docker buildx build --platform linux/{machine}`",
    )


def _wrong_containers(start: Start) -> WasmdockError | None:
    if start.engine.os in ("", "linux"):
        return None
    return UnavailableError(
        f"running a container: the engine runs {start.engine.os} containers, this needs Linux ones",
        "Docker Desktop: Switch to Linux containers",
    )


def _wrong_store(start: Start) -> WasmdockError | None:
    if start.nature is Nature.NATIVE or start.engine.containerd_store:
        return None
    return UnavailableError(
        f"running a Wasm container: the engine's image store ({start.engine.storage_driver}) cannot hold its image",
        _STORE_CURE,
    )


def _no_shim(start: Start) -> WasmdockError | None:
    if start.nature is Nature.NATIVE or start.proven or start.shim is not ShimKind.ABSENT:
        return None
    return UnavailableError(
        f"running a Wasm container: the engine has no {WASM_RUNTIME} (no containerd-shim-wasmtime-v1 on its PATH)",
        f"{_INSTALL} puts it there",
    )


def _hanging_shim(start: Start) -> WasmdockError | None:
    hangs = start.shim is ShimKind.FOREIGN and may_hang(start.engine)
    if start.nature is Nature.NATIVE or not hangs:
        return None
    return UnavailableError(
        f"running a Wasm container: this engine's Wasm runtime is not ours, and hangs Docker {start.engine.version}",
        f"{_INSTALL} puts ours in its place",
    )


def _no_terminal(start: Start) -> WasmdockError | None:
    if not start.tty or not start.interactive or start.at_terminal:
        return None
    return UsageError("giving the guest a terminal (-t): our standard input is none", "leave -t out")


def _terminal_refused(start: Start) -> WasmdockError | None:
    if start.nature is Nature.NATIVE or not start.tty or start.shim is not ShimKind.FOREIGN:
        return None
    flag = "tty" if start.in_file else "-t"
    return UsageError(
        f"giving a Wasm guest a terminal ({flag}): this engine's Wasm runtime has none",
        f"leave {flag} out; {_INSTALL} puts ours in its place, which has",
    )


def _unpublished(start: Start) -> str:
    if start.nature is not Nature.HTTP or start.published:
        return ""
    add = 'ports: ["8080:8080"]' if start.in_file else "-p 8080:8080"
    return f"it answers HTTP on its port 8080, and no port is published: add {add} to reach it from here"


def _odd_platform(start: Start) -> str:
    platform = start.image.platform
    if start.nature is Nature.NATIVE or not platform.is_wasm or str(platform) == "wasi/wasm":
        return ""
    return f"the image's platform is spelt {platform}; plain docker run finds it with --platform={platform} only"


_OBSTACLES: tuple[Callable[[Start], WasmdockError | None], ...] = (
    _mislabelled,
    _wrong_containers,
    _other_machine,
    _wrong_store,
    _no_shim,
    _hanging_shim,
    _no_terminal,
    _terminal_refused,
)
_REMARKS: tuple[Callable[[Start], str], ...] = (_unpublished, _odd_platform)
