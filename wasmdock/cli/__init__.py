"""Flags and environment -> library calls -> output; the only place that prints, exits or reads the environment."""

import os
import sys
from collections.abc import Sequence

from wasmdock.errors import BuildError, WasmdockError

RUN_FAILED = 125  # Docker's own code for "the tool failed, not what it ran"
INTERRUPTED = 130
PIPE_CLOSED = 141


def run_cli(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code. Every failure a user can cause ends in a clear line."""
    from wasmdock.cli.context import Context
    from wasmdock.cli.parser import build_parser

    options = build_parser().parse_args(argv)
    try:
        code = int(options.verb(options, Context(os.environ, options.quiet)))
        sys.stdout.flush()
        return code
    except WasmdockError as error:
        report(error)
        return RUN_FAILED if options.is_run else error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes stdout once more at exit
        return PIPE_CLOSED


def report(error: WasmdockError) -> None:
    """One line for what was tried and what was wrong, one for what to do."""
    if isinstance(error, BuildError) and error.output:
        print(error.output.rstrip(), file=sys.stderr)
    print(f"wasmdock: {error.message}", file=sys.stderr)
    for number, line in enumerate(error.hint.splitlines()):
        print(f"    try: {line}" if number == 0 else f"         {line}", file=sys.stderr)
