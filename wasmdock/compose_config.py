"""A Stack as `docker compose config --format json` prints it: the canonical form."""

from collections.abc import Callable
from typing import Any

from wasmdock.compose import Stack
from wasmdock.compose_service import Service, is_true
from wasmdock.compose_shape import texts
from wasmdock.compose_units import parse_bytes, parse_duration, show_duration
from wasmdock.compose_yaml import Node
from wasmdock.digits import read_digits

_SIZES = ("mem_limit", "mem_reservation", "memswap_limit", "shm_size")
_TRUTHS = ("init", "tty", "stdin_open", "read_only", "privileged", "oom_kill_disable")
_NUMBERS = ("scale", "pids_limit", "cpu_shares", "oom_score_adj", "mem_swappiness", "cpu_count")
_FLOATS = ("cpus", "cpu_percent")
_EMPTY_OUT = (
    "profiles",
    "cap_add", "cap_drop", "ports", "volumes", "labels", "environment", "depends_on", "expose", "dns", "tmpfs",
    "annotations", "build", "security_opt", "secrets", "configs", "extra_hosts", "sysctls", "links", "dns_search",
)  # fmt: skip
_SPANS = ("interval", "timeout", "start_period", "start_interval")


def document(stack: Stack) -> dict[str, Any]:
    """The whole project; what no service uses is left out, as Compose leaves it out."""
    services = {each.name: _service(each) for each in sorted(stack.services, key=lambda each: each.name)}
    found: dict[str, Any] = {"name": stack.name, "services": services}
    used = {kind: set() for kind in ("networks", "volumes", "secrets", "configs")}  # type: dict[str, set[str]]
    for service in services.values():
        used["networks"] |= set(service.get("networks", {}))
        used["volumes"] |= {
            each["source"] for each in service.get("volumes", ()) if each["type"] == "volume" and "source" in each
        }
        used["secrets"] |= {each["source"] for each in service.get("secrets", ())}
        used["configs"] |= {each["source"] for each in service.get("configs", ())}
        used["secrets"] |= {each["source"] for each in (service.get("build") or {}).get("secrets", ())}
    for kind, names in used.items():
        section = stack.root.get(kind)
        if names:
            found[kind] = {
                name: _resource(stack, kind, name, section.map.get(name) if section else None) for name in sorted(names)
            }
    for key, node in stack.root.map.items():
        if key.startswith("x-"):
            found[key] = node.plain()
    return found


def _resource(stack: Stack, kind: str, name: str, node: Node | None) -> dict[str, Any]:
    plain = node.plain() if node is not None and not node.is_null else {}
    external = plain.pop("external", False)
    if isinstance(external, dict):
        plain["name"] = external.get("name", name)
    found: dict[str, Any] = {"name": plain.pop("name", name if external else f"{stack.name}_{name}"), **plain}
    if external:
        return {**found, "external": True, **({"ipam": {}} if kind == "networks" else {})}
    if kind == "networks":
        found["ipam"] = found.get("ipam") or {}
    return {key: each for key, each in found.items() if each not in (None, False) and (each or key == "ipam")}


def _service(service: Service) -> dict[str, Any]:
    node = service.node
    found: dict[str, Any] = {"command": None, "entrypoint": None}
    for key, each in node.map.items():
        if key in ("env_file", "extends", "label_file"):
            continue
        change = _CHANGES.get(key)
        value = change(each) if change else _generic(key, each)
        if value in (None, [], {}) and key not in ("command", "entrypoint") and (key in _EMPTY_OUT or value is None):
            continue
        if (value is False and key in _TRUTHS and key != "init") or (value == 0 and key in _NUMBERS and key != "scale"):
            continue
        found[key] = value
    if "networks" not in found and "network_mode" not in found and "provider" not in found:
        found["networks"] = {"default": None}
    return found


def _generic(key: str, node: Node) -> Any:
    if key in _SIZES:
        return str(parse_bytes(node)) if not node.text.startswith("-") else node.text
    if key in _TRUTHS:
        return is_true(node)
    if key in _NUMBERS and (number := read_digits(node.text.removeprefix("-"))) is not None:
        return -number if node.text.startswith("-") else number
    if key in _FLOATS:
        return float(node.text)
    if isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return node.text
    return node.plain()


def _filled(node: Node) -> dict[str, str]:
    """A mapping of texts in which a name alone is an empty one."""
    return {key: each.text for key, each in node.map.items()}


def _environment(node: Node) -> dict[str, str | None]:
    return {key: None if each.is_null else each.text for key, each in node.map.items()}


def _depends_on(node: Node) -> dict[str, Any]:
    found = {}
    for name, each in node.map.items():
        required = each.get("required")
        entry: dict[str, Any] = {
            "condition": each.map["condition"].text,
            "required": required is None or is_true(required),
        }
        if is_true(each.get("restart")):
            entry["restart"] = True
        found[name] = entry
    return found


