"""The services that are not Wasm, where the Wasm ones run in-process: containers, each watched as a child of ours."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from wasmdock.compose import Stack
from wasmdock.compose_child import Job, Program, Task
from wasmdock.compose_config import document
from wasmdock.compose_docker import escaped, explain_failure, listed, need_compose
from wasmdock.compose_member import UNHEALTHY, Member
from wasmdock.compose_service import Health, Service
from wasmdock.compose_wire import Address, Wire, open_wire, relay
from wasmdock.digits import read_digits
from wasmdock.docker import Docker

_CREATE_TIME = 3600.0
_ASK_TIME = 20.0
_ASKED = Health((), interval=0.4, timeout=20.0, retries=1 << 60, start_interval=0.4)
_REACHABLE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where containers and host meet: the host's address as containers see it (`host-gateway` or an address) and as
    we can listen on it, and where the ports that containers publish answer."""

    for_containers: str
    listen: str
    engine: str = _REACHABLE


def ports_of(stack: Stack, service: Service) -> list[int]:
    """The ports others may want: published, exposed, or named with the service in an environment or a command."""
    exposed = service.node.get("expose")
    found = {port.target for port in service.ports}
    ports = (read_digits(item.text.partition("/")[0]) for item in (exposed.items if exposed else ()))
    found |= {port for port in ports if port is not None}
    pattern = re.compile(rf"(?<![\w.-]){re.escape(service.name)}:(\d{{1,5}})(?!\d)")
    for other in stack.services:
        texts = (*other.environment.values(), *(other.command or ()), *(other.entrypoint or ()))
        found |= {int(port) for text in texts for port in pattern.findall(text) if 0 < int(port) < 65536}
    return sorted(found)


def linux_document(stack: Stack, ground: Ground, folder: Path) -> dict[str, Any]:
    """What docker compose is given: these services alone, the Wasm ones as hosts, ports to be reached by."""
    whole = with_files(document(stack), folder, stack.variables)
    linux = [each for each in stack.services if not each.is_wasm]
    wasm = [each.name for each in stack.services if each.is_wasm]
    services = {}
    for service in linux:
        entry = dict(whole["services"][service.name])
        entry.pop("depends_on", None)
        entry.pop("profiles", None)
        entry["restart"] = "no"  # the supervisor starts it again
        hosts = [f"{name}={ground.for_containers}" for name in wasm]
        entry["extra_hosts"] = [*entry.get("extra_hosts", ()), *hosts]
        if "network_mode" not in entry:
            host = _REACHABLE if ground.engine == _REACHABLE else "0.0.0.0"
            there = {port.target for port in service.ports}
            inner = [
                {"target": port, "host_ip": host, "protocol": "tcp", "mode": "ingress"}
                for port in ports_of(stack, service)
                if port not in there
            ]
            entry["ports"] = [*entry.get("ports", ()), *inner]
        services[service.name] = entry
    return {**escaped({**whole, "services": services}), "name": stack.name}


