"""Compilation in a process of its own: the child's half, a program."""

import os
import signal
import sys
from typing import Any

from wasmdock.engine.compile_child import MEMORY, UNSOUND
from wasmdock.errors import GuestError
from wasmdock.lifeline import die_with


def main() -> None:
    """The child: a binary on stdin, its compiled code on stdout."""
    is_component, metered, parent, seconds = (int(word) for word in sys.argv[1:5])
    die_with(parent, signal.SIGKILL)
    _limit(seconds)
    from wasmdock.engine.compiler import compile_here, configured

    try:
        compiled = compile_here(configured(bool(metered)), sys.stdin.buffer.read(), _kind(bool(is_component)))
    except GuestError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}")
        sys.exit(UNSOUND)
    sys.stdout.buffer.write(compiled.serialize())


def _kind(is_component: bool) -> Any:
    if not is_component:
        from wasmtime import Module

        return Module
    from wasmtime.component import Component  # costs 10 ms

    return Component


def _limit(seconds: int) -> None:
    """Cap memory and processor time: the second for where nobody is left who counts seconds of the clock."""
    processor = seconds * (os.cpu_count() or 1)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    except (ImportError, ValueError, OSError):  # a system without it, or a lower limit already
        return


if __name__ == "__main__":
    main()
