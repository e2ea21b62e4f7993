"""Any program as a case: started, captured, timed from its start to its end."""

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
    """What runs a program once; the phase `run` is seconds from its start to its end."""

    def run() -> RunResult:
        done = runner(argv, timeout=timeout, stdin=stdin, env=env, cwd=cwd)
        outcome, code = (Outcome.TIMED_OUT, TIMED_OUT_CODE) if done.timed_out else (Outcome.EXITED, done.code)
        return RunResult(outcome, code, done.stdout, done.stderr, phases={"run": done.seconds})

    return run
