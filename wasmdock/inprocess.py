"""InProcessRuntime: images run in this very process by wasmtime, with exactly what was granted."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.engine import COMPILE_TIME, BusyError, Ending, EndKind, Grants, Program
from wasmdock.errors import UnavailableError, UsageError, cure_of
from wasmdock.interrupts import Interrupts
from wasmdock.oci.image import Image
from wasmdock.program_size import bound_programs, largest
from wasmdock.programs import Prepared, Programs
from wasmdock.runtime import (
    MIB,
    OUT_OF_MEMORY_CODE,
    TIMED_OUT_CODE,
    TRAP_CODE,
    Limits,
    Mount,
    Outcome,
    RunRequest,
    RunResult,
    Stdio,
    check_limits,
)
from wasmdock.stack import with_stack
from wasmdock.wasm_trap import UNREACHABLE
from wasmdock.watch import Guard, Pipe

if TYPE_CHECKING:
    from wasmdock.child import Task
    from wasmdock.relay import Relay

OnStuck = Callable[[RunResult], None]
_PRINTED = "printed"
_QUICKLY_FILLED = 512 * MIB  # what one instruction fills or copies in some tenth of a second
_RAN_IN: list[int] = []  # the process that guests first ran in: wasmtime's threads for host calls live there


class InProcessRuntime:
    """Runs Wasm commands as fresh instances in this process. Safe to use from several threads.

    cache is the folder for compiled code, None to keep none. A guest that sits in a host call (asleep, or
    waiting for input) cannot be stopped by its thread, so a run with a time limit that may come to that is
    given a process of its own, some 80 ms dearer; so is one after a fork, whose host calls would wait for threads that
    stayed behind. A caller whose own process may end instead passes `on_stuck`: it is called, from another thread, with
    the result to report, and must not return. Ctrl-C, and what the handlers of other signals raise, ends the guest.
    """

    name = "process"

    def __init__(
        self, cache: Path | None = None, on_stuck: OnStuck | None = None, compile_time: float | None = COMPILE_TIME
    ) -> None:
        """Start nothing yet: an engine is made when the first image needs it. compile_time: seconds, None: no limit."""
        self._on_stuck = on_stuck
        self._cache = cache
        self._programs = Programs(cache, compile_time, pooled=on_stuck is None)  # else one guest is all it runs

    def prepare(self, image: Image) -> None:
        """Compile the image's binary, or fetch its compiled code. Raises GuestError, ImageError."""
        self._programs.of_image(image, Limits())

    def run(self, image: Image, request: RunRequest) -> RunResult:
        """Run a fresh instance to its end and say how it ended; see RunRequest for what it gets.

        Raises GuestError for a binary that is no command, ImageError, UsageError for a mount that is no folder and for
        a limit that is none.
        """
        check_limits(request.limits)
        check_mounts(request)
        prepared = self._programs.of_image(image, request.limits)
        env = {**prepared.env, **request.env}
        if self._on_stuck is None and needs_own_process(prepared.program, request):
            from wasmdock.child import Task, run_in_child  # imported late: most runs need no second process

            return run_in_child(Task(prepared.data, prepared.entry, env, request, self._cache, largest()))
        try:
            return run_here(prepared, env, request, self._on_stuck)
        except BusyError:
            return run_here(self._programs.of_image(image, request.limits, apart=True), env, request)


def run_here(
    prepared: Prepared, env: dict[str, str], request: RunRequest, on_stuck: OnStuck | None = None
) -> RunResult:
    """Run a prepared program to its end in this thread, or in one whose stack is large enough."""
    check_network(request)
    limits = request.limits
    pipes = (Pipe(limits.output), Pipe(limits.output)) if request.stdio is Stdio.CAPTURE else ()
    stuck = (lambda guard: _report_stuck(guard, request, on_stuck)) if on_stuck else None
    guard = Guard(limits.timeout, pipes, stuck)
    relays = () if pipes or limits.printed is None else _relays(limits.printed, guard)
    streams = pipes or relays
    grants = Grants(
        argv=prepared.entry.argv(request.args),
        env=env,
        mounts=granted_mounts(request),
        stdin=request.stdin,
        interactive=request.interactive,
        stdout=streams[0].path if streams else None,
        stderr=streams[1].path if streams else None,
        memory=limits.memory,
        tables=limits.tables,
        fuel=limits.fuel,
    )

    def work() -> Ending:
        with Interrupts(guard):
            return prepared.program.run(grants, guard)

    apart = on_stuck is None and _needs_own_thread(prepared.program, request)
    try:
        ending = with_stack(limits.stack, work, guard.leave, apart=apart)
    finally:
        phases = guard.phases()
        stdout, stderr = (pipe.finish(guard.left_behind) for pipe in pipes) if pipes else (b"", b"")
        undelivered = [relay for relay in relays if not relay.finish(guard.patience())]
    _check_passed_on(relays)
    if undelivered and ending.kind is EndKind.EXITED:
        ending = Ending(EndKind.STOPPED, message="timeout", memory=ending.memory)
    if ending.kind is EndKind.EXITED and guard.reason == _PRINTED:
        ending = Ending(EndKind.STOPPED, message=_PRINTED, memory=ending.memory)
    if ending.kind is EndKind.EXITED and any(pipe.overflowed for pipe in pipes):
        ending = Ending(EndKind.STOPPED, message="output", memory=ending.memory)
    return judge(blame_limits(ending, limits, prepared.data), request.limits, stdout, stderr, phases)