def with_files(whole: dict[str, Any], folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Configs and secrets given as text or by a variable -> files: compose 2.40 puts those in at `up` alone."""
    found = dict(whole)
    for kind in ("configs", "secrets"):
        section = {}
        for name, each in whole.get(kind, {}).items():
            text = each.get("content", variables.get(each.get("environment", "")))
            section[name] = each
            if text is not None:
                path = folder / "granted" / kind / name
                path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                path.chmod(0o444)  # read by whatever user the container has, as Docker's own are
                section[name] = {"name": each["name"], "file": str(path)}
        if section:
            found[kind] = section
    return found


def create(stack: Stack, docker: Docker, file: Path, on_output: Callable[[bytes], None] | None) -> dict[str, list[str]]:
    """Have docker compose make the containers, networks and volumes; the containers' names by service."""
    words = ["compose", "-f", str(file), "-p", stack.name, "--project-directory", str(stack.folder)]
    doing = f'creating the containers of project "{stack.name}"'
    need_compose(docker, doing)
    done = docker.cli(*words, "create", "--remove-orphans", timeout=_CREATE_TIME, on_stderr=on_output)
    if done.code != 0:
        raise explain_failure(done, doing)
    there = docker.cli(*words, "ps", "--all", "--format", "json", timeout=_ASK_TIME).check(doing)
    found: dict[str, list[str]] = {}
    for row in listed(there):
        found.setdefault(row["Service"], []).append(row["Name"])
    return found


def linux_members(
    stack: Stack, service: Service, containers: Iterable[str], docker: Docker, ground: Ground, address: str
) -> list[Member]:
    """A service's containers as members: started, followed, stopped and asked for their health by the docker client."""
    env = docker.environment
    wired = ports_of(stack, service) if "network_mode" not in service.node.map else []
    members = []
    for container in containers:
        stop = Program(("docker", "stop", f"--time={service.stop_grace:.0f}", container), env)
        member = Member(
            name=container.removeprefix(f"{stack.name}-"),
            service=service.name,
            job=partial(_same, Program(("docker", "start", "--attach", container), env, signal.SIGTERM)),
            where=service.where,
            depends_on=service.depends_on,
            restart=service.restart,
            attempts=service.attempts,
            stop_grace=service.stop_grace,
            stop_job=partial(_same, stop),
            health=_ASKED if service.health or _has_health(docker, container) else None,
            check=partial(_same, Task(partial(_ask_health, container, env))),
            after_start=partial(_wire, container, env, wired, ground, address, service) if address else None,
            ports=", ".join(f"{port.host or '0.0.0.0'}:{port.published}->{port.target}/tcp" for port in service.ports),
            road="docker",
        )
        members.append(member)
    return members


def _same(job: Job) -> Job:
    return job


def _wire(
    container: str, env: Mapping[str, str], ports: Iterable[int], ground: Ground, address: str, service: Service
) -> list[Job]:
    """A relay from the service's own address to what its container publishes, found when it is first used."""
    what = f'{service.where}: service "{service.name}"'
    wires = [open_wire(address, port, _Published(container, env, port, ground), what) for port in ports]
    return [Task(partial(_relay, wires), partial(_close, wires))] if wires else []


def _relay(wires: list[Wire]) -> int:
    return relay(wires)


def _close(wires: list[Wire]) -> None:
    for wire in wires:
        wire.listener.close()


@dataclass(slots=True)
class _Published:
    """Finds the host's port of a container's port, once."""

    container: str
    env: Mapping[str, str]
    port: int
    ground: Ground
    found: Address | None = None

    def __call__(self) -> Address:
        if self.found is None:
            template = f'{{{{json (index .NetworkSettings.Ports "{self.port}/tcp")}}}}'
            done = _docker(("inspect", "--format", template, self.container), self.env)
            bindings = json.loads(done or "null") or []
            outer = [(each.get("HostIp", ""), int(each["HostPort"])) for each in bindings if each.get("HostPort")]
            if not outer:
                raise OSError(f"{self.container} does not publish {self.port}")
            host, port = outer[0]
            self.found = (self.ground.engine if host in ("", "0.0.0.0", "::") else host, port)
        return self.found


def _docker(words: tuple[str, ...], env: Mapping[str, str]) -> str:
    done = subprocess.run(["docker", *words], env=dict(env), capture_output=True, timeout=_ASK_TIME, check=False)
    return done.stdout.decode().strip()


def _ask_health(container: str, env: Mapping[str, str]) -> int:
    said = _docker(
        ("inspect", "--format", "{{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}", container), env
    )
    return {"healthy": 0, "unhealthy": UNHEALTHY}.get(said, 1)


def _has_health(docker: Docker, container: str) -> bool:
    done = docker.cli("inspect", "--format", "{{if .Config.Healthcheck}}yes{{end}}", container, timeout=_ASK_TIME)
    return done.stdout.strip() == b"yes"


def find_ground(docker: Docker, engine: str) -> Ground:
    """How containers reach this host. engine is the address of an engine in a network of its own, else empty."""
    if engine:
        host = f"{engine.rpartition('.')[0]}.1"
        return Ground(host, host, engine)
    done = docker.cli(
        "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}", timeout=_ASK_TIME
    )
    gateway = done.stdout.decode().strip()
    if done.code != 0 or not gateway:
        return Ground("host-gateway", _REACHABLE)
    import socket

    with socket.socket() as probe:
        try:
            probe.bind((gateway, 0))
        except OSError:  # the engine is in a virtual machine, which hands its gateway to our loopback
            return Ground("host-gateway", _REACHABLE)
    return Ground("host-gateway", gateway)
