"""A Compose file -> findings: each known trap with its line and its cure."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wasmdock.compose import Stack
from wasmdock.compose_service import HEALTHY, Service, is_true
from wasmdock.compose_yaml import Node
from wasmdock.digits import read_digits
from wasmdock.launch import WASM_PLATFORM, WASM_RUNTIME
from wasmdock.wasm_sniff import World

ERROR, WARNING = "error", "warning"
_MODES = ("host", "none", "bridge", "default")
_SMALLEST_MEMORY = 6 << 20  # bytes, the least Docker takes
_SIZES = ("mem_limit", "mem_reservation", "memswap_limit", "shm_size")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is or will go wrong at a line, and what to do; level is error or warning."""

    level: str
    file: str
    line: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What the rules look at: the project, the worlds of images that are here, and whether paths exist."""

    stack: Stack
    worlds: Mapping[str, World]
    exists: Callable[[Path], bool] = Path.exists


def find_traps(view: View) -> list[Finding]:
    """All findings, by file and line."""
    found = [Finding(ERROR, each.file, each.line, each.message, each.hint) for each in view.stack.problems]
    found += _unset(view.stack)
    version = view.stack.root.get("version")
    if version is not None:
        found.append(Finding(WARNING, version.file, version.line, '"version" means nothing any more', "remove it"))
    for service in view.stack.services:
        for rule in (*_FOR_ALL, *(_FOR_WASM if service.is_wasm else ())):
            found += rule(service, view)
    return sorted(set(found), key=lambda each: (each.file, each.line, each.message))


def _unset(stack: Stack) -> Iterator[Finding]:
    for name, where in stack.unset.items():
        file, _, line = where.rpartition(":")
        yield Finding(
            WARNING,
            file,
            int(line),
            f'the variable "{name}" is not set: taken as empty',
            f"write ${{{name}:-...}} or set it",
        )


def _at(service: Service, level: str, key: str, message: str, hint: str) -> Finding:
    node = service.node
    value = node.map.get(key)
    line = node.lines.get(key) or (value.line if value else node.line)
    return Finding(level, value.file if value else node.file, line, f'service "{service.name}": {message}', hint)


def _runtime(service: Service, _view: View) -> Iterator[Finding]:
    if not service.runtime:
        yield _at(service, ERROR, "platform", f'platform "{service.platform}" and no runtime: Docker starts Linux',
                  f"add runtime: {WASM_RUNTIME}")  # fmt: skip
    if not service.platform:
        yield _at(service, WARNING, "runtime", f'runtime "{service.runtime}" and no platform: Docker takes Linux',
                  f"add platform: {WASM_PLATFORM}")  # fmt: skip


def _health(service: Service, view: View) -> Iterator[Finding]:
    health = service.health
    if health is None:
        return
    file = service.node.file
    hint = 'let the guest itself answer: test: ["CMD", "/GUEST.wasm", ARGUMENTS]'
    if view.worlds.get(service.name) is World.HTTP:
        hint = "leave it out; in-process (--on process) wasmdock sends the request of a curl or wget itself"
    if health.test[0] == "CMD-SHELL":
        yield Finding(
            ERROR, file, health.line, f'service "{service.name}": its image holds no shell for a health check', hint
        )
    elif not health.test[1:] or ".wasm" not in health.test[1]:
        word = health.test[1] if health.test[1:] else ""
        yield Finding(
            ERROR, file, health.line, f'service "{service.name}": its image holds no "{word}" for a health check', hint
        )


def _tty(service: Service, _view: View) -> Iterator[Finding]:
    if is_true(service.node.get("tty")):
        yield _at(
            service,
            WARNING,
            "tty",
            "a terminal: most Wasm runtimes of Docker refuse to start with one",
            "leave tty out",
        )


def _attested(service: Service, _view: View) -> Iterator[Finding]:
    for key in ("provenance", "sbom"):
        value = service.node.get("build", key)
        if value is not None and value.text.lower() not in ("false", "0", ""):
            yield Finding(
                WARNING, value.file, value.line,
                f'service "{service.name}": an attested image is an index, in which some Wasm runtimes find no module',
                f"set {key}: false",
            )  # fmt: skip


def _ports(service: Service, view: View) -> Iterator[Finding]:
    if view.worlds.get(service.name) is not World.HTTP:
        return
    others = any(service.name in json.dumps(each.node.plain()) for each in view.stack.services if each is not service)
    if not service.ports and not service.node.get("expose") and not others:
        yield _at(
            service,
            WARNING,
            "image",
            "it answers HTTP, and publishes no port: nobody can ask it",
            'add ports: ["8080:8080"]',
        )


def _binds(service: Service, view: View) -> Iterator[Finding]:
    for volume in service.volumes:
        if volume.kind == "bind" and not view.exists(Path(volume.source)):
            then = "Docker makes a folder there, owned by root" if volume.creates else "Docker refuses to start"
            yield Finding(
                WARNING if volume.creates else ERROR, service.node.file, volume.line,
                f'service "{service.name}": "{volume.source}" is not there: {then}',
                "make it, or correct the path (it is relative to the Compose file)",
            )  # fmt: skip


def _sizes(service: Service, _view: View) -> Iterator[Finding]:
    nodes: list[Node | None] = [service.node.get(key) for key in _SIZES]
    nodes += [service.node.get("deploy", "resources", kind, "memory") for kind in ("limits", "reservations")]
    for node in nodes:
        if node is not None and 0 < (read_digits(node.text) or 0) < _SMALLEST_MEMORY:
            yield Finding(ERROR, node.file, node.line, f'service "{service.name}": {node.text} means bytes',
                          f"write {node.text}m")  # fmt: skip


def _name(service: Service, view: View) -> Iterator[Finding]:
    if service.name in _MODES:
        line = (view.stack.root.get("services") or service.node).line_of(service.name)
        yield Finding(
            WARNING,
            service.node.file,
            line,
            f'service "{service.name}" has the name of a network mode',
            "choose another name",
        )


def _waiting(service: Service, view: View) -> Iterator[Finding]:
    health = {each.name: each.node.get("healthcheck") for each in view.stack.services}
    native = {each.name for each in view.stack.services if not each.is_wasm}
    for each in service.depends_on:
        if (
            each.condition == HEALTHY
            and each.service in health
            and health[each.service] is None
            and each.service not in native
        ):
            yield Finding(
                ERROR, service.node.file, each.line,
                f'service "{service.name}" waits for "{each.service}" to be healthy, which has no health check',
                "wait for service_started, or give it a health check",
            )  # fmt: skip


Rule = Callable[[Service, View], Iterator[Finding]]
_FOR_ALL: tuple[Rule, ...] = (_binds, _sizes, _name, _waiting)
_FOR_WASM: tuple[Rule, ...] = (_runtime, _health, _tty, _attested, _ports)
