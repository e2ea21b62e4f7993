"""The command line's grammar: every verb with its flags and an example."""

import argparse
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from wasmdock import __version__
from wasmdock.cli.grammar import Grammar
from wasmdock.cli.values import parse_duration, parse_fuel, parse_size, parse_stack, parse_tables
from wasmdock.errors import WasmdockError
from wasmdock.oci.reference import Platform
from wasmdock.runtime import DEFAULT_STACK, MIB

IMAGE = "a name in the store or the engine, an archive, an OCI layout, a .wasm or .wat file, or a guest's folder"

Verbs = Any  # argparse keeps the type of its subparsers to itself


# Which module adds which verbs: only the section of the verb at hand is loaded and built.
_SECTIONS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("build", "pack"), "parser_images:add_build"),
    (("run", "invoke"), "parser_run:add_run"),
    (("inspect", "extract", "images", "rmi", "load", "save"), "parser_images:add_store"),
    (("push", "pull", "copy", "tags", "convert", "login", "logout"), "parser_registry:add_registry"),
    (("sbom", "verify", "diff"), "parser_provenance:add_provenance"),
    (("engine",), "parser_engine:add_engine"),
    (("bench", "report"), "parser_bench:add_bench"),
    (("doctor", "explain"), "parser_doctor:add_doctor"),
    (("compose",), "parser_compose:add_compose"),
    (("completion",), "parser_engine:add_shell"),
)
_LONG = ("parser_compose:add_compose",)  # its actions are loaded one by one, too


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Make the parser: with all verbs, or only what `words`, the command line, may need where it begins with one."""
    parser = Grammar(
        prog="wasmdock",
        description="Build, run and measure Wasm workloads on Docker and containerd, or in this very process.",
        epilog="example: wasmdock run dockerfiles/hello-world",
        allow_abbrev=False,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"wasmdock {__version__}")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr but errors")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    needed = [where for names, where in _SECTIONS if words and words[0] in names]
    for where in needed or [where for _, where in _SECTIONS]:
        find(where)(verbs, *([words[1:]] if needed and where in _LONG else []))
    return parser


def find(where: str) -> Callable[..., Any]:
    """The function `module:function` under wasmdock.cli, imported now."""
    module, _, function = where.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"wasmdock.cli.{module}"), function)
    return found


def formatter(prog: str) -> argparse.HelpFormatter:
    """Help as wide as the terminal; argparse would import shutil, and with it lzma, to find that out."""
    try:
        width = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
    except (ValueError, OSError):
        width = 80
    return argparse.HelpFormatter(prog, width=max(width - 2, 40))


def verb(verbs: Verbs, name: str, where: str, summary: str, example: str) -> Grammar:
    """Add a verb; `where` is `module:function` under wasmdock.cli, imported when the verb runs."""
    parser: Grammar = verbs.add_parser(
        name,
        help=summary,
        description=summary[:1].upper() + summary[1:] + ".",
        epilog=f"example: {example}",
        allow_abbrev=False,
        formatter_class=formatter,
    )
    parser.set_defaults(verb=_late(where), is_run=False, grammar=parser)
    return parser


def _late(where: str) -> Callable[..., int]:
    def call(*arguments: Any) -> int:
        return int(find(where)(*arguments))

    return call


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Turn a UsageError into argparse's own complaint, so that it names the flag."""

    def call(text: str) -> Any:
        try:
            return parse(text)
        except WasmdockError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise argparse.ArgumentTypeError(f"{error.message}{hint}") from error

    return call


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add --format."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add what says where an image comes from."""
    parser.add_argument(
        "--pull",
        choices=("missing", "always", "never"),
        default="missing",
        help="fetch the image: where it is not here and its name begins with a registry (default), always, or never",
    )
    parser.add_argument(
        "--platform",
        type=checked(Platform.parse),
        metavar="OS/ARCH",
        help="which image of a name that holds several (default: Wasm, else this machine's)",
    )
    parser.add_argument("--insecure", action="store_true", help="take plain http and unverified TLS from the registry")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits of a guest."""
    size, duration = checked(parse_size), checked(parse_duration)
    parser.add_argument(
        "--memory",
        type=size,
        default=512 * MIB,
        metavar="SIZE",
        help="Wasm memory, such as 64m (default: 512m)",
    )
    parser.add_argument("--timeout", type=duration, metavar="TIME", help="wall time, such as 5s (default: none)")
    parser.add_argument("--fuel", type=checked(parse_fuel), metavar="N", help="Wasm instructions (default: none)")
    tables = checked(parse_tables)
    parser.add_argument(
        "--tables", type=tables, default=1_000_000, metavar="N", help="elements of Wasm tables (default: 1000000)"
    )
    stack = checked(parse_stack)
    parser.add_argument("--stack", type=stack, default=DEFAULT_STACK, metavar="SIZE", help="call stack (default: 512k)")
    parser.add_argument(
        "--compile-time", type=duration, default=60.0, metavar="TIME", help="for compiling it (default: 60s)"
    )
