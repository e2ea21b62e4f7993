"""wasmdock compose: the actions, and how a project is found."""

import argparse
import gc
import json
import sys

from wasmdock.cli.compose_output import Colours
from wasmdock.cli.compose_project import load, state_of
from wasmdock.cli.context import Context


def up(options: argparse.Namespace, context: Context) -> int:
    """Start the services and watch them, or leave them to a process of their own."""
    if options.image:
        from wasmdock.cli.compose_provider import provide

        return provide(options, context)
    gc.disable()  # until it watches: a start makes little garbage, and looking for it takes a twentieth of its time
    from wasmdock.cli.compose_up import start

    return start(load(options, context, options.services), options, context)


def run(options: argparse.Namespace, context: Context) -> int:
    """Run one service once."""
    from wasmdock.cli.compose_up import run_once

    return run_once(load(options, context, [options.service]), options, context)


def down(options: argparse.Namespace, context: Context) -> int:
    """Stop what runs in-process, then what docker compose runs."""
    if options.provided:
        from wasmdock.cli.compose_provider import withdraw

        return withdraw(options.provided, options, context)
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
    if status == "exited" and row["code"] is None:
        return "never started"
    if status == "exited":
        return f"exited ({row['code']})"
    health = {True: " (healthy)", False: " (unhealthy)", None: ""}[row.get("healthy")]  # type: ignore[index]
    restarts = f", {row['restarts']} restarts" if row.get("restarts") else ""
    return f"{status}{health}{restarts}"


def logs(options: argparse.Namespace, context: Context) -> int:
    """What the services printed, in order."""
    from datetime import UTC, datetime

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
