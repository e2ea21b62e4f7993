"""wasmdock compose: the actions, and how a project is found."""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.cli.compose_output import Colours
from wasmdock.cli.context import Context
from wasmdock.errors import UsageError

if TYPE_CHECKING:
    from wasmdock.compose import Stack
    from wasmdock.compose_file import Sources
    from wasmdock.compose_state import State


def up(options: argparse.Namespace, context: Context) -> int:
    """Start the services and watch them, or leave them to a process of their own."""
    from wasmdock.cli.compose_up import start

    return start(load(options, context, options.services), options, context)


def run(options: argparse.Namespace, context: Context) -> int:
    """Run one service once."""
    from wasmdock.cli.compose_up import run_once

    return run_once(load(options, context, [options.service]), options, context)


def down(options: argparse.Namespace, context: Context) -> int:
    """Stop what runs in-process, then what docker compose runs."""
    from wasmdock.cli.compose_up import remove

    return remove(load(options, context, every=True), options, context)


def ps(options: argparse.Namespace, context: Context) -> int:
    """One line per instance."""
    from wasmdock.cli.compose_up import docker_rows

    stack = load(options, context, every=True)
    state = state_of(stack, context)
    alive = bool(state.holder())
    rows = [{**row, "status": _status(row, alive)} for row in state.read().get("members", [])]
    rows += docker_rows(stack, context, rows)
    if options.format == "json":
        print(json.dumps(rows))
        return 0
    table = [("NAME", "ROAD", "STATUS", "PID", "PORTS")]
    table += [(row["name"], row["road"], row["status"], str(row["pid"] or "-"), row["ports"] or "-") for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _status(row: dict[str, object], alive: bool) -> str:
    status = str(row["status"])
    if not alive and status != "exited":
        return "killed with wasmdock"
    if status == "exited":
        return f"exited ({row['code']})"
    health = {True: " (healthy)", False: " (unhealthy)", None: ""}[row.get("healthy")]  # type: ignore[index]
    restarts = f", {row['restarts']} restarts" if row.get("restarts") else ""
    return f"{status}{health}{restarts}"


def logs(options: argparse.Namespace, context: Context) -> int:
    """What the services printed, in order."""
    from wasmdock.cli.compose_up import docker_logs
    from wasmdock.compose_state import follow_log, read_log

    stack = load(options, context, every=True)
    for name in options.services:
        stack.service(name)
    state = state_of(stack, context)
    document = state.read()
    if not document:
        return docker_logs(stack, options, context)
    names = {row["name"]: row["service"] for row in document["members"]}
    colours = Colours(list(names), sys.stdout.isatty())
    entries = follow_log(state) if options.follow else read_log(state.log)
    wanted = (each for each in entries if not options.services or names.get(each.name) in options.services)
    shown = list(wanted)[-options.tail or len(names) :] if options.tail is not None and not options.follow else wanted
    for entry in shown:
        stamp = f"{datetime.fromtimestamp(entry.at / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%fZ} " if options.timestamps else ""
        print(f"{colours.prefix(entry.name)}{stamp}{entry.text}", flush=options.follow)
    return 0


def config(options: argparse.Namespace, context: Context) -> int:
    """The file as it is understood, as JSON."""
    from wasmdock.compose_config import document

    stack = load(options, context)
    if options.services:
        print("\n".join(each.name for each in stack.services))
        return 0
    print(json.dumps(document(stack), indent=2))
    return 0


def lint(options: argparse.Namespace, context: Context) -> int:
    """Findings, line by line; 1 where one is an error."""
    from wasmdock.cli.compose_lint import report

    return report(options, context)


def sources_of(options: argparse.Namespace, context: Context) -> "Sources":
    """The files that make up the project."""
    from wasmdock.compose_file import find_sources

    return find_sources(options.files or (), context.environment, Path.cwd(), options.project_directory)


def load(
    options: argparse.Namespace, context: Context, only: "list[str] | None" = None, every: bool = False
) -> "Stack":
    """The project the flags name; every takes services of all profiles."""
    from wasmdock.compose import load_stack

    stack = load_stack(
        sources_of(options, context),
        name=options.project_name,
        profiles=["*"] if every else options.profiles or (),
        only=only or (),
        home=context.environment.get("HOME", "/"),
    )
    for name, where in stack.unset.items():
        context.say(f'wasmdock: {where}: the variable "{name}" is not set: taken as empty')
    return stack


def state_of(stack: "Stack", context: Context) -> "State":
    """What the project leaves on disk."""
    from wasmdock.compose_state import State

    return State(context.data / "compose", stack.name)


def now() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()


def refuse_empty(stack: "Stack") -> None:
    """Raise UsageError where nothing is left to start."""
    if not stack.services:
        raise UsageError(f'starting project "{stack.name}": no service is on', "name a profile with --profile")
