"""A Compose file -> Stack: its services as values, checked, in the order they start."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wasmdock.compose_file import Loader, Sources, project_name, read_bytes
from wasmdock.compose_keys import Problem
from wasmdock.compose_shape import put, update
from wasmdock.compose_text import parse_env_text
from wasmdock.compose_units import parse_bytes, parse_duration
from wasmdock.compose_yaml import Node
from wasmdock.errors import UsageError

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
CONDITIONS = (STARTED, HEALTHY, COMPLETED)
STOP_GRACE = 10.0  # seconds, Docker's own default
_WASM_RUNTIMES = ("wasm", "spin", "slight", "lunatic", "wws")
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


@dataclass(frozen=True, slots=True)
class Stack:
    """A project: its services in the order they start, the tree they were read from, what was odd about it."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    services: tuple[Service, ...]
    root: Node
    variables: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    unset: Mapping[str, str] = ()  # type: ignore[assignment]  # by variable, where it is used

    def service(self, name: str) -> Service:
        """The service of this name. Raises UsageError."""
        for each in self.services:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.services)
        raise UsageError(f'looking for service "{name}": there is none', f"it has {known}")

    @property
    def networked(self) -> frozenset[str]:
        """The names by which services are reached."""
        return frozenset(each.name for each in self.services)


def load_stack(
    sources: Sources,
    *,
    name: str = "",
    profiles: Iterable[str] = (),
    only: Iterable[str] = (),
    home: str = "/",
    lenient: bool = False,
    read: Callable[[Path], bytes] = read_bytes,
) -> Stack:
    """Read a project. `only` names services to take, with all they depend on; lenient takes unknown keys.

    Raises UsageError with file and line.
    """
    loader = Loader(sources.variables, home, read)
    root = loader.project(sources.files, sources.folder)
    if loader.problems and not lenient:
        first = loader.problems[0]
        raise UsageError(f"{first.file}:{first.line}: {first.message}", first.hint)
    said = project_name(root, name, sources.variables, sources.folder)
    active = {*profiles, *filter(None, sources.variables.get("COMPOSE_PROFILES", "").split(","))}
    chosen = choose(root, active, tuple(only))
    ready = {each: with_environment(node, sources.variables, read) for each, node in chosen.items()}
    services = {each: read_service(each, node) for each, node in ready.items()}
    every = root.get("services") or Node({})
    check_names(root, ready, every)
    ordered = tuple(services[each] for each in start_order(services))
    problems = tuple(loader.problems)
    return Stack(said, sources.folder, sources.files, ordered, root, sources.variables, problems, loader.unset)


def choose(root: Node, profiles: set[str], only: tuple[str, ...]) -> dict[str, Node]:
    """The services that are on: without profiles, with an active one, or named and what those need."""
    every = root.get("services")
    if every is None or not every.map:
        raise UsageError(f"{root.where}: no services", "write them under `services:`")
    if only:
        return _with_needed(every, only)
    return {name: node for name, node in every.map.items() if _is_on(node, profiles)}


def _is_on(node: Node, profiles: set[str]) -> bool:
    mine = node.get("profiles")
    wanted = {item.text for item in mine.items} if mine else set()
    return not wanted or "*" in profiles or not wanted.isdisjoint(profiles)


