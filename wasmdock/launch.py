"""Machine facts and an image's nature -> which road to take, with reasons: a table, no probing."""

from enum import Enum
from typing import NamedTuple

from wasmdock.errors import UnavailableError, UsageError

WASM_RUNTIME = "io.containerd.wasmtime.v1"
WASM_PLATFORM = "wasi/wasm"
_WASM_RUNTIMES = ("lunatic", "slight", "spin", "wamr", "wws")  # besides those that have Wasm in their name


class Road(Enum):
    """Where an image runs."""

    PROCESS = "process"
    DOCKER = "docker"


class Nature(Enum):
    """What an image is, as far as running it goes."""

    CORE_COMMAND = "a WASI preview 1 command"
    COMPONENT_COMMAND = "a WASI 0.2 command component"
    HTTP = "a wasi:http component"
    LIBRARY = "a Wasm library"
    NATIVE = "a native Linux program"


class Machine(NamedTuple):
    """What is known of this machine: whether an engine answers, and whether its Wasm runtime is proven.

    engine names it for people ("Docker 26.1.5"); trouble says why none answers, cure what to do about it. Proven means
    that this engine has run a Wasm container before: nothing is tried on an engine just to find out.
    """

    engine: str = ""
    trouble: str = ""
    cure: str = ""
    wasm_proven: bool = False
    serves_http: bool = False  # wasmdock-host is here


class Launch(NamedTuple):
    """The decision: a road, the flags Docker needs for it (empty: none), and why."""

    road: Road
    why: str
    runtime: str = ""
    platform: str = ""


def runs_wasm(runtime: str) -> bool:
    """Whether a container runtime runs Wasm, by its name in the engine (io.containerd.NAME.v1) or its shim's file."""
    words = runtime.rpartition("/")[2].lower().replace("-", ".").split(".")
    return any("wasm" in word or word in _WASM_RUNTIMES for word in words)


def plan_launch(nature: Nature, machine: Machine, wanted: Road | None = None) -> Launch:
    """Decide. `wanted` is what the user insists on, None where we choose.

    Raises UsageError for what no road can do and UnavailableError where the only road is not there.
    """
    if nature is Nature.LIBRARY:
        raise UsageError("running a library: it has no command", "call one of its exports: wasmdock invoke")
    if wanted is Road.PROCESS:
        return _in_process(nature, "you asked for it")
    if wanted is Road.DOCKER:
        return _in_docker(nature, machine, "you asked for it")
    if nature is Nature.NATIVE:
        return _in_docker(nature, machine, "a native program needs a container")
    if nature is Nature.HTTP and not machine.serves_http:
        return _in_docker(nature, machine, "wasi:http is served by the engine's Wasm runtime")
    if not machine.engine:
        return _in_process(nature, machine.trouble or "no Docker engine answers")
    if not machine.wasm_proven:
        return _in_process(
            nature, f"{machine.engine} has not been seen to run Wasm with this runtime (--on docker tries it)"
        )
    return _in_docker(nature, machine, f"{machine.engine} runs Wasm containers")


def _in_process(nature: Nature, why: str) -> Launch:
    if nature is Nature.NATIVE:
        raise UsageError(
            "running a native program in-process: only Wasm runs here",
            "leave --on process out, to use Docker",
        )
    if nature is Nature.HTTP:
        return Launch(Road.PROCESS, f"by wasmdock-host without a container, for {nature.value}: {why}")
    return Launch(Road.PROCESS, f"in-process, for {nature.value}: {why}")


def _in_docker(nature: Nature, machine: Machine, why: str) -> Launch:
    if not machine.engine:
        raise UnavailableError(
            f"running {nature.value} in Docker: {machine.trouble or 'no engine answers'}",
            (machine.cure or "start Docker, or set DOCKER_HOST; on a Debian host with root: scripts/engine start")
            + ("; or serve it without: scripts/shim, in a clone with cargo" if nature is Nature.HTTP else ""),
        )
    if nature is Nature.NATIVE:
        return Launch(Road.DOCKER, f"in Docker, for {nature.value}: {why}")
    return Launch(Road.DOCKER, f"in Docker, for {nature.value}: {why}", WASM_RUNTIME, WASM_PLATFORM)