def _ports(node: Node) -> list[dict[str, Any]]:
    return [
        {key: int(each.text) if key == "target" else each.text for key, each in item.map.items()} for item in node.items
    ]


def _volumes(node: Node) -> list[dict[str, Any]]:
    found = []
    for item in node.items:
        entry = item.plain()
        for key in ("read_only",):
            if key in item.map:
                entry[key] = is_true(item.map[key])
                if not entry[key]:
                    del entry[key]
        kind = entry["type"]
        if "bind" in entry:
            entry["bind"] = {key: each for key, each in entry.get("bind", {}).items() if each not in (False, "")}
        if kind in ("volume", "tmpfs"):
            entry.setdefault(kind, {})
        size = item.get("tmpfs", "size")
        if size is not None:
            entry["tmpfs"]["size"] = str(parse_bytes(size))
        found.append(entry)
    return found


def _granted(node: Node, folder: str) -> list[dict[str, Any]]:
    found = []
    for item in node.items:
        entry = item.plain()
        if folder:
            entry.setdefault("target", folder + str(entry["source"]))
        found.append(entry)
    return found


def _build(node: Node) -> dict[str, Any] | None:
    if node.is_null:
        return None
    plain: dict[str, Any] = node.plain()
    if args := node.get("args"):
        plain["args"] = {key: each for key, each in _environment(args).items() if each is not None}
    if labels := node.get("labels"):
        plain["labels"] = _filled(labels)
    if secrets := node.get("secrets"):
        plain["secrets"] = _granted(secrets, "")
    for key in ("no_cache", "pull", "privileged"):
        if key in plain and not is_true(node.map[key]):
            del plain[key]
    if size := node.get("shm_size"):
        plain["shm_size"] = str(parse_bytes(size))
    return {key: each for key, each in plain.items() if each not in (None, {}, [])}


def _healthcheck(node: Node) -> dict[str, Any]:
    plain: dict[str, Any] = node.plain()
    for key, each in node.map.items():
        if key in _SPANS:
            plain[key] = show_duration(parse_duration(each))
        elif key == "retries":
            plain[key] = int(each.text)
        elif key == "disable" and not is_true(each):
            del plain[key]
    return plain


def _deploy(node: Node) -> dict[str, Any] | None:
    if node.is_null:
        return None
    plain: dict[str, Any] = {"resources": {}, "placement": {}, **node.plain()}
    if replicas := node.get("replicas"):
        plain["replicas"] = int(replicas.text)
    if labels := node.get("labels"):
        plain["labels"] = _filled(labels)
    _bounds(node, plain)
    _policies(node, plain)
    return plain


def _bounds(node: Node, plain: dict[str, Any]) -> None:
    for kind in ("limits", "reservations"):
        bounds = node.get("resources", kind)
        for key, each in (bounds.map if bounds else {}).items():
            if key == "memory":
                plain["resources"][kind][key] = str(parse_bytes(each))
            elif key == "cpus":
                plain["resources"][kind][key] = float(each.text)
            elif key == "pids":
                plain["resources"][kind][key] = int(each.text)


def _policies(node: Node, plain: dict[str, Any]) -> None:
    for kind in ("restart_policy", "update_config", "rollback_config"):
        policy = node.get(kind)
        for key, each in (policy.map if policy else {}).items():
            if key in ("delay", "window", "monitor"):
                plain[kind][key] = show_duration(parse_duration(each))
            elif key in ("max_attempts", "parallelism"):
                plain[kind][key] = int(each.text)


def _logging(node: Node) -> dict[str, Any]:
    plain: dict[str, Any] = node.plain()
    if options := node.get("options"):
        plain["options"] = _filled(options)
    return plain


def _networks(node: Node) -> dict[str, Any]:
    return {name: each.plain() or None for name, each in node.map.items()}


def _ulimits(node: Node) -> dict[str, Any]:
    def number(each: Node) -> Any:
        if each.map:
            return {key: number(below) for key, below in each.map.items()}
        return int(each.text) or {}  # so Compose prints a lone zero

    return {name: number(each) for name, each in node.map.items()}


_CHANGES: dict[str, Callable[[Node], Any]] = {
    **dict.fromkeys(("labels", "annotations", "sysctls", "storage_opt"), _filled),
    "environment": _environment,
    "depends_on": _depends_on,
    "ports": _ports,
    "volumes": _volumes,
    "secrets": lambda node: _granted(node, "/run/secrets/"),
    "configs": lambda node: _granted(node, ""),
    "build": _build,
    "healthcheck": _healthcheck,
    "deploy": _deploy,
    "logging": _logging,
    "networks": _networks,
    "ulimits": _ulimits,
    "extra_hosts": lambda node: sorted(node.plain()),
    "pull_policy": lambda node: "missing" if node.text == "if_not_present" else node.text,
    "stop_grace_period": lambda node: show_duration(parse_duration(node)),
    "expose": lambda node: texts(node).plain(),
}
