"""Compilation in a process of its own: the child's half, a program."""

import sys
from typing import Any

from wasmdock.engine.compile_child import MEMORY, UNSOUND
from wasmdock.errors import GuestError


def main() -> None:
    """The child: a binary on stdin, its compiled code on stdout."""
    is_component, metered = (bool(int(word)) for word in sys.argv[1:3])
    _limit_memory()
    from wasmdock.engine.compiler import compile_here, configured

    try:
        compiled = compile_here(configured(metered), sys.stdin.buffer.read(), _kind(is_component))
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


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # a system without it, or a lower limit already
        return


if __name__ == "__main__":
    main()
