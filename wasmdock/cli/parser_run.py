"""The flags of run and invoke."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.cli.parser import IMAGE, Verbs, add_format, add_limits, add_source, checked, verb
from wasmdock.cli.values import parse_mount, parse_size

if TYPE_CHECKING:
    from wasmdock.capabilities import Capability


def add_run(verbs: Verbs) -> None:
    """Add both verbs."""
    _add_run(verbs)
    _add_invoke(verbs)


def _add_run(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "run",
        "run:run",
        "run an image, in Docker or in this process",
        "wasmdock run -i -v ./data:/data --timeout 5s signature-checker",
    )
    parser.set_defaults(is_run=True)
    mount = checked(parse_mount)
    parser.add_argument("image", help=IMAGE)
    _add_arguments(parser, "arguments of the guest")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="K=V", help="a variable of the guest")
    parser.add_argument(
        "--env-file", action="append", default=[], type=Path, metavar="FILE", help="variables, a line each"
    )
    parser.add_argument(
        "-v",
        "--volume",
        action="append",
        default=[],
        type=mount,
        metavar="HOST:GUEST[:ro]",
        help="a folder for the guest",
    )
    parser.add_argument("-i", "--interactive", action="store_true", help="give the guest our standard input")
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        metavar="HOST:GUEST",
        help="publish a port (in-process: of wasi:http)",
    )
    parser.add_argument("-t", "--tty", action="store_true", help="a terminal (Docker only; in-process shares ours)")
    add_limits(parser)
    parser.add_argument(
        "--output", type=checked(parse_size), metavar="SIZE", help="what it may print, on each stream (default: none)"
    )
    parser.add_argument("--read-only", action="store_true", help="let the guest write to no folder")
    parser.add_argument(
        "--network",
        default="",
        metavar="NAME",
        help="none, or in Docker any of its networks (default: its own)",
    )
    _add_capabilities(parser)
    parser.add_argument("--on", choices=("auto", "docker", "process"), default="auto", help="where (default: auto)")
    add_source(parser)
    parser.add_argument("--why", action="store_true", help="say on stderr which road is taken, and why")


def _add_invoke(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "invoke",
        "invoke:invoke",
        "call one exported function",
        "wasmdock invoke is-thirteen is_thirteen 13",
    )
    parser.set_defaults(is_run=True)
    parser.add_argument("image", help=IMAGE)
    parser.add_argument("export", help="the function, or interface#function of a component")
    _add_arguments(parser, "numbers, or WIT values as JSON")
    parser.add_argument("--unsigned", action="store_true", help="print integers without a sign")
    add_limits(parser)
    _add_capabilities(parser)
    add_source(parser)
    add_format(parser)


def _add_capabilities(parser: argparse.ArgumentParser) -> None:
    capabilities = checked(_capabilities)
    parser.add_argument(
        "--allow", type=capabilities, metavar="LIST", help="all it may ask for (inspect --capabilities lists them)"
    )
    parser.add_argument(
        "--deny", type=capabilities, default=frozenset(), metavar="LIST", help="what it may not ask for: files,random"
    )


def _add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """All that follows, flags too; none is enough, though argparse would list them as missing."""
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help=what).required = False


def _capabilities(text: str) -> "frozenset[Capability]":
    from wasmdock.grants import parse_capabilities  # few runs need it, and it costs milliseconds

    return parse_capabilities(text)
