"""Stack and images -> the members a supervisor runs in-process."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.compose import Stack
from wasmdock.compose_child import Guest, Job, Program, Task
from wasmdock.compose_member import Member
from wasmdock.compose_service import Health, Port, Service
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.oci.image import Image
from wasmdock.pack import Entry, entry, extract
from wasmdock.runtime import Limits, Mount, RunRequest, Stdio
from wasmdock.wasm_sniff import Form, World, sniff

if TYPE_CHECKING:
    from wasmdock.compose_wire import Address, Wire


@dataclass(frozen=True, slots=True)
class Means:
    """What the in-process road has: folders for state and compiled code, how to find wasmdock-host, names of services.

    hosts is a file that guests see as /etc/hosts, None where nothing has to be found by name.
    """

    folder: Path
    cache: Path
    find_host: Callable[[], Path | None] = lambda: None
    hosts: Path | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)  # by service, where it listens for the others
    containers_find_us: str = ""  # the address at which containers reach what listens here


def wasm_members(stack: Stack, service: Service, image: Image, means: Means) -> list[Member]:
    """A Wasm service's instances. Raises UsageError with file and line for what cannot be had without a container."""
    _refuse(service)
    start = _entry(service, image)
    data = extract(image)
    form, world = sniff(data)
    mounts = _mounts(stack, service, means)
    names = [f"{service.name}-{number}" for number in range(1, service.replicas + 1)]
    shared = Member(
        name="",
        service=service.name,
        job=_nothing,
        where=service.where,
        depends_on=service.depends_on,
        restart=service.restart,
        attempts=service.attempts,
        stop_signal=_signal(service, image),
        stop_grace=service.stop_grace,
        health=service.health,
    )
    env = {**image.env, **service.environment}
    if world is World.HTTP and not start.export:
        return _http(service, names, shared, data, env, mounts, means)
    guest = Guest(data, start, env, _request(service, mounts), means.cache)
    job: Job = guest
    if form is Form.COMPONENT and (host := means.find_host()):  # it may open sockets there, as in a container
        from wasmdock.http_host import Launch, compile_for_host

        code = compile_for_host(host, data, means.cache)
        launch = Launch(code, env, mounts, limits=Limits(memory=service.memory))
        words = (str(host), start.path, *start.argv(service.command or ())[1:])
        job = Program(words, launch.variables(), hosts=means.hosts)
    shared = replace(shared, check=_check(service.health, guest), is_guest=isinstance(job, Guest))
    return [replace(shared, name=name, job=lambda: job) for name in names]


def _nothing() -> Job:
    raise AssertionError("a member without a job")


def _http(
    service: Service,
    names: list[str],
    shared: Member,
    data: bytes,
    env: Mapping[str, str],
    mounts: tuple[Mount, ...],
    means: Means,
) -> list[Member]:
    from wasmdock.http_host import DEFAULT_PORT, MISSING, SERVING, Launch, compile_for_host

    host = means.find_host()
    if host is None:
        raise UnavailableError(f'{service.where}: service "{service.name}": {MISSING.message}', MISSING.hint)
    code = compile_for_host(host, data, means.cache)
    if len(names) > 1:
        raise UsageError(
            f'{service.where}: service "{service.name}": {len(names)} instances cannot share one address in-process',
            "one instance answers many requests at once: leave `replicas` out",
        )
    port = int(env.get("WASMDOCK_HTTP_ADDRESS", f":{DEFAULT_PORT}").rpartition(":")[2] or DEFAULT_PORT)
    address = http_address(service, port, means)
    launch = Launch(code, env, mounts, address, Limits(memory=service.memory))
    job = Program((str(host), service.name), launch.variables(), hosts=means.hosts)
    wires = partial(_wires, service, address, port, means)
    ports = f"{address}->{port}/tcp"
    shared = replace(shared, job=partial(_serving, service, job, address), ready_line=SERVING)
    return [replace(shared, name=name, ports=ports, after_start=wires) for name in names]


def _serving(service: Service, job: Job, address: str) -> Job:
    """The job, once its port is found free: one line now says more than the program's own later."""
    from wasmdock.compose_wire import free_port

    host, _, port = address.rpartition(":")
    if not free_port(host.strip("[]"), int(port)):
        line = next((each.line for each in service.ports if each.published == port), service.node.line)
        raise UnavailableError(
            f'{service.node.file}:{line}: service "{service.name}": port {port} of {host} is in use',
            "publish another port, or end what listens there",
        )
    return job


def _wires(service: Service, address: str, port: int, means: Means) -> list[Job]:
    """Relays from where other services look for it to where it listens."""
    host, _, actual = address.rpartition(":")
    target = ("127.0.0.1" if host == "0.0.0.0" else host.strip("[]"), int(actual))
    wanted = {(means.addresses.get(service.name, ""), port), (means.containers_find_us, port)}
    what = f'{service.where}: service "{service.name}"'
    from wasmdock.compose_wire import open_wire  # sockets cost 5 ms of a start

    wires = [
        open_wire(each, number, partial(_same, target), what)
        for each, number in sorted(wanted)
        if each and (each, number) != target and not (host == "0.0.0.0" and number == target[1])
    ]
    return [Task(partial(_relay, wires), partial(_close, wires))] if wires else []


def _same(address: "Address") -> "Address":
    return address


def _relay(wires: "list[Wire]") -> int:
    from wasmdock.compose_wire import relay

    return relay(wires)


