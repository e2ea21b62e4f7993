"""wasmdock compose in-process: a supervisor here, or one that goes on without us."""

import argparse
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wasmdock.cli import INTERRUPTED
from wasmdock.cli.compose_images import find_host_program, image_of
from wasmdock.cli.compose_output import Colours
from wasmdock.cli.compose_project import now, state_of
from wasmdock.cli.context import Context
from wasmdock.compose_child import Guest, prepare
from wasmdock.compose_member import Line
from wasmdock.compose_plan import Means, wasm_members
from wasmdock.compose_state import Entry, LogWriter, State
from wasmdock.compose_supervisor import Supervisor
from wasmdock.errors import UnavailableError, WasmdockError

if TYPE_CHECKING:
    from wasmdock.compose import Stack
    from wasmdock.compose_member import Member
    from wasmdock.compose_service import Service
    from wasmdock.docker import Docker
    from wasmdock.oci.image import Image

_KILL_TIME = 60.0


def up_in_process(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    """Start Wasm services here; the rest under docker compose."""
    linux = [each for each in stack.services if not each.is_wasm]
    docker = _engine_for(linux, context) if linux else None
    images = {each.name: image_of(stack, each, context, options.build) for each in stack.services if each.is_wasm}
    state = state_of(stack, context)
    state.hold()
    try:
        members = plan(stack, images, docker, context)
    except BaseException:
        state.release()
        raise
    if options.detach:
        code = _detached(members, state)
        open_to_all = {each.name for each in stack.services if any(port.published for port in each.ports)}
        for member in members:
            where = published_at(member.ports) if member.service in open_to_all else ""
            if where:  # of Linux services nobody knows what they speak
                context.say(f"wasmdock: {member.name}: {'http://' if member.road == 'process' else ''}{where}")
        return code
    code = _attached(members, state, context)
    if docker and code == INTERRUPTED:
        docker.cli("compose", "-p", stack.name, "kill", timeout=_KILL_TIME)  # those whose client had to be killed
    return code


def published_at(ports: str) -> str:
    """Where the first published port is reached from this machine; empty where there is none."""
    address = ports.partition("->")[0]
    host, _, port = address.rpartition(":")
    if not port or port == "0":
        return ""
    return f"{'localhost' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def _engine_for(linux: "list[Service]", context: Context) -> "Docker":
    names = ", ".join(each.name for each in linux)
    try:
        return context.docker
    except UnavailableError as error:
        raise UnavailableError(
            f"{linux[0].where}: starting the services that are not Wasm ({names}): {error.message}",
            f"{error.hint}\nor start the others alone: --only-wasm",
        ) from error


def plan(stack: "Stack", images: "Mapping[str, Image]", docker: "Docker | None", context: Context) -> "list[Member]":
    """The members of all services, in the order they start."""
    state = state_of(stack, context)
    means = Means(state.folder, context.code_cache, lambda: find_host_program(context))
    if len(stack.services) > 1 and sys.platform == "linux":
        from wasmdock.compose_wire import addresses, write_hosts  # sockets cost 5 ms of a start

        known = addresses(str(state.folder), (each.name for each in stack.services))
        means = replace(means, addresses=known, hosts=write_hosts(state.folder / "hosts", known))
    if docker:
        from wasmdock.compose_docker import write_override
        from wasmdock.compose_linux import create, find_ground, linux_document, linux_members

        ground = find_ground(docker, context.environment.get("WASMDOCK_ENGINE_ADDRESS", ""))
        means = replace(means, containers_find_us=ground.listen)
    wasm = [each for each in stack.services if each.is_wasm]  # first: what is refused leaves no containers behind
    found = {each.name: wasm_members(stack, each, images[each.name], means) for each in wasm}
    if docker:
        file = write_override(state.folder, linux_document(stack, ground, state.folder), "linux.json")
        assert file
        containers = create(stack, docker, file, pass_on if context.is_terminal and not context.quiet else None)
        for service in (each for each in stack.services if not each.is_wasm):
            address = means.addresses.get(service.name, "")
            names = containers.get(service.name, ())
            found[service.name] = linux_members(stack, service, names, docker, ground, address)
    return [member for service in stack.services for member in found.get(service.name, ())]


def pass_on(chunk: bytes) -> None:
    """Show what docker compose says as it comes."""
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()


def _attached(members: "list[Member]", state: State, context: Context) -> int:
    """Watch here, print all lines, and say who ends with what."""
    colours = Colours([each.name for each in members], sys.stdout.isatty())

    def show(line: Line) -> None:
        stream = sys.stdout if line.stream == 1 else sys.stderr
        print(f"{colours.prefix(line.name)}{line.text.decode('utf-8', 'replace')}", file=stream, flush=True)

    state.claim()
    supervisor = supervise(members, state, show, on_end=context.say)
    if supervisor.error:
        raise supervisor.error
    return INTERRUPTED if supervisor.was_stopped else 0


def _detached(members: "list[Member]", state: State) -> int:
    """Leave the watching to a process of its own; come back when all have started or one could not."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _go_on_alone(members, state, writer)
    os.close(writer)
    state.release()
    with os.fdopen(reader, "rb") as file:
        answer = file.readline()  # not to its end: the services hold the other end, too
    told: dict[str, Any] = json.loads(answer) if answer else {"error": "starting the supervisor: it died"}
    if "error" in told:
        os.waitpid(pid, 0)
        raise WasmdockError(told["error"], told.get("hint", ""))
    return 0


def _go_on_alone(members: "list[Member]", state: State, writer: int) -> None:
    """The supervisor's process: its own session, no streams but the log."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        state.claim()
        told = False

        def tell(message: dict[str, str]) -> None:
            nonlocal told
            if not told:
                os.write(writer, json.dumps(message).encode() + b"\n")
                os.close(writer)
                told = True

        try:
            error = supervise(members, state, lambda _: None, lambda: tell({})).error
        except WasmdockError as failure:
            error = failure
        if error:
            tell({"error": error.message, "hint": error.hint})
        tell({})
        code = 0
    finally:
        os._exit(code)


def supervise(
    members: "list[Member]",
    state: State,
    show: Callable[[Line], None],
    on_ready: Callable[[], None] = lambda: None,
    on_end: Callable[[str], None] = lambda _: None,
) -> Supervisor:
    """Run the members to their end; keep their lines and what they do on disk."""
    gc.enable()
    log = LogWriter(state.log)

    def take(line: Line) -> None:
        log.write(Entry(now(), line.name, line.stream, line.text.decode("utf-8", "replace")))
        show(line)

    guests = [job for member in members if member.is_guest and isinstance(job := member.job(), Guest)]
    if len(guests) > 1:
        import wasmdock.inprocess  # noqa: F401  # imported once, shared by all that are forked

        prepare(guests)
        gc.freeze()  # else each child's first look for garbage would make these pages its own
    supervisor = Supervisor(members, take, lambda known: state.write(describe(known)), on_ready, on_end)
    supervisor.run()
    if supervisor.error:  # the only place where one is found later that nobody was there to read
        log.write(Entry(now(), "wasmdock", 2, supervisor.error.message))
    return supervisor


def describe(supervisor: Supervisor) -> dict[str, Any]:
    """What `ps` shows."""
    rows = [
        {
            "name": life.member.name,
            "service": life.member.service,
            "road": life.member.road,
            "status": str(life.status),
            "pid": life.pid,
            "code": life.code,
            "healthy": life.healthy,
            "restarts": life.restarts,
            "ports": life.member.ports,
        }
        for life in supervisor.lives.values()
    ]
    return {"pid": os.getpid(), "linux": any(row["road"] == "docker" for row in rows), "members": rows}


def run_in_process(stack: "Stack", service: "Service", options: argparse.Namespace, context: Context) -> int:
    """One service on our own streams; its exit code is ours."""
    from wasmdock.compose_child import spawn

    command = tuple(options.args) or service.command
    once = replace(service, command=command, replicas=1, ports=(), health=None)
    state = state_of(stack, context)
    means = Means(state.folder, context.code_cache, lambda: find_host_program(context))
    member = wasm_members(stack, once, image_of(stack, service, context), means)[0]
    sys.stdout.flush()
    sys.stderr.flush()
    pid = spawn(member.job(), 1, 2, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.kill(pid, member.stop_signal))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code
