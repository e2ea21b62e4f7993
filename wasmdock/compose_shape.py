"""Short forms -> long forms: each service of one file in one shape, its paths absolute, so that files can be merged."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmdock.compose_keys import Problem
from wasmdock.compose_units import clean, parse_port, parse_volume, resolve
from wasmdock.compose_yaml import Node
from wasmdock.digits import read_digits
from wasmdock.errors import UsageError


@dataclass(frozen=True, slots=True)
class Place:
    """What relative paths of a file are relative to, and the user's home."""

    folder: Path
    home: str


def put(node: Node, value: Any) -> Node:
    """A plain value as nodes at the place of `node`; nodes in it stay as they are."""
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return node.with_value({key: put(_untagged(node), each) for key, each in value.items()})
    if isinstance(value, (list, tuple)):
        return node.with_value(tuple(put(_untagged(node), each) for each in value))
    return node.with_value(value)


def _untagged(node: Node) -> Node:
    return Node(None, node.file, node.line)


def update(node: Node, **changes: Node | None) -> Node:
    """The mapping with these entries; None leaves one out."""
    entries = {**node.map, **{key: each for key, each in changes.items() if each is not None}}
    return node.with_value(
        {key: each for key, each in entries.items() if not (key in changes and changes[key] is None)}
    )


def pairs(node: Node, separators: str = "=") -> Node:
    """`[K=V]` or `{K: V}` -> a mapping of texts; None stands for a name alone."""
    if isinstance(node.value, dict):
        return node.with_value({key: each if each.is_null else put(each, each.text) for key, each in node.map.items()})
    if node.is_null:
        return node.with_value({})
    found = {}
    for item in node.items:
        at = min((place for sign in separators if (place := item.text.find(sign)) >= 0), default=-1)
        key = item.text if at < 0 else item.text[:at]
        found[key] = put(item, None if at < 0 else item.text[at + 1 :])
    return node.with_value(found)


def texts(node: Node) -> Node:
    """One text or a list of them -> a list of texts."""
    if node.is_null:
        return node.with_value(())
    items = node.items if isinstance(node.value, tuple) else (_plain(node),)
    return node.with_value(tuple(put(item, item.text) for item in items))


def _plain(node: Node) -> Node:
    return Node(node.value, node.file, node.line)


def words(node: Node) -> Node:
    """A command: a text is split as a shell would."""
    if node.is_null or isinstance(node.value, tuple):
        return node if node.is_null else texts(node)
    try:
        return put(node, shlex.split(node.text))
    except ValueError as error:
        raise UsageError(f'{node.where}: splitting "{node.text}": {str(error).lower()}') from error


def _listed(node: Node, change: Callable[[Node], Iterable[Node]]) -> Node:
    items = node.items if isinstance(node.value, tuple) else () if node.is_null else (_plain(node),)
    return node.with_value(tuple(each for item in items for each in change(item)))


def _depends_on(node: Node) -> Node:
    usual = {"condition": "service_started", "required": True}
    if isinstance(node.value, dict):
        return node.with_value(
            {key: put(each, {**{name: put(each, value) for name, value in usual.items()}, **each.map})
             for key, each in node.map.items()}
        )  # fmt: skip
    return node.with_value({item.text: put(item, usual) for item in node.items})


def _env_file(node: Node, place: Place) -> Node:
    def change(item: Node) -> list[Node]:
        long = item if isinstance(item.value, dict) else put(item, {"path": item.text})
        path = long.get("path") or put(item, "")
        usual = {"required": put(item, True)} if "required" not in long.map else {}
        return [update(long, path=put(path, resolve(path.text, place.folder, place.home)), **usual)]

    return _listed(node, change)


def without_bad_ports(root: Node) -> tuple[Node, list[Problem]]:
    """The file without short ports that are none, and what is wrong with each."""
    problems: list[Problem] = []

    def is_good(item: Node) -> bool:
        try:
            return isinstance(item.value, dict) or bool(parse_port(item))
        except UsageError as error:
            message = error.message.removeprefix(f"{item.where}: ")
            problems.append(Problem(item.file, item.line, message, error.hint))
            return False

    def checked(service: Node) -> Node:
        ports = service.get("ports")
        if ports is None or not isinstance(ports.value, tuple):
            return service
        return service.with_value({**service.map, "ports": ports.with_value(tuple(filter(is_good, ports.items)))})

    services = root.get("services")
    if services is None or not isinstance(services.value, dict):
        return root, problems
    good = services.with_value({name: checked(each) for name, each in services.map.items()})
    return root.with_value({**root.map, "services": good}), problems


def _ports(node: Node) -> Node:
    def change(item: Node) -> list[Node]:
        if not isinstance(item.value, dict):
            return [put(item, port) for port in parse_port(item)]
        target = item.get("target")
        port = read_digits(target.text) if target else None
        if port is None:
            raise UsageError(f"{item.where}: a port needs a number as its target")
        long = {"mode": "ingress", "protocol": "tcp", **item.map, "target": port}
        if published := item.get("published"):
            long["published"] = put(published, published.text)
        return [put(item, long)]

    return _listed(node, change)


def _volumes(node: Node, place: Place) -> Node:
    def change(item: Node) -> list[Node]:
        if not isinstance(item.value, dict):
            return [put(item, parse_volume(item, place.folder, place.home))]
        kind, source, target = (item.map.get(name) for name in ("type", "source", "target"))
        if kind is None or (target is None and kind.text != "cluster"):
            raise UsageError(f"{item.where}: a volume in long form needs a type and a target")
        long: dict[str, Any] = dict(item.map)
        if kind.text == "bind" and source is not None:
            long["source"] = put(source, resolve(source.text, place.folder, place.home))
        if target is not None:
            long["target"] = put(target, clean(target.text))
        return [put(item, long)]

    return _listed(node, change)


