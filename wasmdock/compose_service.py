"""One service: its long form -> values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wasmdock.compose_units import parse_bytes, parse_duration
from wasmdock.compose_yaml import Node
from wasmdock.digits import read_digits
from wasmdock.errors import UsageError
from wasmdock.launch import runs_wasm

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
CONDITIONS = (STARTED, HEALTHY, COMPLETED)
STOP_GRACE = 10.0  # seconds, Docker's own default
_RESTARTS = ("no", "always", "on-failure", "unless-stopped")
_YES = ("true", "yes", "y", "on", "1")


@dataclass(frozen=True, slots=True)
class Port:
    """A container's port and where it is published; published is empty for any free port of the host."""

    target: int
    published: str = ""
    host: str = ""
    protocol: str = "tcp"
    line: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder in the container: kind is bind (source a path), volume (source a name or empty), tmpfs or another."""

    kind: str
    source: str
    target: str
    read_only: bool = False
    creates: bool = True
    line: int = 0


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a service waits for before it starts."""

    service: str
    condition: str = STARTED
    required: bool = True
    line: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """How a service is asked whether it is well: argv, and seconds."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """One service as it is to run; node is its long form, for what nothing here says.

    command and entrypoint are None where the image's own stand. restart is no, always, on-failure or
    unless-stopped, attempts the most restarts (None: no bound).
    """

    name: str
    node: Node
    image: str
    context: Path | None
    platform: str
    runtime: str
    command: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    environment: Mapping[str, str]
    ports: tuple[Port, ...]
    volumes: tuple[Volume, ...]
    depends_on: tuple[Dependency, ...]
    restart: str
    attempts: int | None
    stop_signal: str
    stop_grace: float
    health: Health | None
    replicas: int
    memory: int | None

    @property
    def is_wasm(self) -> bool:
        """Whether it says that it is Wasm: by its platform or its runtime."""
        return names_wasm(self.node)

    @property
    def where(self) -> str:
        """File and line."""
        return self.node.where


def read_service(name: str, node: Node) -> Service:
    """A service's long form -> Service. Raises UsageError."""
    restart, attempts = _restart(node)
    grace = node.get("stop_grace_period")
    build = node.get("build", "context")
    return Service(
        name=name,
        node=node,
        image=text_of(node, "image"),
        context=Path(build.text) if build else None,
        platform=text_of(node, "platform"),
        runtime=text_of(node, "runtime"),
        command=_words(node, "command"),
        entrypoint=_words(node, "entrypoint"),
        environment=_environment(node),
        ports=tuple(_ports(node)),
        volumes=tuple(_volumes(node)),
        depends_on=tuple(read_dependencies(node)),
        restart=restart,
        attempts=attempts,
        stop_signal=text_of(node, "stop_signal"),
        stop_grace=parse_duration(grace) if grace else STOP_GRACE,
        health=_health(node),
        replicas=_replicas(node),
        memory=_memory(node),
    )


def text_of(node: Node, *path: str) -> str:
    """The text below these keys; empty where there is none."""
    found = node.get(*path)
    return found.text if found else ""


def _words(node: Node, key: str) -> tuple[str, ...] | None:
    found = node.get(key)
    return tuple(item.text for item in found.items) if found is not None and not found.is_null else None


def is_true(node: Node | None) -> bool:
    """Whether a value says yes, as a truth or as a text that came from a variable."""
    return node is not None and (node.value is True or (isinstance(node.value, str) and node.value.lower() in _YES))


def _environment(node: Node) -> Mapping[str, str]:
    found = node.get("environment")
    return {key: each.text for key, each in (found.map if found else {}).items() if not each.is_null}


def _ports(node: Node) -> Iterator[Port]:
    ports = node.get("ports")
    for item in ports.items if ports else ():
        published, host, protocol = (text_of(item, key) for key in ("published", "host_ip", "protocol"))
        yield Port(int(text_of(item, "target")), published, host, protocol or "tcp", item.line)


def _volumes(node: Node) -> Iterator[Volume]:
    volumes = node.get("volumes")
    for item in volumes.items if volumes else ():
        kind, source, target = (text_of(item, key) for key in ("type", "source", "target"))
        creates = is_true(item.get("bind", "create_host_path"))
        yield Volume(kind, source, target, is_true(item.get("read_only")), creates, item.line)


def read_dependencies(node: Node) -> Iterator[Dependency]:
    """What a service waits for. Raises UsageError for a condition there is not."""
    depends_on = node.get("depends_on")
    for name, each in (depends_on.map if depends_on else {}).items():
        condition = each.get("condition")
        if condition is not None and condition.text not in CONDITIONS:
            raise UsageError(
                f'{condition.where}: no condition "{condition.text}"', f"it is one of {', '.join(CONDITIONS)}"
            )
        required = each.get("required")
        line = depends_on.line_of(name) if depends_on and name in depends_on.lines else each.line
        yield Dependency(name, condition.text if condition else STARTED, required is None or is_true(required), line)


def _restart(node: Node) -> tuple[str, int | None]:
    found = node.get("restart")
    text = found.text if found else ""
    if found is not None and found.value is False:
        text = "no"
    kind, _, count = text.partition(":")
    is_counted = kind == "on-failure" and read_digits(count) is not None
    if found is not None and (kind not in _RESTARTS or (count and not is_counted)):
        raise UsageError(f'{found.where}: no restart policy "{text}"', f"it is one of {', '.join(_RESTARTS)}")
    if found is None:
        return _deployed_restart(node)
    return kind or "no", read_digits(count)


def _deployed_restart(node: Node) -> tuple[str, int | None]:
    policy = node.get("deploy", "restart_policy")
    if policy is None:
        return "no", None
    condition = text_of(policy, "condition") or "any"
    attempts = text_of(policy, "max_attempts")
    kind = {"none": "no", "on-failure": "on-failure"}.get(condition, "always")
    return kind, read_digits(attempts)


def _health(node: Node) -> Health | None:
    check = node.get("healthcheck")
    test = check.get("test") if check else None
    if check is None or test is None or is_true(check.get("disable")):
        return None
    words = tuple(item.text for item in test.items)
    if words[:1] == ("NONE",):
        return None
    if words[:1] not in (("CMD",), ("CMD-SHELL",)):
        raise UsageError(f"{test.where}: a health check's test begins with CMD, CMD-SHELL or NONE")
    spans = {key: parse_duration(each) for key, each in check.map.items() if key in _SPANS and not each.is_null}
    retries = read_digits(text_of(check, "retries"))
    return Health(words, retries=3 if retries is None else retries, line=test.line, **spans)


_SPANS = ("interval", "timeout", "start_period", "start_interval")


def _replicas(node: Node) -> int:
    count = read_digits(text_of(node, "scale") or text_of(node, "deploy", "replicas"))
    return 1 if count is None else count


def _memory(node: Node) -> int | None:
    found = node.get("mem_limit") or node.get("deploy", "resources", "limits", "memory")
    return parse_bytes(found) if found is not None else None


def names_wasm(node: Node) -> bool:
    """Whether a service's platform or runtime is one of Wasm."""
    return text_of(node, "platform").startswith(("wasi", "wasm")) or runs_wasm(text_of(node, "runtime"))
