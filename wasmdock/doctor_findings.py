"""Facts of a machine -> findings, each with its cure: a pure table."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wasmdock.docker_host import NO_DOCKER_HINT
from wasmdock.docker_plugins import plugin_cure
from wasmdock.doctor_facts import Disk, Facts, ShimKind, Tool, may_hang, takes_shims
from wasmdock.launch import WASM_RUNTIME
from wasmdock.shim import FROM_CLONE, PREFIX

LOW_DISK = 2 << 30  # bytes; the builder image and one build fit into this
LEAST_WASMTIME = (50, 0, 1)  # of the Python package: older wheels miss security fixes
# The last patch of each wasmtime line that still gets them, and the first line's number that is not out yet here.
PATCHES = {24: (24, 0, 13), 36: (36, 0, 20), 48: (48, 0, 8), 49: (49, 0, 5), 50: (50, 0, 1)}
_NEWEST_LINE = max(PATCHES)
_INSTALL = "wasmdock engine install"
_STORE_CURE = 'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and restart Docker'
_DESKTOP_STORE_CURE = "Docker Desktop: Settings, General, Use containerd for pulling and storing images"
_UP = "wasmdock engine up"


class Severity(StrEnum):
    """How much a finding matters. Only a PROBLEM stands between the user and a road."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's page: what was looked at, what it is, and the command that cures it.

    fix is the same cure as an argv, where it is safe to run without being asked again; else empty.
    """

    subject: str
    severity: Severity
    text: str
    cure: str = ""
    fix: tuple[str, ...] = ()


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Judge the facts: the two roads first, then what they stand on, then what builds need."""
    rows = (_process, _docker_road, _engine, _store, _hidden, _shim, _shim_patches, _runtimes)
    rest = (_client, _buildx, _compose, _cargo, _cache, _home, _engine_disk, _ca_bundle, _proxies)
    return tuple(finding for row in (*rows, *rest) for finding in row(facts))


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject, Severity.OK, text)


def _process(facts: Facts) -> Iterator[Finding]:
    subject, upgrade = "in-process", "pip install --upgrade 'wasmtime>=50.0.1,<51'"
    fix = ("{python}", "-m", "pip", "install", "--upgrade", "wasmtime>=50.0.1,<51")
    if not facts.wasmtime.version:
        text = f"importing wasmtime: {facts.wasmtime.trouble or 'it is not installed'}"
        yield Finding(subject, Severity.PROBLEM, text, upgrade, fix)
    elif version_of(facts.wasmtime.version) < LEAST_WASMTIME:
        text = f"the wasmtime package is {facts.wasmtime.version}, which misses security fixes"
        yield Finding(subject, Severity.WARNING, text, upgrade, fix)
    elif not facts.process.works:
        text = f"running a tiny module in this process: {facts.process.cause or 'not tried'}"
        yield Finding(subject, Severity.PROBLEM, text, facts.process.hint or upgrade)
    else:
        took = f"{facts.process.seconds * 1000:.0f} ms"
        yield _ok(subject, f"wasmtime {facts.wasmtime.version} compiled and ran a tiny module in {took}")


def _docker_road(facts: Facts) -> Iterator[Finding]:
    subject, trial = "docker road", facts.docker
    if trial.works:
        yield _ok(subject, f"a Wasm container ran in {trial.seconds * 1000:.0f} ms with {WASM_RUNTIME}")
    elif trial.works is False:
        yield Finding(subject, Severity.PROBLEM, trial.cause, trial.hint or "journalctl -u containerd -u docker")
    else:
        yield Finding(subject, Severity.NOTE, f"not tried: {trial.cause}", trial.hint)


def _engine(facts: Facts) -> Iterator[Finding]:
    subject, engine = "engine", facts.engine
    if engine is None:
        trouble = facts.engine_trouble
        yield Finding(
            subject, Severity.PROBLEM, trouble.trouble or "no engine was found", trouble.hint or NO_DOCKER_HINT
        )
        return
    where = f"Docker {engine.version} (API {engine.api_version}, containerd {engine.containerd or 'unknown'})"
    if not engine.version and not engine.os:
        text = f"what answers at {facts.address} does not say that it is a Docker engine"
        yield Finding(subject, Severity.PROBLEM, text, NO_DOCKER_HINT)
    elif engine.os not in ("", "linux"):
        cure = "docker desktop: switch to Linux containers"
        yield Finding(subject, Severity.PROBLEM, f"{where} runs {engine.os} containers, Wasm needs Linux ones", cure)
    elif not takes_shims(engine):
        text = f"{where} does not take containerd shims by name; 24 and later do"
        yield Finding(subject, Severity.PROBLEM, text, f"update Docker, or {_up(facts)} gives you a current engine")
    else:
        runc = f"runc {engine.runc[:12] or 'unknown'}"
        told = ", ".join(filter(None, (runc, engine.cgroup, "rootless" if engine.rootless else "")))
        yield _ok(subject, f"{where} at {facts.address}; {told}")


