"""wasmdock compose in-process: a supervisor here, or one that goes on without us."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wasmdock.cli import INTERRUPTED
from wasmdock.cli.compose import now, state_of
from wasmdock.cli.compose_images import find_host_program, image_of
from wasmdock.cli.compose_output import Colours
from wasmdock.cli.context import Context
from wasmdock.compose_plan import Means, wasm_members
from wasmdock.compose_state import Entry, LogWriter, State
from wasmdock.compose_supervisor import Line, Supervisor
from wasmdock.errors import UnavailableError, WasmdockError

if TYPE_CHECKING:
    from wasmdock.compose import Service, Stack
    from wasmdock.compose_supervisor import Member


def up_in_process(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    """Start Wasm services here; the rest under docker compose."""
    linux = [each for each in stack.services if not each.is_wasm]
    if linux:
        return _with_linux(stack, options, context)
    members = plan(stack, context)
    state = state_of(stack, context)
    state.hold()
    if options.detach:
        return _detached(stack, members, state)
    return _attached(stack, members, state)


def _with_linux(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    names = ", ".join(each.name for each in stack.services if not each.is_wasm)
    try:
        context.docker  # noqa: B018  # asks whether it answers
    except UnavailableError as error:
        raise UnavailableError(
            f"starting the services that are not Wasm ({names}): {error.message}",
            f"{error.hint}\nor start the others alone: --only-wasm",
        ) from error
    raise UnavailableError("mixed: not yet")


def plan(stack: "Stack", context: Context) -> "list[Member]":
    """The members of all Wasm services."""
    state = state_of(stack, context)
    means = Means(state.folder, context.code_cache, find_host_program(context))
    found: list[Member] = []
    for service in stack.services:
        found += wasm_members(stack, service, image_of(stack, service, context), means)
    return found


def _attached(stack: "Stack", members: "list[Member]", state: State) -> int:
    """Watch here, print all lines."""
    colours = Colours([each.name for each in members], sys.stdout.isatty())

    def show(line: Line) -> None:
        stream = sys.stdout if line.stream == 1 else sys.stderr
        print(f"{colours.prefix(line.name)}{line.text.decode('utf-8', 'replace')}", file=stream, flush=True)

    state.claim()
    supervisor = supervise(members, state, show)
    if supervisor.error:
        raise supervisor.error
    return INTERRUPTED if supervisor.was_stopped else 0


def _detached(stack: "Stack", members: "list[Member]", state: State) -> int:
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
        answer = file.read()
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
                os.write(writer, json.dumps(message).encode())
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
    members: "list[Member]", state: State, show: Callable[[Line], None], on_ready: Callable[[], None] = lambda: None
) -> Supervisor:
    """Run the members to their end; keep their lines and what they do on disk."""
    log = LogWriter(state.log)

    def take(line: Line) -> None:
        log.write(Entry(now(), line.name, line.stream, line.text.decode("utf-8", "replace")))
        show(line)

    supervisor = Supervisor(members, take, lambda known: state.write(describe(known)), on_ready)
    supervisor.run()
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
    means = Means(state.folder, context.code_cache, find_host_program(context))
    member = wasm_members(stack, once, image_of(stack, service, context), means)[0]
    sys.stdout.flush()
    sys.stderr.flush()
    pid = spawn(member.job(), 1, 2, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.kill(pid, member.stop_signal))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code
