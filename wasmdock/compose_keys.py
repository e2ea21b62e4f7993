"""Which keys a Compose file may have and what kind of value each takes: a table, and what breaks it.

Written after the Compose specification's pages on services, build, deploy, networks, volumes, configs and secrets.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wasmdock.compose_yaml import Node

# A word per key: its name, and the kinds it takes: t text or number, b truth, n number, l list, m mapping, 0 nothing,
# x anything. A kind in braces is a mapping whose keys are the table of that name; with * a mapping of such by name,
# with + a list in which mappings are such.
_TABLES = {
    "file": "version:t name:t services:{*service} networks:{*network} volumes:{*volume} secrets:{*secret} "
    "configs:{*config} include:x models:m",
    "service": "annotations:lm attach:b blkio_config:m build:t{build} cap_add:l cap_drop:l cgroup:t "
    "cgroup_parent:t command:tl0 configs:{+grant} container_name:t cpu_count:nt cpu_percent:nt cpu_period:nt "
    "cpu_quota:nt cpu_rt_period:nt cpu_rt_runtime:nt cpu_shares:nt cpus:nt cpuset:t credential_spec:m "
    "depends_on:l{*dependency} deploy:{deploy}0 develop:m0 device_cgroup_rules:l devices:l dns:tl dns_opt:l "
    "dns_search:tl domainname:t driver_opts:m entrypoint:tl0 env_file:tl environment:lm expose:l "
    "extends:t{extends} external_links:l extra_hosts:lm gpus:tl group_add:l healthcheck:{healthcheck} "
    "hostname:t image:t init:b ipc:t isolation:t label_file:tl labels:lm links:l logging:{logging} "
    "mac_address:t mem_limit:tn mem_reservation:tn mem_swappiness:nt memswap_limit:tn models:lm "
    "network_mode:t networks:lm oom_kill_disable:b oom_score_adj:nt pid:t0 pids_limit:nt platform:t "
    "ports:{+port} post_start:l pre_stop:l privileged:b profiles:l provider:{provider} pull_policy:t "
    "pull_refresh_after:t read_only:b restart:t runtime:t scale:nt secrets:{+grant} security_opt:l "
    "shm_size:tn stdin_open:b stop_grace_period:t stop_signal:t storage_opt:m sysctls:lm tmpfs:tl tty:b "
    "ulimits:m use_api_socket:b user:t userns_mode:t uts:t volumes:{+mount} volumes_from:l working_dir:t",
    "build": "additional_contexts:lm args:lm cache_from:l cache_to:l context:t dockerfile:t "
    "dockerfile_inline:t entitlements:l extra_hosts:lm isolation:t labels:lm network:t no_cache:b platforms:l "
    "privileged:b provenance:tb pull:b sbom:tb secrets:{+grant} shm_size:tn ssh:tlm tags:l target:t ulimits:m",
    "dependency": "condition:t required:b restart:b",
    "extends": "file:t service:t",
    "healthcheck": "disable:b interval:t retries:nt start_interval:t start_period:t test:tl timeout:t",
    "logging": "driver:t options:m",
    "port": "app_protocol:t host_ip:t mode:t name:t protocol:t published:tn target:nt",
    "mount": "bind:m consistency:t image:m read_only:b source:t target:t tmpfs:m type:t volume:m",
    "grant": "gid:t mode:tn source:t target:t uid:t",
    "provider": "options:m type:t",
    "deploy": "endpoint_mode:t labels:lm mode:t placement:m replicas:nt resources:{resources} "
    "restart_policy:m rollback_config:m update_config:m",
    "resources": "limits:m reservations:m",
    "network": "attachable:b driver:t driver_opts:m enable_ipv4:b enable_ipv6:b external:bm internal:b ipam:m "
    "labels:lm name:t",
    "volume": "driver:t driver_opts:m external:bm labels:lm name:t",
    "secret": "driver:t driver_opts:m environment:t external:bm file:t labels:lm name:t template_driver:t",
    "config": "content:t environment:t external:bm file:t labels:lm name:t template_driver:t",
}
_MAY_BE_EMPTY = ("network", "volume", "dependency")
_WORD = re.compile(r"(\w+):(\S+)")
_BRACES = re.compile(r"\{([*+]?)(\w+)\}")
_TRUTHS = ("true", "false", "yes", "no", "on", "off", "y", "n", "1", "0")
_NAMES = {"t": "a text", "b": "true or false", "n": "a number", "l": "a list", "m": "a mapping", "0": "nothing"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a line of a file, and what to do."""

    file: str
    line: int
    message: str
    hint: str = ""


