"""Stack and images -> the members a supervisor runs in-process."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.compose import Stack
from wasmdock.compose_child import Guest, Job, Program, Task
from wasmdock.compose_granted import granted_files, granted_mounts, is_file_mount
from wasmdock.compose_member import Member
from wasmdock.compose_service import Port, Service
from wasmdock.digits import read_digits
from wasmdock.errors import UnavailableError, UsageError, WasmdockError
from wasmdock.oci.image import Image
from wasmdock.pack import Entry, entry, extract
from wasmdock.runtime import CAPABILITIES_LABEL, Limits, Mount, RunRequest, Stdio
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
    """A Wasm service's instances. Raises UsageError with file and line for what cannot be had without a container.

    Raises GuestError where it can ask for more than its author listed in the image.
    """
    start = _entry(service, image)
    data = extract(image)
    _hold_to_label(service, image, data)
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
        shared = replace(shared, after_start=partial(_published_wires, service))
    check = None
    if service.health:
        from wasmdock.compose_check import guest_check

        check = guest_check(service, guest)
    shared = replace(shared, check=check, is_guest=isinstance(job, Guest))
    return [replace(shared, name=name, job=lambda: job) for name in names]


def _hold_to_label(service: Service, image: Image, data: bytes) -> None:
    """Refuse a guest that can ask for more than its author listed in the image, as `run` does."""
    if CAPABILITIES_LABEL not in image.labels:
        return
    from wasmdock.grants import hold_to_label

    try:
        hold_to_label(image.labels, data)
    except WasmdockError as error:
        error.message = f'{service.where}: service "{service.name}": {error.message}'
        raise


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
            f'{_line_of_replicas(service)}: service "{service.name}": {len(names)} instances cannot share one address '
            "in-process",
            "one instance answers many requests at once: leave `replicas` out",
        )
    port = int(env.get("WASMDOCK_HTTP_ADDRESS", f":{DEFAULT_PORT}").rpartition(":")[2] or DEFAULT_PORT)
    address = http_address(service, port, means)
    launch = Launch(code, env, mounts, address, Limits(memory=service.memory))
    job = Program((str(host), service.name), launch.variables(), hosts=means.hosts)
    wires = partial(_wires, service, address, port, means)
    ports = f"{address}->{port}/tcp"
    check = None
    if service.health:
        from wasmdock.compose_check import http_check

        check = http_check(service, port, _reached(address))
    shared = replace(shared, job=partial(_serving, service, job, address), ready_line=SERVING, check=check)
    return [replace(shared, name=name, ports=ports, after_start=wires) for name in names]


def _line_of_replicas(service: Service) -> str:
    found = service.node.get("scale") or service.node.get("deploy", "replicas")
    return found.where if found else service.where


def _serving(service: Service, job: Job, address: str) -> Job:
    """The job, once its port is found free: one line now says more than the program's own later."""
    from wasmdock.ports import is_free  # sockets cost 5 ms of a start

    host, _, port = address.rpartition(":")
    if not is_free(host.strip("[]"), int(port)):
        line = next((each.line for each in service.ports if each.published == port), service.node.line)
        raise UnavailableError(
            f'{service.node.file}:{line}: service "{service.name}": port {port} of {host} is in use',
            "publish another port, or end what listens there",
        )
    return job


def _published_wires(service: Service) -> list[Job]:
    """Relays to a command that listens on all addresses, for ports published under other numbers than its own."""
    from wasmdock.compose_wire import open_wire

    what = f'{service.where}: service "{service.name}"'
    wires = [
        open_wire(each.host or "0.0.0.0", port, partial(_same, ("127.0.0.1", each.target)), what)
        for each in service.ports
        if (port := read_digits(each.published)) is not None and port != each.target and each.protocol == "tcp"
    ]
    return [Task(partial(_relay, wires), partial(_close, wires))] if wires else []


def _wires(service: Service, address: str, port: int, means: Means) -> list[Job]:
    """Relays from where other services look for it to where it listens."""
    target = _reached(address)
    wanted = {(means.addresses.get(service.name, ""), port), (means.containers_find_us, port)}
    what = f'{service.where}: service "{service.name}"'
    from wasmdock.compose_wire import open_wire  # sockets cost 5 ms of a start

    wires = [
        open_wire(each, number, partial(_same, target), what)
        for each, number in sorted(wanted)
        if each and (each, number) != target and not (address.startswith("0.0.0.0:") and number == target[1])
    ]
    return [Task(partial(_relay, wires), partial(_close, wires))] if wires else []


def _reached(address: str) -> "Address":
    """Where we reach what listens on this address."""
    host, _, port = address.rpartition(":")
    return ("127.0.0.1" if host == "0.0.0.0" else host.strip("[]"), int(port))


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
    if own := means.addresses.get(service.name):
        return f"{own}:{port}"
    from wasmdock.ports import free_port

    return f"127.0.0.1:{free_port('127.0.0.1')}"


def published(service: Service) -> tuple[Port, ...]:
    """The ports that outsiders reach."""
    return tuple(each for each in service.ports if each.published)


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


def _signal(service: Service, image: Image) -> int:
    text = service.stop_signal or image.stop_signal or "SIGTERM"
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    number = read_digits(text) or int(getattr(signal, name, 0))
    if not 0 < number < signal.NSIG:
        raise UsageError(f'{service.where}: service "{service.name}": no stop_signal "{text}"')
    return number


def _mounts(stack: Stack, service: Service, means: Means) -> tuple[Mount, ...]:
    found = []
    for volume in service.volumes:
        place = f"{service.node.file}:{volume.line}"
        if is_file_mount(volume):
            continue
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
    files = granted_files(stack, service)
    return (*found, *granted_mounts(files, means.folder / "files" / service.name, found))


def _check_bind(host: Path, creates: bool, place: str) -> None:
    if host.is_dir():
        return
    if host.exists():
        raise UsageError(f'{place}: "{host}" is neither a folder nor a file')
    if not creates:
        raise UsageError(f'{place}: binding "{host}": no such folder')
    try:
        host.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f'{place}: making the folder "{host}": {error.strerror}') from error
