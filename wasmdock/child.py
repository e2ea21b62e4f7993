"""One run in a process of its own (child_main), which can be ended whatever the guest is doing."""

import os
import pickle
import select
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wasmdock.errors import CommandError, UnavailableError, WasmdockError
from wasmdock.pack import Entry
from wasmdock.process import own_module
from wasmdock.program_size import LARGEST
from wasmdock.runtime import TIMED_OUT_CODE, Outcome, RunRequest, RunResult

START_ALLOWANCE = 30.0  # seconds for Python's start and a first compilation, on top of the run's own limit
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Task:
    """What the child needs: the binary, what to start in it, its environment, grants, code cache, bytes at most."""

    data: bytes
    entry: Entry
    env: dict[str, str]
    request: RunRequest
    cache: Path | None
    largest: int = LARGEST


def run_in_child(task: Task) -> RunResult:
    """Run the task in a child that is killed if it does not answer in time.

    Raises whatever the run raises in the child; CommandError if the child dies without an answer.
    """
    limit = (task.request.limits.timeout or 0.0) + START_ALLOWANCE
    task_reader, task_writer = os.pipe()
    answer_reader, answer_writer = os.pipe()
    argv, env = own_module("wasmdock.child_main", task_reader, answer_writer, os.getpid())
    try:
        child = subprocess.Popen(argv, pass_fds=(task_reader, answer_writer), env=env)
    except OSError as error:
        for descriptor in (task_writer, answer_reader):
            os.close(descriptor)
        raise UnavailableError(f"giving the guest a process of its own: {error.strerror}") from error
    finally:
        os.close(task_reader)
        os.close(answer_writer)
    try:
        with suppress(BrokenPipeError), os.fdopen(task_writer, "wb") as file:  # a dead child does not answer
            pickle.dump(replace(task, request=task.request._replace(env={})), file)
        answer = _answer(answer_reader, limit)
    finally:
        os.close(answer_reader)
        child.kill()
        child.wait()
    return _opened(answer, child, limit)


def _answer(reader: int, limit: float) -> bytes | None:
    """All that the child says until it closes its end; None where time runs out."""
    until = time.monotonic() + limit
    chunks: list[bytes] = []
    poll = select.poll()  # select takes no descriptor from 1024 on
    poll.register(reader, select.POLLIN)
    while poll.poll(max(0.0, until - time.monotonic()) * 1000):
        chunk = os.read(reader, _CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return None


def _opened(answer: bytes | None, child: "subprocess.Popen[bytes]", limit: float) -> RunResult:
    if answer is None:
        return RunResult(Outcome.TIMED_OUT, TIMED_OUT_CODE, message=f"stopped: no answer within {limit:g} s")
    try:
        result = pickle.loads(answer)  # from our own child, over a pipe that nobody else holds
    except (EOFError, pickle.UnpicklingError) as error:
        raise CommandError("running the guest in a child process: it died", code=child.returncode) from error
    if isinstance(result, WasmdockError):
        raise result
    assert isinstance(result, RunResult)
    return result