def _granted(node: Node) -> Node:
    """secrets and configs of a service."""
    return _listed(node, lambda item: [item if isinstance(item.value, dict) else put(item, {"source": item.text})])


def _networks(node: Node) -> Node:
    if isinstance(node.value, dict):
        return node
    return node.with_value({item.text: put(item, None) for item in node.items})


def _extra_hosts(node: Node) -> Node:
    """Each name with its addresses, as a list."""
    if isinstance(node.value, dict):
        entries = [(key, item) for key, each in node.map.items() for item in (each.items or (each,))]
    else:
        entries = []
        for item in node.items:
            name, sign, address = item.text.partition("=" if "=" in item.text else ":")
            if not sign:
                raise UsageError(f'{item.where}: "{item.text}" is not NAME=ADDRESS')
            entries.append((name, put(item, address.strip("[]"))))
    return node.with_value(tuple(put(item, f"{name}={item.text.strip('[]')}") for name, item in entries))


def _devices(node: Node) -> Node:
    def change(item: Node) -> list[Node]:
        if isinstance(item.value, dict):
            return [item]
        source, _, rest = item.text.partition(":")
        target, _, permissions = rest.partition(":")
        return [put(item, {"source": source, "target": target or source, "permissions": permissions or "rwm"})]

    return _listed(node, change)


def _build(node: Node, place: Place) -> Node:
    if node.is_null:
        return node
    long = node if isinstance(node.value, dict) else put(node, {"context": node.text})
    context = long.get("context") or put(node, ".")
    where = context.text if "://" in context.text else resolve(context.text, place.folder, place.home)
    changes: dict[str, Node | None] = {"context": put(context, where)}
    if "dockerfile" not in long.map and "dockerfile_inline" not in long.map:
        changes["dockerfile"] = put(node, "Dockerfile")
    for key, separators in (("args", "="), ("labels", "="), ("additional_contexts", "=")):
        if key in long.map:
            changes[key] = pairs(long.map[key], separators)
    for key in ("tags", "platforms", "cache_from", "cache_to"):
        if key in long.map:
            changes[key] = texts(long.map[key])
    if "secrets" in long.map:
        changes["secrets"] = _granted(long.map["secrets"])
    return update(long, **changes)


def _healthcheck(node: Node) -> Node:
    test = node.get("test")
    if test is None or isinstance(test.value, tuple) or test.is_null:
        return node
    return update(node, test=put(test, ["CMD-SHELL", test.text]))


def _develop(node: Node, place: Place) -> Node:
    watch = node.get("watch")

    def change(item: Node) -> list[Node]:
        path = item.get("path")
        return [update(item, path=put(path, resolve(path.text, place.folder, place.home))) if path else item]

    return update(node, watch=_listed(watch, change)) if watch else node


def _logging(node: Node) -> Node:
    options = node.get("options")
    return update(node, options=pairs(options)) if options else node


def _deploy(node: Node) -> Node:
    labels = node.get("labels")
    return update(node, labels=pairs(labels)) if labels else node


_SHAPES: dict[str, Callable[[Node, Place], Node]] = {
    **dict.fromkeys(("environment", "labels", "annotations", "sysctls", "storage_opt"), lambda node, _: pairs(node)),
    **dict.fromkeys(("command", "entrypoint"), lambda node, _: words(node)),
    **dict.fromkeys(
        ("dns", "dns_search", "dns_opt", "tmpfs", "expose", "cap_add", "cap_drop", "security_opt", "profiles",
         "links", "external_links", "volumes_from", "group_add", "label_file"),
        lambda node, _: texts(node),
    ),
    "depends_on": lambda node, _: _depends_on(node),
    "env_file": _env_file,
    "ports": lambda node, _: _ports(node),
    "volumes": _volumes,
    "secrets": lambda node, _: _granted(node),
    "configs": lambda node, _: _granted(node),
    "networks": lambda node, _: _networks(node),
    "extra_hosts": lambda node, _: _extra_hosts(node),
    "devices": lambda node, _: _devices(node),
    "build": _build,
    "develop": _develop,
    "healthcheck": lambda node, _: _healthcheck(node),
    "logging": lambda node, _: _logging(node),
    "deploy": lambda node, _: _deploy(node),
}  # fmt: skip


def shape_service(node: Node, place: Place) -> Node:
    """One service in long form. Raises UsageError with the line of what cannot be read."""
    changed = {}
    for key, each in node.map.items():
        shape = _SHAPES.get(key)
        changed[key] = shape(each, place) if shape and each.tag != "!reset" else each
    return node.with_value(changed)


def shape_file(root: Node, place: Place) -> Node:
    """A file's services in long form, and the paths of its secrets and configs."""
    changes: dict[str, Node | None] = {}
    if services := root.get("services"):
        changes["services"] = services.with_value(
            {name: shape_service(each, place) for name, each in services.map.items()}
        )
    for kind in ("secrets", "configs"):
        if found := root.get(kind):
            changes[kind] = found.with_value({name: _with_file(each, place) for name, each in found.map.items()})
    for kind in ("volumes", "networks"):
        if found := root.get(kind):
            changes[kind] = found.with_value({name: _labelled(each) for name, each in found.map.items()})
    return update(root, **changes)


def _with_file(node: Node, place: Place) -> Node:
    file = node.get("file")
    return update(node, file=put(file, resolve(file.text, place.folder, place.home))) if file else node


def _labelled(node: Node) -> Node:
    changes = {key: pairs(node.map[key]) for key in ("labels", "driver_opts") if key in node.map}
    return update(node, **changes) if changes else node
