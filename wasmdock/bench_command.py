"""Any program as a case: started, captured, timed from its start to its end."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wasmdock.process import Runner, run_command
from wasmdock.runtime import TIMED_OUT_CODE, Outcome, RunResult

PATIENCE = 600.0


def command_run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    runner: Runner = run_command,
    timeout: float = PATIENCE,
) -> Callable[[], RunResult]:
    """What runs a program once; `total` is seconds from its start to its end, `first byte` to its first output."""

    def run() -> RunResult:
        first: list[float] = []
        began = time.monotonic()

        def seen(_chunk: bytes) -> None:
            if not first:
                first.append(time.monotonic() - began)

        done = runner(argv, timeout=timeout, stdin=stdin, env=env, cwd=cwd, on_output=seen)
        outcome, code = (Outcome.TIMED_OUT, TIMED_OUT_CODE) if done.timed_out else (Outcome.EXITED, done.code)
        phases = {"total": done.seconds, **({"first byte": first[0]} if first else {})}
        return RunResult(outcome, code, done.stdout, done.stderr, phases=phases)

    return run
