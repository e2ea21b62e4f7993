"""Compose's texts for sizes, durations, ports and volumes -> numbers and fields, and back."""

import re
from pathlib import Path, PurePosixPath

from wasmdock.compose_yaml import Node
from wasmdock.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)(?:i?[bB])?")
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w)")
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:.]+\]|\d+(?:\.\d+){3}):)?(?:(?P<published>\d+(?:-\d+)?)?:)?(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>\w+))?"
)
_SELINUX = ("z", "Z")
_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_MOST_PORTS = 1000


def parse_bytes(node: Node) -> int:
    """`64m`, `1gb`, 2000000 -> bytes; powers of 1024. Raises UsageError."""
    match = _SIZE.fullmatch(node.text.strip())
    if not match:
        raise UsageError(f'{node.where}: "{node.text}" is no size', "write 64m, 1g or a number of bytes")
    return int(float(match[1]) * (1 << 10 * " kmgtp".index(match[2].lower() or " ")))


def parse_duration(node: Node) -> float:
    """`1m30s` -> seconds; a number alone is not taken, as in Compose. Raises UsageError."""
    text = node.text.strip()
    parts = _PART.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f'{node.where}: "{text}" is no duration', "write 500ms, 10s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """Seconds as Go writes a duration: 1m30s, 500ms, 40s."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def parse_port(node: Node) -> list[dict[str, int | str]]:
    """A short port such as `127.0.0.1:8000-8001:80-81/udp` -> long ones. Raises UsageError."""
    text = node.text.strip()
    match = _PORT.fullmatch(text)
    if not match:
        raise UsageError(f'{node.where}: "{text}" is no port', "write 8080:80, 127.0.0.1:8080:80/tcp or 80")
    targets = _range(match["target"], node)
    published = match["published"] or ""
    shared: dict[str, int | str] = {"mode": "ingress", "protocol": match["protocol"] or "tcp"}
    if match["ip"]:
        shared["host_ip"] = match["ip"].strip("[]")
    outer = _range(published, node) if published else []
    if published and len(targets) == 1 and len(outer) > 1:
        return [{**shared, "target": targets[0], "published": published}]
    if published and len(outer) != len(targets):
        raise UsageError(f'{node.where}: "{text}" publishes {len(outer)} ports for {len(targets)}')
    if not published:
        return [{**shared, "target": target} for target in targets]
    return [{**shared, "target": target, "published": str(out)} for target, out in zip(targets, outer, strict=True)]


def _range(text: str, node: Node) -> list[int]:
    first, _, last = text.partition("-")
    low, high = int(first), int(last or first)
    if not 0 <= low <= high <= 65535 or high - low >= _MOST_PORTS:
        raise UsageError(f'{node.where}: "{text}" is no port or range of ports from 0 to 65535')
    return list(range(low, high + 1))


def parse_volume(node: Node, folder: Path, home: str) -> dict[str, object]:
    """A short volume such as `./data:/data:ro` -> its long form. Raises UsageError."""
    parts = node.text.split(":")
    if not all(parts) or len(parts) > 3 or not parts:
        raise UsageError(f'{node.where}: "{node.text}" is no volume', "write SOURCE:/TARGET[:ro]")
    if len(parts) == 1:
        return {"type": "volume", "target": clean(parts[0]), "volume": {}}
    source, target, options = parts[0], clean(parts[1]), parts[2].split(",") if len(parts) == 3 else []
    is_bind = source[0] in "./~\\"
    found: dict[str, object] = {"type": "bind" if is_bind else "volume"}
    found |= {"source": resolve(source, folder, home) if is_bind else source, "target": target}
    inner: dict[str, object] = {}
    for option in options:
        if option == "ro":
            found["read_only"] = True
        elif option == "nocopy":
            inner["nocopy"] = True
        elif option in _SELINUX and is_bind:
            inner["selinux"] = option
        elif option in _SELINUX:
            found["bind"] = {"selinux": option}
        elif option in _PROPAGATIONS and is_bind:
            inner["propagation"] = option
    if is_bind:
        return {**found, "bind": {**inner, "create_host_path": True}}
    return {**found, "volume": inner}


def clean(path: str) -> str:
    """A container's path without a slash at its end."""
    return str(PurePosixPath(path)) if path.startswith("/") else path


def resolve(text: str, folder: Path, home: str) -> str:
    """A path of the host, absolute; relative ones below `folder`."""
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    joined = folder / text
    parts: list[str] = []
    for part in joined.parts:  # without the file system's links, as Compose does it
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part not in (".", ".."):
            parts.append(part)
    return str(Path(*parts))
