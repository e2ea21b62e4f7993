"""The command line of scripts/bench-shim: which measures, on which engines, how long; Markdown on stdout."""

import argparse
from collections.abc import Iterator

from scripts.shim_bench import host, http, memory, starts
from scripts.shim_bench.engines import SUITES, start_engine


def lines(options: argparse.Namespace) -> Iterator[str]:
    """The tables, line by line as they come: a late failure loses nothing."""
    if "host" in options.only:
        yield from host.table(options.rounds)
    if "http" in options.only:
        yield from http.table(max(1, options.rounds // 6), options.seconds)
    for measure, module in (("starts", starts), ("memory", memory)):
        if measure in options.only:
            yield from module.head()
            for suite in options.suites:
                yield from module.rows(start_engine(suite), options.rounds)
            yield ""


def main() -> None:
    names = ("starts", "host", "http", "memory")
    parser = argparse.ArgumentParser(prog="scripts/bench-shim", description=__doc__)
    parser.add_argument("--suites", type=lambda text: text.split(","), default=SUITES, help="trixie,sid,newest")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=",".join(names))
    parser.add_argument("--rounds", type=int, default=30, help="of each case (default: 30)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round of http (default: 10)")
    for line in lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
