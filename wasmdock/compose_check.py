"""A Wasm service's health check -> the job that asks, without a container to exec in."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from wasmdock.compose_child import Guest, Job, Task
from wasmdock.compose_probe import Probe, read_probe
from wasmdock.compose_service import Service
from wasmdock.errors import UsageError

Address = tuple[str, int]
Check = Callable[[], Job]


def guest_check(service: Service, guest: Guest) -> Check | None:
    """A health check is the guest once more with other arguments, as `docker exec` runs it on our runtime."""
    health = service.health
    if health is None:
        return None
    place = f"{service.node.file}:{health.line}"
    program = health.test[1] if health.test[1:] else ""
    if health.test[0] == "CMD-SHELL" or program.lstrip("/") != guest.entry.path.lstrip("/"):
        what = "shell" if health.test[0] == "CMD-SHELL" else f'"{program}"'
        raise UsageError(
            f'{place}: service "{service.name}": its image holds no {what} for a health check',
            f'run the guest itself: test: ["CMD", "{guest.entry.path}", ...], or leave the check out',
        )
    return partial(_same, replace(guest, entry=guest.entry._replace(arguments=health.test[2:], defaults=())))


def http_check(service: Service, port: int, target: Address) -> Check | None:
    """A health check by curl or wget of the service's own port: the request alone, for its image holds neither."""
    health = service.health
    if health is None:
        return None
    place = f"{service.node.file}:{health.line}"
    probe = read_probe(health.test, service.name)
    if probe is None or probe.port != port:
        cause = (
            "is no request to itself by curl or wget" if probe is None else f"asks port {probe.port}, not its {port}"
        )
        raise UsageError(
            f'{place}: service "{service.name}": its health check {cause}, '
            "and an http component can be asked nothing else",
            f'write test: ["CMD", "curl", "-f", "http://localhost:{port}/"], or leave the check out',
        )
    return partial(_same, Task(partial(_asked, probe, target)))


def _asked(probe: Probe, target: Address) -> int:
    try:
        return 0 if probe.is_answered(*target) else 1
    except OSError:
        return 1


def _same(job: Job) -> Job:
    return job