def _store(facts: Facts) -> Iterator[Finding]:
    engine = facts.engine
    if engine is None:
        return
    if engine.containerd_store:
        yield _ok("image store", f"containerd's ({engine.storage_driver}), {engine.images} images")
        return
    cure = _DESKTOP_STORE_CURE if is_desktop(facts) else _STORE_CURE
    text = f"Docker's own store ({engine.storage_driver}) cannot hold images for Wasm"
    yield Finding("image store", Severity.PROBLEM, text, f"{cure} (images must be pulled or loaded again)")


def _hidden(facts: Facts) -> Iterator[Finding]:
    if facts.hidden_images:
        text = f"{facts.hidden_images} images lie in the engine's other image store and are not shown"
        yield Finding("hidden images", Severity.NOTE, text, "docker save them before switching, docker load after")


def _shim(facts: Facts) -> Iterator[Finding]:
    if facts.engine is None:
        return
    shim, version = facts.shim, facts.engine.version
    if shim.kind is ShimKind.OURS:
        yield _ok("Wasm runtime", f"{shim.path}, ours, wasmtime {shim.wasmtime or 'unknown'}")
    elif shim.kind is ShimKind.ABSENT:
        text = "the engine finds no containerd-shim-wasmtime-v1 on its PATH"
        yield Finding("Wasm runtime", Severity.PROBLEM, text, _install_cure(facts), _install_fix(facts))
    elif shim.kind is ShimKind.FOREIGN:
        hangs = may_hang(facts.engine)
        cause = f"it hangs Docker {version}" if hangs else "it compiles at every start and ends silently with 137"
        severity = Severity.PROBLEM if hangs else Severity.WARNING
        text = f"{shim.path} is not ours (wasmtime {shim.wasmtime or 'unknown'}): {cause}"
        yield Finding("Wasm runtime", severity, text, _install_cure(facts), _install_fix(facts))
    else:
        text = "this machine cannot see which Wasm runtime the engine has"
        hint = f"{_up(facts)} gives you an engine that has ours; or try yours: wasmdock run --on docker hello-world"
        yield Finding("Wasm runtime", Severity.NOTE, text, hint)


def _shim_patches(facts: Facts) -> Iterator[Finding]:
    """Judge the shim's wasmtime by the last patches known here; a line we do not know is not judged."""
    if facts.engine is None or not facts.shim.wasmtime:
        return
    version = version_of(facts.shim.wasmtime)
    last = PATCHES.get(version[0])
    if last is None and version[0] < _NEWEST_LINE:
        text = f"wasmtime {facts.shim.wasmtime} is of a line that gets no security fixes any more"
    elif last is not None and version < last:
        text = f"wasmtime {facts.shim.wasmtime} misses fixes: {'.'.join(map(str, last))} is the last of its line"
    else:
        return
    yield Finding("Wasm runtime's patches", Severity.WARNING, text, _install_cure(facts), _install_fix(facts))


def _runtimes(facts: Facts) -> Iterator[Finding]:
    if facts.engine is None:
        return
    others = [name for name in facts.engine.runtimes if name not in ("runc", "io.containerd.runc.v2")]
    crun = f"; crun {facts.crun.version}" if facts.crun.version else ""
    yield _ok("other runtimes", f"default {facts.engine.default_runtime}, also {', '.join(others) or 'none'}{crun}")


def _client(facts: Facts) -> Iterator[Finding]:
    if facts.client.version:
        yield _ok("docker client", facts.client.version)
    elif facts.client.fails:
        severity = Severity.NOTE if facts.engine is None else Severity.PROBLEM
        cure = "`type docker` says which one that is; mend it, or put another before it on PATH"
        yield Finding("docker client", severity, facts.client.trouble, cure)
    elif facts.engine is not None:
        cure = "apt-get install docker-cli (Debian), or https://docs.docker.com/engine/install"
        yield Finding("docker client", Severity.PROBLEM, "there is no docker on PATH; the engine answers", cure)
    else:
        cure = f"install Docker, then {_up(facts)}"
        yield Finding("docker client", Severity.NOTE, "there is no docker on PATH", cure)


def _buildx(facts: Facts) -> Iterator[Finding]:
    if facts.buildx.version:
        yield _ok("buildx", facts.buildx.version)
    elif facts.client.version:
        cause, cure = _plugin(facts.buildx, "no buildx"), facts.buildx.hint or plugin_cure("buildx", facts.address)
        yield Finding("buildx", Severity.WARNING, f"the guests' Dockerfiles cannot be built: {cause}", cure)