def _relays(cap: int, guard: Guard) -> "tuple[Relay, Relay]":
    from wasmdock.relay import Relay  # imported late: few runs count what they print

    return Relay(1, cap, lambda: guard.stop(_PRINTED)), Relay(2, cap, lambda: guard.stop(_PRINTED))


def _check_passed_on(relays: "Sequence[Relay]") -> None:
    for failure in (relay.failure for relay in relays if relay.failure):
        raise UnavailableError(f"passing on the guest's output: {failure.strerror}", cure_of(failure)) from failure


def granted_mounts(request: RunRequest) -> tuple[Mount, ...]:
    """The mounts, none of them writable where the request says so."""
    if not request.read_only:
        return request.mounts
    return tuple(mount._replace(read_only=True) for mount in request.mounts)


def check_network(request: RunRequest) -> None:
    """Raise UsageError for any network: wasmtime's C API has a call that grants one, and it grants none (50.0.1)."""
    if request.network not in ("", "none"):
        raise UsageError(
            f'granting network "{request.network}": in this process a guest has none', "run it with --on docker"
        )


def run_task(task: "Task", on_stuck: OnStuck) -> RunResult:
    """The child's half of a run in a process of its own."""
    bound_programs(task.largest)
    prepared = Programs(task.cache).load(task.data, task.entry, task.request.limits)
    return run_here(prepared, task.env, task.request, on_stuck)


def _report_stuck(guard: Guard, request: RunRequest, on_stuck: OnStuck) -> None:
    stdout, stderr = (pipe.finish() for pipe in guard.pipes) if guard.pipes else (b"", b"")
    on_stuck(judge(stopped(guard), request.limits, stdout, stderr, guard.phases()))


def stopped(guard: Guard) -> Ending:
    """The ending of a guest that was told to end."""
    return Ending(EndKind.STOPPED, message=guard.reason)


def blame_limits(ending: Ending, limits: Limits, data: bytes) -> Ending:
    """Name the limits that a guest may have met which ends in `unreachable`, where nobody told of a refusal.

    wasmtime's C API tells of none; our own witness does (wasm_witness) of a memory's, but not in a binary that we do
    not read, such as one with types for garbage collection.
    """
    first, end, frames = ending.message.partition("\n")
    if ending.kind is not EndKind.TRAPPED or not first.startswith(UNREACHABLE):
        return ending
    from wasmdock.wasm_growth import grows_tables  # few runs end so
    from wasmdock.wasm_witness import may_grow

    causes = []
    if limits.memory is not None and ending.refused is None and may_grow(data):
        used = "" if ending.memory is None else f", {_size(ending.memory)} in use"
        causes.append(f"its memory may not grow beyond {_size(limits.memory)} (--memory{used})")
    if limits.tables is not None and grows_tables(data):
        causes.append(f"its tables may not grow beyond {limits.tables} elements (--tables)")
    if ending.refused or not causes:
        return ending
    return ending._replace(message=f"{first}, perhaps as {' or '.join(causes)}{end}{frames}")


def judge(
    ending: Ending, limits: Limits, stdout: bytes = b"", stderr: bytes = b"", phases: Mapping[str, float] | None = None
) -> RunResult:
    """Turn how the code ended into an outcome, an exit code and a sentence."""
    outcome, code, message = _verdict(ending, limits)
    return RunResult(outcome, code, stdout, stderr, message, phases or {}, ending.memory)


