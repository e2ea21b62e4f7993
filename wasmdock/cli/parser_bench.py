"""The flags of wasmdock bench and wasmdock report."""

import argparse
from pathlib import Path
from typing import Any

from wasmdock.budget import parse_budget
from wasmdock.cli.parser import checked, verb
from wasmdock.cli.values import parse_duration, parse_mount, parse_size
from wasmdock.digits import read_digits
from wasmdock.errors import UsageError

_ROADS = ("process", "cli", "docker")


def add_bench(verbs: Any) -> None:
    """Add both verbs."""
    parser = verb(
        verbs,
        "bench",
        "bench:bench",
        "measure an app as Wasm and as a native container, side by side",
        "wasmdock bench dockerfiles/hello-world --rounds 30 --export hello.json,hello.html",
    )
    parser.add_argument("subjects", nargs="*", metavar="GUEST_OR_IMAGE", help="a guest's folder, or any IMAGE of run")
    _add_cases(parser)
    _add_crowds(parser)
    _add_length(parser)
    _add_output(parser)
    _add_gate(parser)
    parser = verb(
        verbs,
        "report",
        "report:report",
        "show the results of earlier benchmarks, and compare them",
        "wasmdock report monday.json friday.json --export history.html",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="RESULTS.json", help="files that bench exported")
    _add_output(parser)
    _add_gate(parser)


def _add_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against",
        type=checked(_parse_bases),
        default=(),
        metavar="BASES",
        help="bases for the native program: slim, debian, distroless, scratch, alpine, process (none), or any image, "
        "with its tag (default: slim, in Docker)",
    )
    parser.add_argument(
        "--roads",
        type=checked(_parse_roads),
        default=_ROADS,
        help=f"where to run: {','.join(_ROADS)} (default: all that this machine has)",
    )
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="NAME=WHAT",
        help="a case of your own: a command, image:REFERENCE or compose:FILE#SERVICE",
    )
    parser.add_argument("--no-cold", action="store_true", help="leave out cold starts, which reload and recompile")
    parser.add_argument("--arg", dest="args", action="append", default=[], help="an argument for the guest")
    parser.add_argument(
        "--call", metavar="EXPORT", help="of a library: measure calls of this export, with the --arg values"
    )
    parser.add_argument("--stdin", type=Path, metavar="FILE", help="standard input for every case")
    parser.add_argument(
        "-v",
        "--volume",
        action="append",
        default=[],
        type=checked(parse_mount),
        metavar="HOST:GUEST[:ro]",
        help="a folder for the guest",
    )
    parser.add_argument(
        "--http",
        nargs="?",
        const=8080,
        type=checked(_parse_port),
        metavar="PORT",
        help="containers answer HTTP on this port (default: 8080): measure to the first answer",
    )
    parser.add_argument(
        "--http-path", type=checked(_parse_path), default="/", metavar="PATH", help="what is asked for (default: /)"
    )
    parser.add_argument("--exit-code", type=int, default=0, metavar="N", help="the exit code that counts (default: 0)")
    parser.add_argument("--network", metavar="NAME", help="the containers' network, such as none (default: Docker's)")


def _add_crowds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--density",
        nargs="?",
        const=2 << 30,
        type=checked(parse_size),
        metavar="SIZE",
        help="also start instances until they use this much memory (default: 2g)",
    )
    parser.add_argument(
        "--throughput", action="store_true", help="also start as many as possible, 1, 2, 8 and 32 at once"
    )
    parser.add_argument(
        "--load-time",
        type=checked(parse_duration),
        default=5.0,
        metavar="TIME",
        help="how long --throughput does so (default: 5s)",
    )


def _add_length(parser: argparse.ArgumentParser) -> None:
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--rounds",
        type=checked(_parse_count),
        metavar="N",
        help="rounds to measure (default: 30, which tell a difference of 10%% apart where runs vary by 5%%; "
        "100 tell one of 5%%; a verdict needs 8 at least)",
    )
    length.add_argument("--time", type=checked(parse_duration), metavar="TIME", help="measure for so long, such as 60s")
    parser.add_argument(
        "--warmup", type=checked(_parse_warmup), default=1, metavar="N", help="rounds that do not count (default: 1)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the order of the cases (default: by the clock)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="RESULTS.json",
        help="go on with an interrupted benchmark (default: the last one)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--export",
        type=checked(parse_names),
        default=(),
        metavar="FILES",
        help="also write these, by their ending: .json, .csv, .md, .html, .png",
    )
    parser.add_argument("--base", default="", metavar="CASE", help="compare with this case (default: the native one)")
    parser.add_argument("--full", action="store_true", help="print every table: distributions, phases, sizes, memory")
    parser.add_argument("--plot", action="store_true", help="print bars besides the table")
    parser.add_argument("--format", choices=("text", "json", "md", "csv"), default="text", help="how to print")


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--baseline", type=Path, metavar="OLD.json", help="hold each case against earlier results")
    parser.add_argument(
        "--fail-above",
        type=checked(parse_share),
        metavar="PERCENT",
        help="exit with 1 where a case became slower by more, such as 10%%, fails or has gone; two runs of the same "
        "program on a busy machine differ by some percent, so allow 5%% or more (default with --ci: 5%%)",
    )
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        type=checked(parse_budget),
        metavar="FIGURE",
        help="exit with 1 where this is not met, such as 'wasm, in-process (hot) <= 100us'",
    )
    parser.add_argument("--claims", type=Path, metavar="FILE.toml", help="say of each claim whether the figures hold")
    parser.add_argument(
        "--ci", action="store_true", help="for a pull request: print Markdown, and be a gate where there is a baseline"
    )


def parse_names(text: str) -> tuple[str, ...]:
    """`a,b` -> names. Raises UsageError for none."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f'reading list "{text}": it names nothing', "write one,two")
    return names


def parse_share(text: str) -> float:
    """`10%` or `10` -> 0.1. Raises UsageError."""
    try:
        value = float(text.strip().removesuffix("%")) / 100
    except ValueError as error:
        raise UsageError(f'reading percentage "{text}": not a number', "write 10%") from error
    if not 0 <= value < 100:
        raise UsageError(f'reading percentage "{text}": out of range', "write 10%")
    return value


def _parse_bases(text: str) -> tuple[str, ...]:
    from wasmdock.cli.bench_docker import BASES, PROCESS  # loaded by a benchmark anyway, but not by --help

    names = parse_names(text)
    for name in names:
        if name not in (*BASES, PROCESS) and not set(name) & set("/:@"):
            hint = f"use {', '.join((*BASES, PROCESS))}, or an image with its tag: {name}:latest"
            raise UsageError(f'reading bases "{text}": there is no "{name}"', hint)
    return names


def _parse_roads(text: str) -> tuple[str, ...]:
    names = () if text == "none" else parse_names(text)
    for name in names:
        if name not in _ROADS:
            raise UsageError(f'reading roads "{text}": there is no "{name}"', f"use {','.join(_ROADS)}")
    return names


def _parse_path(text: str) -> str:
    if not text.startswith("/"):
        raise UsageError(f'reading path "{text}": it does not begin with a slash', f"write /{text}")
    return text


def _parse_count(text: str, least: int = 1, most: int = 1_000_000, example: int = 20) -> int:
    count = read_digits(text)
    if count is None or not least <= count <= most:
        raise UsageError(f'reading number "{text}": not a count from {least} to {most}', f"write {example}")
    return count


def _parse_warmup(text: str) -> int:
    return _parse_count(text, least=0, example=1)


def _parse_port(text: str) -> int:
    return _parse_count(text, most=65535, example=8080)