def _parse(table: str) -> dict[str, str]:
    return dict(_WORD.findall(table))


_KEYS = {name: _parse(table) for name, table in _TABLES.items()}


def check_file(root: Node) -> Iterator[Problem]:
    """What a file says that the specification does not know, line by line."""
    yield from _check_map(root, "file", "")


def _check_map(node: Node, table: str, path: str) -> Iterator[Problem]:
    known = _KEYS[table]
    if node.is_null:
        if table not in (*_MAY_BE_EMPTY, "file"):
            yield Problem(node.file, node.line, f'"{path}" is empty')
        return
    for key, value in node.map.items():
        if key.startswith("x-"):
            continue
        below = f"{path}.{key}" if path else key
        if key not in known:
            yield _unknown(node, key, below, known)
        elif value.tag != "!reset":
            yield from _check_value(value, known[key], below)


def _unknown(node: Node, key: str, below: str, known: dict[str, str]) -> Problem:
    import difflib

    near = difflib.get_close_matches(key.replace("-", "_"), known, 1)
    hint = f"did you mean {near[0]}?" if near else "keys of your own begin with x-"
    return Problem(node.file, node.line_of(key), f'unknown key "{below}"', hint)


def _check_value(node: Node, kinds: str, path: str) -> Iterator[Problem]:
    inner = _BRACES.search(kinds)
    plain = _BRACES.sub("", kinds)
    if "x" in plain:
        return
    if inner and inner[1] == "+" and isinstance(node.value, tuple):
        yield from _check_items(node, inner[2], path)
    elif inner and inner[1] != "+" and (isinstance(node.value, dict) or (node.is_null and not plain)):
        yield from _check_inner(node, inner[1], inner[2], path)
    elif not _fits(node, plain):
        shape = "l" if inner and inner[1] == "+" else "m" if inner else ""
        wanted = " or ".join(_NAMES[kind] for kind in (*plain, *shape))
        yield Problem(node.file, node.line, f'"{path}" must be {wanted}, not {_kind(node)}')
    else:
        lists = (item for item in node.items if isinstance(item.value, tuple))
        yield from (Problem(item.file, item.line, f'"{path}": an element is a list') for item in lists)


def _check_items(node: Node, table: str, path: str) -> Iterator[Problem]:
    for item in node.items:
        if isinstance(item.value, dict):
            yield from _check_map(item, table, path)
        elif item.is_null or isinstance(item.value, tuple):
            yield Problem(item.file, item.line, f'"{path}": an element is empty or a list')


def _check_inner(node: Node, many: str, table: str, path: str) -> Iterator[Problem]:
    if not many:
        yield from _check_map(node, table, path)
        return
    for name, each in node.map.items():
        if name.startswith("x-") and table != "service":
            continue
        if isinstance(each.value, dict) or each.is_null:
            yield from _check_map(_at(each, node.line_of(name)), table, f"{path}.{name}")
        elif each.tag != "!reset":
            yield Problem(each.file, each.line, f'"{path}.{name}" must be a mapping, not {_kind(each)}')


def _at(node: Node, line: int) -> Node:
    return Node(node.value, node.file, line, node.tag, node.lines) if node.is_null else node


def _fits(node: Node, kinds: str) -> bool:
    return any(_FITS[kind](node) for kind in kinds)


def _is_scalar(node: Node) -> bool:
    return isinstance(node.value, str | int | float)


_FITS: dict[str, Callable[[Node], bool]] = {
    "t": _is_scalar,
    "b": lambda node: isinstance(node.value, bool) or (isinstance(node.value, str) and node.value.lower() in _TRUTHS),
    "n": lambda node: isinstance(node.value, int | float) or node.text.replace(".", "", 1).lstrip("-").isdigit(),
    "l": lambda node: isinstance(node.value, tuple) or node.is_null,
    "m": lambda node: isinstance(node.value, dict) or node.is_null,
    "0": lambda node: node.is_null,
}


def _kind(node: Node) -> str:
    if node.is_null:
        return "nothing"
    if isinstance(node.value, dict):
        return "a mapping"
    return "a list" if isinstance(node.value, tuple) else f'"{node.text[:40]}"'
