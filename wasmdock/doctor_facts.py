"""What the doctor knows of a machine: immutable values, gathered by doctor_probes and judged by doctor_findings."""

from dataclasses import dataclass, field
from enum import StrEnum

from wasmdock.cure import Cure
from wasmdock.digits import read_digits
from wasmdock.docker_facts import EngineFacts
from wasmdock.launch import Machine

# Engines by the API they speak: builds of the newest call themselves 2.0.0-beta.
HANGS_FROM = (1, 48)  # Docker 28: shims that answer with their own pid hang it (moby/moby#51673)
SHIMS_FROM = (1, 43)  # Docker 24: takes any containerd shim by name


@dataclass(frozen=True, slots=True)
class Tool:
    """A program or a package: its version, or why it cannot be used; hint is the command that cures that.

    fails: it is there, and was asked for its version in vain.
    """

    version: str = ""
    trouble: str = ""
    hint: str = ""
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A tiny module run on one road. works None: not tried, and cause says why not."""

    works: bool | None = None
    seconds: float = 0.0
    cause: str = ""
    hint: str = ""


class ShimKind(StrEnum):
    """Whose `containerd-shim-wasmtime-v1` the engine would start."""

    OURS = "ours"
    FOREIGN = "foreign"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Shim:
    """The shim on the engine's PATH; path is the engine's view of it, wasmtime the version built into it."""

    kind: ShimKind = ShimKind.UNKNOWN
    path: str = ""
    wasmtime: str = ""


@dataclass(frozen=True, slots=True)
class Cargo:
    """The host's Rust toolchain: the first line of its version, and the Wasm targets it has."""

    version: str = ""
    trouble: str = ""
    targets: tuple[str, ...] = ()
    cure: Cure = Cure()


@dataclass(frozen=True, slots=True)
class Disk:
    """Free bytes of the folder at `path`; trouble where it cannot be used, without a path where there is none."""

    path: str = ""
    free: int | None = None
    trouble: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A machine as the doctor found it. An empty text or None: not known.

    crun is where the engine finds it, and its version where the engine's files are this machine's own.
    prefix is where `wasmdock engine install` has to put the shim for this engine: empty where this machine
    cannot reach the engine's files; has_runtime: it finds or builds the shim by itself. hidden_images counts images in
    the engine's other store.
    """

    system: str = ""
    python: str = ""
    wasmtime: Tool = Tool()
    process: Trial = Trial()
    address: str = ""
    engine: EngineFacts | None = None
    engine_trouble: Tool = Tool()
    client: Tool = Tool()
    buildx: Tool = Tool()
    compose: Tool = Tool()
    crun: Tool = Tool()
    shim: Shim = Shim()
    prefix: str = ""
    has_runtime: bool = True
    docker: Trial = Trial()
    hidden_images: int | None = None
    cargo: Cargo = Cargo()
    cache: Disk = Disk()
    home: Disk = Disk()
    engine_disk: Disk = Disk()
    proxies: tuple[tuple[str, str], ...] = field(default=())
    ca_bundle: Disk = Disk()
    is_root: bool = False


def may_hang(engine: EngineFacts) -> bool:
    """Whether a Wasm runtime other than ours can hang this engine; one that does not tell its API may be any."""
    return not _api(engine) or _api(engine) >= HANGS_FROM


def takes_shims(engine: EngineFacts) -> bool:
    """Whether this engine takes containerd shims by name."""
    return not _api(engine) or _api(engine) >= SHIMS_FROM


def _api(engine: EngineFacts) -> tuple[int, ...]:
    parts = [read_digits(part) for part in engine.api_version.split(".")]
    return () if None in parts else tuple(part for part in parts if part is not None)


def reason_not_to_try(facts: Facts) -> Trial | None:
    """Why no Wasm container may be started on this engine just to find out; None where it is safe."""
    engine = facts.engine
    if engine is None:
        return Trial(cause="no engine answers")
    if not facts.client.version:
        return Trial(cause=facts.client.trouble if facts.client.fails else "there is no docker client")
    if engine.os and engine.os != "linux":
        return Trial(cause=f"the engine runs {engine.os} containers")
    if not engine.containerd_store:
        return Trial(cause="the engine's image store cannot hold Wasm images")
    if facts.shim.kind is ShimKind.ABSENT:
        return Trial(cause="the engine has no Wasm runtime")
    if facts.shim.kind is not ShimKind.OURS and may_hang(engine):
        whose = "a Wasm runtime that is not ours" if facts.shim.kind is ShimKind.FOREIGN else "an unknown Wasm runtime"
        return Trial(cause=f"{whose} may hang Docker {engine.version} for ever")
    return None


def machine_of(facts: Facts) -> Machine:
    """The few facts that `launch` decides by."""
    if facts.engine is None:
        return Machine(trouble=facts.engine_trouble.trouble, cure=facts.engine_trouble.hint)
    return Machine(f"Docker {facts.engine.version}", wasm_proven=facts.docker.works is True)


def works(facts: Facts) -> bool:
    """Whether the main job works: a Wasm guest runs on at least one road, and `run` knows a folder for its code."""
    return not is_homeless(facts) and (facts.process.works is True or facts.docker.works is True)


def is_homeless(facts: Facts) -> bool:
    """Whether no variable names the folder that every verb needs."""
    return bool(facts.cache.trouble) and not facts.cache.path
