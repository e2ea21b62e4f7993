"""A Compose file -> Stack: its services as values, checked, in the order they start."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wasmdock.compose_file import Loader, Parse, Sources, project_name, read_bytes, read_yaml
from wasmdock.compose_keys import Problem
from wasmdock.compose_service import Service, read_dependencies, read_service, text_of
from wasmdock.compose_shape import put, update
from wasmdock.compose_text import parse_env_text
from wasmdock.compose_yaml import Node
from wasmdock.errors import UsageError


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


def image_name(stack: Stack, service: Service) -> str:
    """The name of a service's image: its own, or the one docker compose gives what it builds."""
    return service.image or f"{stack.name}-{service.name}"


def load_stack(
    sources: Sources,
    *,
    name: str = "",
    profiles: Iterable[str] = (),
    only: Iterable[str] = (),
    home: str = "/",
    lenient: bool = False,
    read: Callable[[Path], bytes] = read_bytes,
    parse: Parse = read_yaml,
) -> Stack:
    """Read a project. `only` names services to take, with all they depend on; lenient takes unknown keys.

    Raises UsageError with file and line.
    """
    loader = Loader(sources.variables, home, read, parse, lenient)
    root = loader.project(sources.files, sources.folder)
    every = root.get("services") or Node({})
    if not lenient or not every.map:  # what is no mapping is worse than what is missing in it
        _refuse(loader.problems)
    said = project_name(root, name, sources.variables, sources.folder)
    active = {*profiles, *filter(None, sources.variables.get("COMPOSE_PROFILES", "").split(","))}
    chosen = choose(root, active, tuple(only))
    ready = {each: with_environment(node, sources.variables, read) for each, node in chosen.items()}
    services = {each: read_service(each, node) for each, node in ready.items()}
    missing = [*find_missing(root, ready, every)]
    if not lenient:
        _refuse(missing)
    loader.problems += missing
    ordered = tuple(services[each] for each in start_order(services))
    problems = tuple(loader.problems)
    return Stack(said, sources.folder, sources.files, ordered, root, sources.variables, problems, loader.unset)


def _refuse(problems: Sequence[Problem]) -> None:
    for first in problems[:1]:
        raise UsageError(f"{first.file}:{first.line}: {first.message}", first.hint)


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


def find_missing(root: Node, chosen: Mapping[str, Node], every: Node) -> Iterator[Problem]:
    """Services that name what is not there, or have nothing to run."""
    for name, node in chosen.items():
        if not any(node.get(key) for key in ("image", "build", "provider")):
            yield Problem(node.file, every.line_of(name), f'service "{name}" has neither an image nor a build')
        for dependency in read_dependencies(node):
            what = f'service "{name}" depends on "{dependency.service}", which is'
            if not dependency.required or dependency.service in chosen:
                continue
            if dependency.service not in every.map:
                yield Problem(node.file, dependency.line, f"{what} not there")
            else:
                hint = "name its profile with --profile"
                yield Problem(node.file, dependency.line, f"{what} in no active profile", hint)
        for kind in ("networks", "secrets", "configs", "volumes"):
            yield from _find_undeclared(root, name, node, kind)
        if (mode := node.get("network_mode")) is not None and node.get("networks"):
            yield Problem(mode.file, mode.line, f'service "{name}" has both network_mode and networks', "leave one out")


def _find_undeclared(root: Node, name: str, node: Node, kind: str) -> Iterator[Problem]:
    there = root.get(kind)
    known = set(there.map if there else {}) | ({"default"} if kind == "networks" else set())
    found = node.get(kind)
    if found is None:
        return
    what, hint = f'service "{name}" uses {kind[:-1]}', f"declare it under `{kind}:`"
    if kind == "networks":
        for network, item in found.map.items():
            if network not in known:
                line = found.lines.get(network, item.line)
                yield Problem(node.file, line, f'{what} "{network}", which is not there', hint)
        return
    for item in [*found.items, *found.map.values()]:
        source = "" if kind == "volumes" and text_of(item, "type") != "volume" else text_of(item, "source")
        if source and source not in known:
            yield Problem(item.file, item.line, f'{what} "{source}", which is not there', hint)


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
    modes = [text_of(service.node, key) for key in ("network_mode", "ipc", "pid")]
    names = [mode.removeprefix("service:") for mode in modes if mode.startswith("service:")]
    from_others = service.node.get("volumes_from")
    others = [item.text.partition(":")[0] for item in (from_others.items if from_others else ())]
    links = service.node.get("links")
    linked = [item.text.partition(":")[0] for item in (links.items if links else ())]
    return [*names, *(each for each in others if each != "container"), *linked]
