"""Compilation in a process of its own, which can be ended: wasmtime takes no limits for it."""

import os
import sys
from pathlib import Path

from wasmdock.errors import GuestError
from wasmdock.process import Completed, Runner, run_command

MEMORY = 4 << 30  # bytes of address space; 100,000 functions took 0.6 GiB
_MOST_CODE = 2 << 30  # bytes of compiled code taken from the child
_SOUND, _UNSOUND = 0, 3  # the child's exit codes


def compile_in_child(
    data: bytes, is_component: bool, metered: bool, seconds: float, runner: Runner = run_command
) -> bytes:
    """Compiled code in wasmtime's serialized form, made within `seconds` and MEMORY. Raises GuestError."""
    # -P: the child looks for modules where we do, and not first of all in the folder we happen to be in.
    argv = [sys.executable, "-P", "-m", "wasmdock.engine.compile_child", str(int(is_component)), str(int(metered))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each or str(Path.cwd()) for each in sys.path)}
    done = runner(argv, timeout=seconds, stdin=data, env=env, cap=_MOST_CODE)
    if done.code == _SOUND and not done.timed_out:
        return done.stdout
    raise GuestError(*_explain(done, seconds))


def _explain(done: Completed, seconds: float) -> tuple[str, str]:
    said = done.stderr_text()
    if done.timed_out:
        return f"compiling: stopped after {seconds:g} s (--compile-time)", "give it more time, or `none`"
    if done.code == _UNSOUND:
        message, _, hint = said.partition("\n")
        return message, hint
    last = said.splitlines()[-1] if said else f"exit code {done.code}"
    return f"compiling: it did not go to its end within {MEMORY >> 30} GiB of memory ({last})", ""


def main() -> None:
    """The child: a binary on stdin, its compiled code on stdout."""
    is_component, metered = (bool(int(word)) for word in sys.argv[1:3])
    _limit_memory()
    from wasmtime import Module
    from wasmtime.component import Component

    from wasmdock.engine.compiler import compile_here, configured

    try:
        compiled = compile_here(configured(metered), sys.stdin.buffer.read(), Component if is_component else Module)
    except GuestError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}")
        sys.exit(_UNSOUND)
    sys.stdout.buffer.write(compiled.serialize())


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # a system without it, or a lower limit already
        return


if __name__ == "__main__":
    main()
