"""What a Docker engine says of itself, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CONTAINERD_STORE = "io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself; a text is empty where it does not say.

    id tells engines apart. containerd_store: images lie in containerd, as Wasm images need it. runtimes are
    the names in its configuration: a containerd shim on its PATH works without being listed.
    """

    id: str
    name: str
    version: str
    api_version: str
    os: str
    architecture: str
    kernel: str
    system: str
    containerd: str
    runc: str
    storage_driver: str
    containerd_store: bool
    runtimes: tuple[str, ...]
    default_runtime: str
    cgroup: str
    rootless: bool
    images: int


def parse_facts(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """Turn the answers of /info and /version into facts.

    What is null or missing is not known. TypeError, ValueError or AttributeError where it is of another shape.
    """
    components = {part.get("Name"): _text(part, "Version") for part in version.get("Components") or ()}
    status = info.get("DriverStatus") or ()
    return EngineFacts(
        id=_text(info, "ID"),
        name=_text(info, "Name"),
        version=_text(info, "ServerVersion"),
        api_version=_text(version, "ApiVersion"),
        os=_text(info, "OSType"),
        architecture=_text(version, "Arch"),
        kernel=_text(info, "KernelVersion"),
        system=_text(info, "OperatingSystem"),
        containerd=components.get("containerd", ""),
        runc=components.get("runc", ""),
        storage_driver=_text(info, "Driver"),
        containerd_store=any(list(row) == ["driver-type", _CONTAINERD_STORE] for row in status),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        default_runtime=_text(info, "DefaultRuntime"),
        cgroup=" v".join(filter(None, (_text(info, "CgroupDriver"), _text(info, "CgroupVersion")))),
        rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
        images=int(info.get("Images") or 0),
    )


def _text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""
