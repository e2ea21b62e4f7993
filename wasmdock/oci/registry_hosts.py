"""Hosts: which are this machine itself, and through which proxy the others are reached."""

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from wasmdock.errors import UsageError
from wasmdock.oci.fields import without_login

_PROXY_HINT = "write http://[user:password@]host:port; in a password / is %2F, @ is %40, : is %3A"


class Proxy(NamedTuple):
    """A proxy's URL, with its login, and the variable that names it; both empty: none."""

    url: str = ""
    variable: str = ""

    @property
    def shown(self) -> str:
        """Host and port, fit for a message."""
        return without_login(urlsplit(self.url).netloc)


def is_loopback(host: str) -> bool:
    """Whether the name can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(name: str) -> str:
    """The host of `host:port`."""
    return urlsplit(f"//{name}").hostname or ""


def proxy_for(url: str, environment: Mapping[str, str]) -> Proxy:
    """The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY (small letters too). Raises UsageError."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    small = f"{parts.scheme}_proxy"
    name = small if environment.get(small) else small.upper()
    proxy = environment.get(name, "")
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not proxy or is_loopback(host) or _is_exempt(host, port, exempt):
        return Proxy()
    return Proxy(_checked(proxy if "://" in proxy else f"http://{proxy}", name), name)


def _checked(proxy: str, name: str) -> str:
    """The same URL. Raises UsageError without any of it: half of a password may have become a host or a path."""
    try:
        parts = urlsplit(proxy)
        is_address = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or parts.path not in ("", "/") or parts.query or parts.fragment or not proxy.isprintable():
        raise UsageError(f"reading {name}: it is not the address of a proxy", _PROXY_HINT)
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"reading {name}: it is neither an http nor an https proxy", _PROXY_HINT)
    return proxy


def _is_exempt(host: str, port: int, exempt: str) -> bool:
    for entry in (part.strip().lower() for part in exempt.split(",")):
        name, wanted = _port_apart(entry)
        if wanted not in ("", str(port)):
            continue
        bare = name.removeprefix("*").lstrip(".")
        if entry == "*" or (bare and (host == bare or host.endswith(f".{bare}"))) or _is_inside(host, name):
            return True
    return False


def _port_apart(entry: str) -> tuple[str, str]:
    """`host:port`, `[::1]:port` -> the name and the port; an address of IPv6 alone has colons of its own."""
    name, _, port = entry.rpartition(":")
    if not port.isdigit() or (":" in name and not name.endswith("]")):
        name, port = entry, ""
    return name.removeprefix("[").removesuffix("]"), port


def _is_inside(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