def _compose(facts: Facts) -> Iterator[Finding]:
    if facts.compose.version:
        yield _ok("compose", facts.compose.version)
    elif facts.client.version:
        cause, cure = _plugin(facts.compose, "docker has no compose"), plugin_cure("compose", facts.address)
        yield Finding("compose", Severity.NOTE, cause, facts.compose.hint or cure)


def _plugin(found: Tool, absent: str) -> str:
    """What is the matter with a plugin of docker's: one that hangs is there."""
    return found.trouble if found.hint else absent


def _cargo(facts: Facts) -> Iterator[Finding]:
    cargo = facts.cargo
    if cargo.version and "wasm32-wasip1" in cargo.targets:
        yield _ok("cargo", f"{cargo.version}, targets {', '.join(cargo.targets)}")
        return
    text = f"building on this machine: {cargo.trouble or 'rustc has no target wasm32-wasip1'}"
    by_engine = facts.engine is not None and bool(facts.client.version)
    if by_engine:
        text += "; builds take the builder image instead"
    command = cargo.cure.command  # a choice, or more than one step, is for a person
    fix = tuple(shlex.split(command)) if command.startswith("rustup target add ") else ()
    cure = command or cargo.cure.told or "install Rust: https://rustup.rs, then rustup target add wasm32-wasip1"
    yield Finding("cargo", Severity.NOTE if by_engine else Severity.WARNING, text, cure, fix)


def _cache(facts: Facts) -> Iterator[Finding]:
    yield from _room("wasmdock's cache", facts.cache, "rm -r the folder's `target` and `code`, or set WASMDOCK_CACHE")


def _home(facts: Facts) -> Iterator[Finding]:
    if facts.home.path or facts.home.trouble:
        yield from _room("wasmdock's images", facts.home, "wasmdock rmi what you do not need, or set WASMDOCK_HOME")


def _engine_disk(facts: Facts) -> Iterator[Finding]:
    if facts.engine is not None and facts.engine_disk.path:
        yield from _room("engine's disk", facts.engine_disk, "docker system prune")


def _room(subject: str, disk: Disk, cure: str) -> Iterator[Finding]:
    if disk.trouble and not disk.path:  # not even `run` has a folder then
        yield Finding(subject, Severity.PROBLEM, disk.trouble, disk.hint or cure)
    elif disk.trouble:
        yield Finding(subject, Severity.WARNING, f'"{disk.path}": {disk.trouble}', disk.hint or cure)
    elif disk.free is not None and disk.free < LOW_DISK:
        text = f'"{disk.path}": {disk.free / (1 << 20):.0f} MiB are free, a build may need {LOW_DISK >> 30} GiB'
        yield Finding(subject, Severity.WARNING, text, cure)
    elif disk.free is not None:
        yield _ok(subject, f"{disk.path}, {disk.free / (1 << 30):.1f} GiB free")


def _ca_bundle(facts: Facts) -> Iterator[Finding]:
    bundle = facts.ca_bundle
    if bundle.trouble:
        cure = bundle.hint or "correct or unset the variable that names it"
        yield Finding("CA bundle", Severity.WARNING, f'"{bundle.path}": {bundle.trouble}', cure)
    elif bundle.path:
        yield _ok("CA bundle", bundle.path)
    else:
        yield Finding("CA bundle", Severity.NOTE, "none was found", "apt-get install ca-certificates")


def _proxies(facts: Facts) -> Iterator[Finding]:
    if facts.proxies:
        text = ", ".join(f"{name}={value}" for name, value in facts.proxies)
        yield _ok("proxy", f"{text} (passed on to builds)")


def _install_cure(facts: Facts) -> str:
    if is_desktop(facts) or not facts.prefix:
        return f"{_up(facts)} gives you an engine that has ours"
    prefix = "" if facts.prefix == str(PREFIX) else f" --prefix {shlex.quote(facts.prefix)}"
    sudo = "" if facts.is_root else "sudo "
    command = f"{sudo}{_INSTALL}{prefix}"
    return command if facts.has_runtime else f"in a clone of wasmdock, with cargo: {command} {FROM_CLONE}"


def _up(facts: Facts) -> str:
    return f"`{_UP}`" if facts.has_runtime else f"`{_UP} {FROM_CLONE}` (in a clone of wasmdock, with cargo)"


def _install_fix(facts: Facts) -> tuple[str, ...]:
    """Files are added below the prefix and nothing is restarted, which is safe; but only root may."""
    if not facts.is_root or not facts.prefix or is_desktop(facts) or not facts.has_runtime:
        return ()
    return ("{python}", "-m", "wasmdock", "engine", "install", "--prefix", facts.prefix)


def is_desktop(facts: Facts) -> bool:
    """Whether the engine is Docker Desktop's, whose files nobody reaches."""
    return facts.engine is not None and "Docker Desktop" in facts.engine.system


def version_of(text: str) -> tuple[int, ...]:
    """`48.0.8` -> (48, 0, 8)."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3]) or (0,)
