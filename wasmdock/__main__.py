"""python -m wasmdock."""

import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

_SHORT = ("run", "pull", "push")  # verbs whose start counts


def main() -> int:
    """Run the command line; `--version` answers before anything else is loaded."""
    if sys.argv[1:] == ["--version"]:
        return _tell_version()
    if sys.argv[1:2] and sys.argv[1] in _SHORT:
        gc.disable()  # a run enables it with the guest: to look through what modules made, again and again, takes 5 ms
    try:
        from wasmdock.cli import run_cli

        _end(run_cli(sys.argv[1:]))
    except KeyboardInterrupt:  # while modules are loaded
        return 130


def _tell_version() -> int:
    from wasmdock import __version__

    try:
        print(f"wasmdock {__version__}", flush=True)  # noqa: T201  # the command line itself, before it is loaded
    except BrokenPipeError:
        _end(141)
    except OSError as error:
        print(f"wasmdock: writing the output: {error.strerror}", file=sys.stderr)  # noqa: T201  # as above
        _end(1)
    return 0


def _end(code: int) -> NoReturn:
    """End without taking Python and the compiled code apart, which costs a run 20 ms and frees nothing that matters."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()  # stdout is flushed already, where its failure still can be told
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