def _close(wires: "list[Wire]") -> None:
    for wire in wires:
        wire.listener.close()


def http_address(service: Service, port: int, means: Means) -> str:
    """Where a service listens: its published address, else its own one among the services, else any port of ours."""
    for each in service.ports:
        if each.target == port and each.published and "-" not in each.published:
            host = each.host or "0.0.0.0"
            return f"[{host}]:{each.published}" if ":" in host else f"{host}:{each.published}"
    own = means.addresses.get(service.name)
    return f"{own}:{port}" if own else "127.0.0.1:0"


def published(service: Service) -> tuple[Port, ...]:
    """The ports that outsiders reach."""
    return tuple(each for each in service.ports if each.published)


def _refuse(service: Service) -> None:
    """Say what a process cannot have, with its line."""
    if service.health and service.health.test[0] == "CMD-SHELL":
        raise UsageError(
            f'{service.node.file}:{service.health.line}: service "{service.name}": '
            "its image holds no shell for a health check",
            'run the guest itself: test: ["CMD", "/GUEST.wasm", ...], or leave the check out',
        )
    if service.node.get("configs"):
        raise UsageError(
            f'{service.where}: service "{service.name}": configs need a container', "mount a folder instead"
        )


def _entry(service: Service, image: Image) -> Entry:
    """What is started: the image's entrypoint, or the service's own where it names the same binary."""
    own = entry(image)
    if service.entrypoint is None:
        return own._replace(defaults=service.command if service.command is not None else own.defaults)
    path, _, export = (service.entrypoint[0] if service.entrypoint else "").partition("#")
    if path.lstrip("/") != own.path.lstrip("/"):
        raise UsageError(
            f'{service.where}: service "{service.name}": the entrypoint "{path}" is not its image\'s "{own.path}"',
            f'begin it with "{own.path}"',
        )
    return Entry(own.path, export, service.entrypoint[1:], service.command or ())


def _request(service: Service, mounts: tuple[Mount, ...]) -> RunRequest:
    limits = Limits() if service.memory is None else Limits(memory=service.memory)
    return RunRequest(mounts=mounts, stdio=Stdio.INHERIT, limits=limits)


def _check(health: Health | None, guest: Guest) -> "_Maker | None":
    """A health check is the guest once more with other arguments, as `docker exec` runs it on our runtime."""
    if health is None:
        return None
    arguments = health.test[2:]
    again = replace(guest, entry=guest.entry._replace(arguments=arguments, defaults=()))
    return _Maker(again)


@dataclass(frozen=True, slots=True)
class _Maker:
    job: Job

    def __call__(self) -> Job:
        return self.job


def _signal(service: Service, image: Image) -> int:
    text = service.stop_signal or image.stop_signal or "SIGTERM"
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    number = int(text) if text.isdigit() else getattr(signal, name, 0)
    if not 0 < int(number) < signal.NSIG:
        raise UsageError(f'{service.where}: service "{service.name}": no stop_signal "{text}"')
    return int(number)


def _mounts(stack: Stack, service: Service, means: Means) -> tuple[Mount, ...]:
    found = []
    for volume in service.volumes:
        place = f"{service.node.file}:{volume.line}"
        if volume.kind == "bind":
            host = Path(volume.source)
            _check_bind(host, volume.creates, place)
        elif volume.kind == "volume":
            host = means.folder / "volumes" / (volume.source or f"{service.name}{volume.target}".replace("/", "-"))
            host.mkdir(parents=True, exist_ok=True)
        elif volume.kind == "tmpfs":
            host = means.folder / "tmpfs" / f"{service.name}{volume.target}".replace("/", "-")
            host.mkdir(parents=True, exist_ok=True)
        else:
            raise UsageError(f'{place}: a volume of type "{volume.kind}" needs a container')
        found.append(Mount(host, volume.target, volume.read_only))
    secrets = _secrets(stack, service, means)
    return (*found, *([secrets] if secrets else []))


def _check_bind(host: Path, creates: bool, place: str) -> None:
    if host.is_dir():
        return
    if host.exists():
        raise UsageError(
            f'{place}: "{host}" is a file: a Wasm guest is given folders only', "mount the folder it lies in"
        )
    if not creates:
        raise UsageError(f'{place}: binding "{host}": no such folder')
    try:
        host.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f'{place}: making the folder "{host}": {error.strerror}') from error


def _secrets(stack: Stack, service: Service, means: Means) -> Mount | None:
    """The service's secrets as a folder of copies, seen at /run/secrets."""
    granted = service.node.get("secrets")
    if granted is None or not granted.items:
        return None
    folder = means.folder / "secrets" / service.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for item in granted.items:
        source = item.map["source"].text
        target = item.get("target")
        name = Path(target.text if target else source).name
        definition = stack.root.get("secrets", source)
        file, variable = (definition.get(key) if definition else None for key in ("file", "environment"))
        try:
            data = (
                Path(file.text).read_bytes() if file else stack.variables[variable.text].encode() if variable else b""
            )
        except OSError as error:
            raise UsageError(
                f'{item.where}: secret "{source}": reading "{file.text if file else ""}": {error.strerror}'
            ) from error
        except KeyError as error:
            raise UsageError(f'{item.where}: secret "{source}": the variable {error} is not set') from error
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
    return Mount(folder, "/run/secrets", True)
