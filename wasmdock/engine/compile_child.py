"""Compilation in a process of its own, which can be ended: wasmtime takes no limits for it. The parent's half."""

import os
import sys
from pathlib import Path

from wasmdock.errors import GuestError
from wasmdock.process import Completed, Runner, run_command

MEMORY = 4 << 30  # bytes of address space; 100,000 functions took 0.6 GiB
_MOST_CODE = 2 << 30  # bytes of compiled code taken from the child
SOUND, UNSOUND = 0, 3  # the child's exit codes


def compile_in_child(
    data: bytes, is_component: bool, metered: bool, seconds: float, runner: Runner = run_command
) -> bytes:
    """Compiled code in wasmtime's serialized form, made within `seconds` and MEMORY. Raises GuestError."""
    # -P: the child looks for modules where we do, and not first of all in the folder we happen to be in.
    words = (int(is_component), int(metered), os.getpid(), int(seconds) + 1)
    argv = [sys.executable, "-P", "-m", "wasmdock.engine.compile_main", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each or str(Path.cwd()) for each in sys.path)}
    done = runner(argv, timeout=seconds, stdin=data, env=env, cap=_MOST_CODE)
    if done.code == SOUND and not done.timed_out:
        return done.stdout
    raise GuestError(*_explain(done, seconds))


def _explain(done: Completed, seconds: float) -> tuple[str, str]:
    said = done.stderr_text()
    if done.timed_out:
        return f"compiling: stopped after {seconds:g} s (--compile-time)", "give it more time, or `none`"
    if done.code == UNSOUND:
        message, _, hint = said.partition("\n")
        return message, hint
    last = said.splitlines()[-1] if said else f"exit code {done.code}"
    return f"compiling: it did not go to its end within {MEMORY >> 30} GiB of memory ({last})", ""
