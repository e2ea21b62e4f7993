"""Flags and environment -> library calls -> output; the only place that prints, exits or reads the environment."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from wasmdock.errors import RUN_FAILED, BuildError, WasmdockError

INTERRUPTED = 130
PIPE_CLOSED = 141
_TRACEBACK = "WASMDOCK_TRACEBACK"  # set to anything, the traceback of a defect of ours is printed
_LONGEST_CAUSE = 300  # characters


def run_cli(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code. Every failure a user can cause ends in a clear line."""
    _open_closed_streams()
    try:
        return _run(argv)
    except KeyboardInterrupt as error:
        return int(getattr(error, "exit_code", INTERRUPTED))  # another signal's has its own (cli.signals)
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED


def _run(argv: Sequence[str]) -> int:
    from wasmdock.cli.parser import build_parser

    argv = [*argv[1:], "--help"] if argv[:1] == ["help"] else argv
    options = Namespace(is_run=argv[:1] in (["run"], ["invoke"]))
    try:
        return _do(build_parser(argv).parse_args(argv, options))
    except BrokenPipeError:
        raise
    except Exception as error:  # nothing that we know of ends here
        _report_defect(error, getattr(options, "grammar", None))
        return RUN_FAILED if options.is_run else WasmdockError.exit_code


def _do(options: Namespace) -> int:
    from wasmdock.cli.context import Context
    from wasmdock.cli.signals import tidying_up

    context = Context(os.environ, options.quiet)
    try:
        context.bound_programs()
        with tidying_up() as signals:
            code = int(options.verb(options, context))
            sys.stdout.flush()
        return signals[0].exit_code if signals and code == INTERRUPTED else code
    except BrokenPipeError:
        raise
    except WasmdockError as error:
        complain(error)
        return RUN_FAILED if options.is_run else error.exit_code
    except MemoryError:
        complain(WasmdockError("there is not enough memory for this"))
        return RUN_FAILED if options.is_run else WasmdockError.exit_code
    except OSError as error:  # of our own streams, such as a full disk behind stdout; others are caught earlier
        _discard_output()
        complain(WasmdockError(f"{error.filename or 'writing the output'}: {error.strerror or error}"))
        return RUN_FAILED if options.is_run else WasmdockError.exit_code


def _report_defect(error: Exception, grammar: ArgumentParser | None) -> None:
    if os.environ.get(_TRACEBACK):
        import traceback

        traceback.print_exception(error)
    doing = grammar.prog if grammar else "wasmdock"
    cause = " ".join(str(error).split())[:_LONGEST_CAUSE]
    hint = f"this is a defect of wasmdock: please report it, with what it prints under {_TRACEBACK}=1"
    complain(WasmdockError(f"{doing}: {type(error).__name__}{': ' if cause else ''}{cause}", hint))


def _open_closed_streams() -> None:
    """Lead 0, 1 and 2 nowhere where the caller closed them: the next file opened would become the guest's stdout."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _discard_output() -> None:
    """Lead stdout nowhere: Python flushes it once more at its end, and would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def complain(error: WasmdockError) -> None:
    """One line for what was tried and what was wrong, one for what to do; where nobody can read it, the code alone."""
    lines = [error.output.rstrip()] if isinstance(error, BuildError) and error.output else []
    lines.append(f"wasmdock: {error.message}")
    for number, line in enumerate(error.hint.splitlines()):
        lines.append(f"    try: {line}" if number == 0 else f"         {line}")
    try:
        print("\n".join(lines), file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:  # a full disk behind stderr
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
