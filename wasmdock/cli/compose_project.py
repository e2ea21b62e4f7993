"""The project a command line names: its files, its services, what it leaves on disk."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.cli.context import Context
from wasmdock.errors import UsageError

if TYPE_CHECKING:
    from wasmdock.compose import Stack
    from wasmdock.compose_file import Sources
    from wasmdock.compose_state import State


def sources_of(options: argparse.Namespace, context: Context) -> "Sources":
    """The files that make up the project."""
    from wasmdock.compose_file import find_sources

    return find_sources(options.files or (), context.environment, Path.cwd(), options.project_directory)


def load(
    options: argparse.Namespace, context: Context, only: "list[str] | None" = None, every: bool = False
) -> "Stack":
    """The project the flags name; every takes services of all profiles."""
    from wasmdock.compose import load_stack
    from wasmdock.compose_cache import ParsedFiles

    stack = load_stack(
        sources_of(options, context),
        name=options.project_name,
        profiles=["*"] if every else options.profiles or (),
        only=only or (),
        home=context.environment.get("HOME", "/"),
        parse=ParsedFiles(context.cache / "compose"),
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
