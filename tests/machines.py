"""Machines as the doctor would find them, for tables of what can be wrong."""

from dataclasses import replace
from typing import Any

from wasmdock.docker_facts import EngineFacts
from wasmdock.doctor_facts import Cargo, Disk, Facts, Shim, ShimKind, Tool, Trial

ENGINE = EngineFacts(
    id="id",
    name="vm",
    version="26.1.5",
    api_version="1.45",
    os="linux",
    architecture="amd64",
    kernel="6.12",
    system="Debian GNU/Linux 13 (trixie)",
    containerd="1.7.24",
    runc="1.1.15",
    storage_driver="overlayfs",
    containerd_store=True,
    runtimes=("io.containerd.runc.v2", "runc"),
    default_runtime="runc",
    cgroup="systemd v2",
    rootless=False,
    images=3,
)
GIB = 1 << 30
HEALTHY = Facts(
    system="Linux 6.12 x86_64",
    python="3.11.7",
    wasmtime=Tool("50.0.1"),
    process=Trial(True, 0.03),
    address="unix:///var/run/docker.sock",
    engine=ENGINE,
    client=Tool("Docker version 26.1.5"),
    buildx=Tool("buildx 0.13.1"),
    compose=Tool("Docker Compose version 2.26.1"),
    shim=Shim(ShimKind.OURS, "/usr/local/bin/containerd-shim-wasmtime-v1", "48.0.8"),
    prefix="/usr/local",
    docker=Trial(True, 0.3),
    cargo=Cargo("rustc 1.85.1", targets=("wasm32-wasip1", "wasm32-wasip2")),
    cache=Disk("/home/me/.cache/wasmdock", 50 * GIB),
    engine_disk=Disk("/var/lib/docker", 50 * GIB),
    ca_bundle=Disk("/etc/ssl/certs/ca-certificates.crt"),
    is_root=True,
)


def machine(**changes: Any) -> Facts:
    """A healthy machine but for these facts."""
    return replace(HEALTHY, **changes)


def engine(**changes: Any) -> EngineFacts:
    """A healthy engine but for these facts; a version brings the API it speaks."""
    if "version" in changes:
        changes = {"api_version": _APIS.get(changes["version"].partition(".")[0], ""), **changes}
    return replace(ENGINE, **changes)


_APIS = {"20": "1.41", "26": "1.45", "27": "1.47", "28": "1.51", "29": "1.52", "2": "1.56"}