def _verdict(ending: Ending, limits: Limits) -> tuple[Outcome, int, str]:
    if ending.kind is EndKind.EXITED:
        return Outcome.EXITED, ending.code, ""
    if ending.kind is EndKind.REFUSED_MEMORY:
        message = f"out of memory: {ending.message} ({_size(limits.memory)}, set by --memory)"
        return Outcome.OUT_OF_MEMORY, OUT_OF_MEMORY_CODE, message
    if ending.kind is EndKind.REFUSED_TABLE:
        message = f"out of memory: {ending.message} ({limits.tables} elements, set by --tables)"
        return Outcome.OUT_OF_MEMORY, OUT_OF_MEMORY_CODE, message
    if ending.kind is EndKind.TRAPPED:
        return _trapped(ending, limits)
    return _STOPPED.get(ending.message, _stopped_by_caller)(limits)


def _trapped(ending: Ending, limits: Limits) -> tuple[Outcome, int, str]:
    """Allocators that are refused memory end in `unreachable`; other traps have their own causes (so the shim, too)."""
    asked = f", it asked for {_size(ending.refused)}" if (ending.refused or 0) > (limits.memory or 0) else ""
    allowed = f"at most {_size(limits.memory)} are allowed (--memory){asked}"
    is_heap = ending.message.startswith("GC heap out of memory") and limits.memory is not None
    if is_heap or (ending.refused and ending.message.startswith(UNREACHABLE)):
        used = "" if ending.memory is None else f" with {_size(ending.memory)} in use"
        return Outcome.OUT_OF_MEMORY, OUT_OF_MEMORY_CODE, f"out of memory{used}: {allowed}\n{ending.message}"
    first, end, frames = ending.message.partition("\n")
    refused = f" (memory was refused before: {allowed})" if ending.refused else ""
    return Outcome.TRAPPED, TRAP_CODE, f"wasm trap: {first}{refused}{end}{frames}"


def _timed_out(limits: Limits) -> tuple[Outcome, int, str]:
    return Outcome.TIMED_OUT, TIMED_OUT_CODE, f"the time limit of {limits.timeout:g} s is over (--timeout)"


def _printed_too_much(limits: Limits) -> tuple[Outcome, int, str]:
    message = f"stopped: more than {_size(limits.output)} of output that nobody read"
    return Outcome.TRAPPED, TRAP_CODE, message


def _passed_on_too_much(limits: Limits) -> tuple[Outcome, int, str]:
    return Outcome.TRAPPED, TRAP_CODE, f"stopped: it printed more than {_size(limits.printed)} (--output)"


def _stopped_by_caller(_limits: Limits) -> tuple[Outcome, int, str]:
    return Outcome.TRAPPED, TRAP_CODE, "stopped"


_STOPPED = {"timeout": _timed_out, "output": _printed_too_much, _PRINTED: _passed_on_too_much}


def needs_own_process(program: Program, request: RunRequest) -> bool:
    """Whether a time limit could pass where nothing reaches the guest, or a fork left its host calls without threads.

    Nothing reaches it in a host call, nor in an instruction that fills or copies all of a large memory.
    """
    if not _RAN_IN:
        _RAN_IN.append(os.getpid())
    if _may_sit(program, request) and _RAN_IN[0] != os.getpid():
        return True
    if request.limits.timeout is None:
        return False
    memory = request.limits.memory
    is_large = memory is None or memory > _QUICKLY_FILLED
    return is_large or _may_sit(program, request) or request.stdio is Stdio.INHERIT


def _may_sit(program: Program, request: RunRequest) -> bool:
    """Whether it can sit in a host call: asleep, in a file that is a pipe, or with input that does not come."""
    return bool(program.may_block or request.interactive or request.mounts)


def _needs_own_thread(program: Program, request: RunRequest) -> bool:
    """Whether a signal would wait for a host call: only this, the main thread, hears of signals."""
    return _may_sit(program, request) and threading.current_thread() is threading.main_thread()


def check_mounts(request: RunRequest) -> None:
    """Raise UsageError for a mount whose host side is no folder, or one that we may not look at."""
    for mount in request.mounts:
        try:
            is_folder, there = mount.host.is_dir(), mount.host.exists()
        except OSError as error:
            cure = f'name a folder that you may read; `namei -l "{mount.host}"` shows who may'
            raise UsageError(f'mounting "{mount.host}" at "{mount.guest}": {error.strerror}', cure) from error
        if not is_folder:
            cause = "it is a file, and in-process a guest is given folders only" if there else "no such folder"
            cure = "name the folder it lies in" if there else "make it, or name one that is there"
            raise UsageError(f'mounting "{mount.host}" at "{mount.guest}": {cause}', cure)


def _size(count: int | None) -> str:
    if count is None:
        return "no limit"
    return f"{count / MIB:g} MiB" if count % (MIB // 16) == 0 else f"{count} bytes"