def _with_needed(every: Node, only: tuple[str, ...]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    waiting = list(only)
    while waiting:
        name = waiting.pop()
        if name not in every.map:
            raise UsageError(
                f'looking for service "{name}" in {every.file}: there is none', f"it has {', '.join(every.map)}"
            )
        if name not in found:
            found[name] = every.map[name]
            waiting += [each for each in _needs(every.map[name]) if each in every.map]
    return {name: node for name, node in every.map.items() if name in found}


def _needs(node: Node) -> list[str]:
    depends_on = node.get("depends_on")
    return list(depends_on.map) if depends_on else []


def with_environment(node: Node, variables: Mapping[str, str], read: Callable[[Path], bytes]) -> Node:
    """The service with its env files read into its environment; names alone take this environment's values."""
    entries: dict[str, Node] = {}
    env_files = node.get("env_file")
    for item in env_files.items if env_files else ():
        entries |= _read_env_file(item, variables, read)
    environment = node.get("environment")
    for key, each in (environment.map if environment else {}).items():
        entries[key] = put(each, variables[key]) if each.is_null and key in variables else each
    if not entries:
        return update(node, env_file=None)
    place = environment or node
    return update(node, env_file=None, environment=place.with_value(entries))


def _read_env_file(item: Node, variables: Mapping[str, str], read: Callable[[Path], bytes]) -> dict[str, Node]:
    path, required = item.map["path"], item.get("required")
    if not Path(path.text).is_file():
        if required is not None and required.value is False:
            return {}
        raise UsageError(f'{item.where}: env_file "{path.text}": no such file')
    try:
        text = read(Path(path.text)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f'{item.where}: env_file "{path.text}": not UTF-8 text') from error
    found = parse_env_text(text, variables, path.text)
    values = {key: value if value is not None else variables.get(key) for key, value in found.items()}
    return {key: put(item, value) for key, value in values.items() if value is not None}


def read_service(name: str, node: Node) -> Service:
    """A service's long form -> Service. Raises UsageError."""
    restart, attempts = _restart(node)
    grace = node.get("stop_grace_period")
    build = node.get("build", "context")
    return Service(
        name=name,
        node=node,
        image=_text(node, "image"),
        context=Path(build.text) if build else None,
        platform=_text(node, "platform"),
        runtime=_text(node, "runtime"),
        command=_words(node, "command"),
        entrypoint=_words(node, "entrypoint"),
        environment=_environment(node),
        ports=tuple(_ports(node)),
        volumes=tuple(_volumes(node)),
        depends_on=tuple(_dependencies(node)),
        restart=restart,
        attempts=attempts,
        stop_signal=_text(node, "stop_signal"),
        stop_grace=parse_duration(grace) if grace else STOP_GRACE,
        health=_health(node),
        replicas=_replicas(node),
        memory=_memory(node),
    )


def _text(node: Node, *path: str) -> str:
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
        published, host, protocol = (_text(item, key) for key in ("published", "host_ip", "protocol"))
        yield Port(int(_text(item, "target")), published, host, protocol or "tcp", item.line)


def _volumes(node: Node) -> Iterator[Volume]:
    volumes = node.get("volumes")
    for item in volumes.items if volumes else ():
        kind, source, target = (_text(item, key) for key in ("type", "source", "target"))
        creates = is_true(item.get("bind", "create_host_path"))
        yield Volume(kind, source, target, is_true(item.get("read_only")), creates, item.line)


def _dependencies(node: Node) -> Iterator[Dependency]:
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
    if found is not None and (kind not in _RESTARTS or (count and not (count.isdigit() and kind == "on-failure"))):
        raise UsageError(f'{found.where}: no restart policy "{text}"', f"it is one of {', '.join(_RESTARTS)}")
    if found is None:
        return _deployed_restart(node)
    return kind or "no", int(count) if count else None


def _deployed_restart(node: Node) -> tuple[str, int | None]:
    policy = node.get("deploy", "restart_policy")
    if policy is None:
        return "no", None
    condition = _text(policy, "condition") or "any"
    attempts = _text(policy, "max_attempts")
    kind = {"none": "no", "on-failure": "on-failure"}.get(condition, "always")
    return kind, int(attempts) if attempts.isdigit() else None


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
    retries = _text(check, "retries")
    return Health(words, retries=int(retries) if retries.isdigit() else 3, line=test.line, **spans)


_SPANS = ("interval", "timeout", "start_period", "start_interval")


def _replicas(node: Node) -> int:
    text = _text(node, "scale") or _text(node, "deploy", "replicas")
    return int(text) if text.isdigit() else 1


def _memory(node: Node) -> int | None:
    found = node.get("mem_limit") or node.get("deploy", "resources", "limits", "memory")
    return parse_bytes(found) if found is not None else None


def names_wasm(node: Node) -> bool:
    """Whether a service's platform or runtime is one of Wasm."""
    runtime = _text(node, "runtime")
    return _text(node, "platform").startswith(("wasi", "wasm")) or any(each in runtime for each in _WASM_RUNTIMES)


def check_names(root: Node, chosen: Mapping[str, Node], every: Node) -> None:
    """Raise UsageError where a service names what is not there, or has nothing to run."""
    for name, node in chosen.items():
        if not any(node.get(key) for key in ("image", "build", "provider")):
            raise UsageError(f'{node.file}:{every.line_of(name)}: service "{name}" has neither an image nor a build')
        for dependency in _dependencies(node):
            if dependency.service not in every.map and dependency.required:
                raise UsageError(
                    f'{node.file}:{dependency.line}: service "{name}" depends on "{dependency.service}", which is not there'
                )
            if dependency.service not in chosen and dependency.required:
                raise UsageError(
                    f'{node.file}:{dependency.line}: service "{name}" depends on "{dependency.service}", which is in no '
                    "active profile",
                    "name its profile with --profile",
                )
        for key, kind in (
            ("networks", "networks"),
            ("secrets", "secrets"),
            ("configs", "configs"),
            ("volumes", "volumes"),
        ):
            _check_references(root, name, node, key, kind)
        if (mode := node.get("network_mode")) is not None and node.get("networks"):
            raise UsageError(f'{mode.where}: service "{name}" has both network_mode and networks', "leave one out")


def _check_references(root: Node, name: str, node: Node, key: str, kind: str) -> None:
    there = root.get(kind)
    known = set(there.map if there else {}) | ({"default"} if kind == "networks" else set())
    found = node.get(key)
    for item in [*(found.items if found else ()), *(found.map.values() if found else ())]:
        if key == "networks":
            continue
        if key == "volumes" and _text(item, "type") != "volume":
            continue
        source = _text(item, "source")
        if source and source not in known:
            raise UsageError(
                f'{item.where}: service "{name}" uses {kind[:-1]} "{source}", which is not there',
                f"declare it under `{kind}:`",
            )
    for network, item in (found.map if found and key == "networks" else {}).items():
        if network not in known:
            line = item.line if not found else found.lines.get(network, item.line)
            raise UsageError(
                f'{node.file}:{line}: service "{name}" uses network "{network}", which is not there',
                "declare it under `networks:`",
            )


def start_order(services: Mapping[str, Service]) -> list[str]:
    """The names, each behind what it needs. Raises UsageError that names a cycle."""
    order: list[str] = []
    done: dict[str, bool] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            cycle = " -> ".join((*above[above.index(name) :], name))
            raise UsageError(f"{_place_of_cycle(services, above, name)}: services wait for each other: {cycle}")
        if name in done or name not in services:
            return
        for dependency in services[name].depends_on:
            visit(dependency.service, (*above, name))
        for other in _joined(services[name]):
            visit(other, (*above, name))
        done[name] = True
        order.append(name)

    for name in services:
        visit(name, ())
    return order


def _place_of_cycle(services: Mapping[str, Service], above: tuple[str, ...], name: str) -> str:
    last = services[above[-1]]
    line = next((each.line for each in last.depends_on if each.service == name), last.node.line)
    return f"{last.node.file}:{line}"


def _joined(service: Service) -> list[str]:
    """The services whose namespaces it lives in."""
    modes = [_text(service.node, key) for key in ("network_mode", "ipc", "pid")]
    names = [mode.removeprefix("service:") for mode in modes if mode.startswith("service:")]
    from_others = service.node.get("volumes_from")
    others = [item.text.partition(":")[0] for item in (from_others.items if from_others else ())]
    links = service.node.get("links")
    linked = [item.text.partition(":")[0] for item in (links.items if links else ())]
    return [*names, *(each for each in others if each != "container"), *linked]
