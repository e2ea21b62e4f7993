"""Compilation in a process of its own, which can be ended: wasmtime takes no limits for it. The parent's half."""

import os

from wasmdock.errors import GuestError
from wasmdock.process import Completed, Runner, own_module, run_command

MEMORY = 4 << 30  # bytes of address space; 100,000 functions took 0.6 GiB
_MOST_CODE = 2 << 30  # bytes of compiled code taken from the child
SOUND, UNSOUND = 0, 3  # the child's exit codes


def compile_in_child(
    data: bytes, is_component: bool, metered: bool, seconds: float, runner: Runner = run_command
) -> bytes:
    """Compiled code in wasmtime's serialized form, made within `seconds` and MEMORY. Raises GuestError."""
    words = (int(is_component), int(metered), os.getpid(), int(seconds) + 1)
    argv, env = own_module("wasmdock.engine.compile_main", *words)
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
