"""Two files' readings of one thing -> one, by the merge rules of the Compose specification."""

from collections.abc import Callable

from wasmdock.compose_yaml import Node

# What replaces instead of being appended to.
_REPLACED = {("command",), ("entrypoint",), ("healthcheck", "test")}


def _port(node: Node) -> object:
    return tuple(part.text if part else "" for part in map(node.get, ("host_ip", "target", "published", "protocol")))


def _target(node: Node) -> object:
    target = node.get("target") or node.get("source")
    return target.text if target else node.plain()


def _path(node: Node) -> object:
    path = node.get("path")
    return path.text if path else node.text


# Lists whose elements are one where these are equal: the later one stays.
_SAME: dict[str, Callable[[Node], object]] = {
    "ports": _port, "volumes": _target, "secrets": _target, "configs": _target, "devices": _target, "env_file": _path,
}  # fmt: skip
_UNIQUE = frozenset(
    ("cap_add", "cap_drop", "dns", "dns_search", "dns_opt", "expose", "links", "tmpfs", "security_opt", "profiles",
     "external_links", "extra_hosts")
)  # fmt: skip


def merge(base: Node, over: Node, path: tuple[str, ...] = ()) -> Node:
    """`over` on top of `base`; path is the keys from the service down."""
    if over.tag == "!override":
        return over.with_value(over.value)
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        if path == ("logging",) and _driver(base) != _driver(over) and over.get("driver"):
            return over
        return _merge_maps(base, over, path)
    if isinstance(base.value, tuple) and isinstance(over.value, tuple) and path not in _REPLACED:
        return over.with_value(unique(base.items + over.items, path[-1] if path else ""))
    if over.is_null and isinstance(base.value, (dict, tuple)) and path not in _REPLACED:
        return base
    return over


def _driver(node: Node) -> str:
    driver = node.get("driver")
    return driver.text if driver else ""


def _merge_maps(base: Node, over: Node, path: tuple[str, ...]) -> Node:
    entries, lines = dict(base.map), dict(base.lines)
    for key, each in over.map.items():
        if each.tag == "!reset":
            entries.pop(key, None)
            continue
        entries[key] = merge(entries[key], each, (*path, key)) if key in entries else each
        lines[key] = over.line_of(key)
    if path == ("build",) and "dockerfile_inline" in over.map:
        entries.pop("dockerfile", None)
    return Node(entries, over.file, over.line, base.tag, lines)


def unique(items: tuple[Node, ...], name: str) -> tuple[Node, ...]:
    """The elements of a list of this name, each once, where the first of its kind stood."""
    same = _SAME.get(name) or (_text if name in _UNIQUE else None)
    if same is None:
        return items
    found: dict[object, Node] = {}
    for item in items:
        found[same(item)] = item
    return tuple(found.values())


def _text(node: Node) -> object:
    return node.text


def merge_files(base: Node, over: Node) -> Node:
    """A whole file on top of another: services, volumes and the rest each by name."""
    entries, lines = dict(base.map), dict(base.lines)
    for key, each in over.map.items():
        if key in entries and isinstance(each.value, dict):
            section = dict(entries[key].map)
            section_lines = dict(entries[key].lines)
            for name, thing in each.map.items():
                if thing.tag == "!reset":
                    section.pop(name, None)
                    continue
                section[name] = merge(section[name], thing) if name in section else thing
                section_lines[name] = each.line_of(name)
            entries[key] = Node(section, each.file, each.line, "", section_lines)
        elif not (key in entries and each.is_null):
            entries[key], lines[key] = each, over.line_of(key)
    return Node(entries, over.file, over.line, "", lines)


def without_resets(node: Node) -> Node:
    """The tree without what `!reset` marks, where nothing was below to be reset."""
    if isinstance(node.value, dict):
        kept = {key: without_resets(each) for key, each in node.map.items() if each.tag != "!reset"}
        return node.with_value(kept)
    if isinstance(node.value, tuple):
        return node.with_value(tuple(without_resets(each) for each in node.items))
    return node
