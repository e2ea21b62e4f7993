"""How a docker client ended, and whether its container started -> the guest's result, or what failed."""

import re
from collections.abc import Mapping, Sequence

from wasmdock.docker_causes import CLIENT_SAYS, client_lines, find_cause
from wasmdock.errors import CommandError, GuestError
from wasmdock.process import Completed
from wasmdock.runtime import OUT_OF_MEMORY_CODE, TIMED_OUT_CODE, TRAP_CODE, Limits, Outcome, RunResult
from wasmdock.wasm_trap import UNREACHABLE, explain_trap

TAIL = 16 << 10
_SHIM_SAYS, _MARKS = b"wasmdock: ", b"wasmdock-marks: "
_UNWRITTEN = ("write /dev/stdout: ", "write /dev/stderr: ")
# How a line begins that may be the docker client's or our runtime's last word.
LAST_WORDS = (*CLIENT_SAYS, *_UNWRITTEN, _SHIM_SAYS.decode())
_BROKEN, _REFUSED = REFUSALS = 125, 126  # our Wasm runtime's own codes, for a guest that did not start
# The docker client's: its own failure, a program that cannot be started, is not there, and stdin is no terminal.
_CLIENT_FAILED, _TERMINAL_FAILED, _WRITE_FAILED = 125, 1, 1
_CLIENT_CODES = (_CLIENT_FAILED, 126, 127, _TERMINAL_FAILED)
_TRAPPED = "wasm trap: "
_REFUSED_GROWTH = re.compile(r"\((the guest asked for [^()]+\([^()]+\))\)")
_BACKTRACE = "error while executing at wasm backtrace:"
_OUTCOMES = {
    TRAP_CODE: Outcome.TRAPPED,
    OUT_OF_MEMORY_CODE: Outcome.OUT_OF_MEMORY,
    TIMED_OUT_CODE: Outcome.TIMED_OUT,
}
# How our runtime begins to say what ended a guest, by exit code (shim/src/host/ending.rs).
FAULTS: Mapping[int, tuple[str, ...]] = {
    TRAP_CODE: ("running ", "answering ", "the fuel limit "),
    OUT_OF_MEMORY_CODE: ("out of memory: ",),
    TIMED_OUT_CODE: ("the time limit ",),
}
# Where our runtime names the variable that it reads of a limit: the flag that the user gave.
_VARIABLES = (
    ("(WASMDOCK_MEMORY or --memory)", "(--memory)"),
    ("(WASMDOCK_TABLES)", "(--tables)"),
    ("(--fuel, WASMDOCK_FUEL)", "(--fuel)"),
    ("(WASMDOCK_COMPILE_TIME, ", "(--compile-time, "),
)
_NOTHING: tuple[str, ...] = ()


def find_write_error(done: Completed) -> str:
    """Why the client gave up as it could not write what the container printed, which may go on without it; or empty."""
    last = _tail(done).rstrip().rpartition("\n")[2]
    return last.rpartition(": ")[2] if done.code == _WRITE_FAILED and last.startswith(_UNWRITTEN) else ""


def is_doubtful(done: Completed) -> bool:
    """Whether docker's failure and the guest's own end look alike, so that the engine must be asked which it was."""
    if done.timed_out or done.truncated:
        return False
    return done.code == _CLIENT_FAILED or (done.code in _CLIENT_CODES and bool(client_lines(_tail(done))))


def judge(done: Completed, limits: Limits, *, ours: bool, started: bool | None = True, shown: str = "") -> RunResult:
    """Turn how the docker client ended into a result, or raise what its failure means.

    ours: whether our Wasm runtime ran the guest. started: whether the engine says that the container started;
    None where it gives no answer. shown: the user's name for the image, where it has another one.
    The code of what started is a result: a guest can print all that docker, or our runtime, can. Only one whose
    first and only words are our runtime's, with its code for a guest that it cannot start, counts as refused. What
    our runtime said of a fault is the message, and no longer part of stderr.
    """
    if done.timed_out:
        return RunResult(Outcome.TIMED_OUT, TIMED_OUT_CODE, done.stdout, done.stderr, _timed_out(limits))
    if done.truncated:
        message = f"stopped: more than {limits.output} bytes of output that nobody read"
        if limits.printed is not None:
            message = f"stopped: it printed more than {limits.printed} bytes (--output)"
        return RunResult(Outcome.TRAPPED, TRAP_CODE, done.stdout, done.stderr, message)
    if not started and is_doubtful(done):
        _raise_failure(done, shown or _image_of(done.argv), never=started is False)
    code = done.code if done.code >= 0 else 128 - done.code
    if not ours:
        return RunResult(Outcome.EXITED, code, done.stdout, done.stderr, _misfit(done, shown or _image_of(done.argv)))
    return _by_last_word(done, code, limits)


def _by_last_word(done: Completed, code: int, limits: Limits) -> RunResult:
    stderr, said = _split(done.stderr)
    if said and code in REFUSALS and not done.stdout and _is_silent(stderr):
        if code == _REFUSED:
            raise GuestError(said)
        raise CommandError(f"the Wasm runtime failed: {said}", "", done.argv, code, said)
    if not said.startswith(FAULTS.get(code, _NOTHING)):
        return RunResult(Outcome.EXITED, code, done.stdout, done.stderr)
    return RunResult(_OUTCOMES[code], code, done.stdout, stderr, _as_in_process(said, code, limits))


def _as_in_process(said: str, code: int, limits: Limits) -> str:
    """Our Wasm runtime's word with the cause in the first line, and with the flag where it names its variable."""
    if code == TIMED_OUT_CODE:
        return _timed_out(limits) if limits.timeout else said
    old, new = said.find(_BACKTRACE), said.find(_TRAPPED)  # our Wasm runtime once said the cause last
    if old < 0 and new < 0:
        return said
    explained = explain_trap(said[old:] if old >= 0 else said[new + len(_TRAPPED) :])
    if code == OUT_OF_MEMORY_CODE:
        return said.partition("\n")[0] + f"\n{explained}"
    cause, end, frames = explained.partition("\n")
    refused = _REFUSED_GROWTH.search(said.partition("\n")[0]) if cause.startswith(UNREACHABLE) else None
    return f"wasm trap: {cause}{f', {refused[1]}' if refused else ''}{end}{frames}"


def _timed_out(limits: Limits) -> str:
    return f"the time limit of {limits.timeout:g} s is over (--timeout)" if limits.timeout else "stopped"


def _tail(done: Completed) -> str:
    return done.stderr[-TAIL:].decode("utf-8", "replace")


def _split(stderr: bytes) -> tuple[bytes, str]:
    """The guest's own stderr, and our runtime's last word: the last line with its name and what follows."""
    start = stderr.rfind(b"\n" + _SHIM_SAYS) + 1
    if start == 0 and not stderr.startswith(_SHIM_SAYS):
        return stderr, ""
    return stderr[:start], _with_flags(stderr[start + len(_SHIM_SAYS) :].decode("utf-8", "replace").strip())


def _with_flags(said: str) -> str:
    for variable, flag in _VARIABLES:
        said = said.replace(variable, flag)
    return said


def _is_silent(stderr: bytes) -> bool:
    """Whether a guest said nothing; the seconds of our runtime's steps are not its word."""
    return not stderr.strip() or (stderr.startswith(_MARKS) and stderr.count(b"\n") == 1)


def _misfit(done: Completed, image: str) -> str:
    """What to say of runc's only word from inside a container, where the program is not for this machine."""
    text = _tail(done).strip()
    if done.code == 0 or done.stdout or not (text.startswith("exec ") and text.endswith(": exec format error")):
        return ""
    found = find_cause(f'running "{image}" in Docker', text) if "\n" not in text else None
    return f"{found.message} ({found.hint})" if found else ""


def _raise_failure(done: Completed, image: str, never: bool) -> None:
    """Raise what kept the client or the engine from running the container, which `never` started for sure."""
    if done.code == _TERMINAL_FAILED and not never:
        return
    text = _with_flags(_tail(done))
    doing = f'running "{image}" in Docker'
    lines = client_lines(text) or text.splitlines()[-2:]
    known = find_cause(doing, "\n".join(lines))
    if known or never or client_lines(text):
        cause = lines[0] if lines else f"docker's exit code {done.code}"
        raise known or CommandError(f"{doing}: {cause}", "", done.argv, done.code, text)


def _image_of(argv: Sequence[str]) -> str:
    """The image's name in an argv of ours: the word after the last option."""
    words = iter(argv[2:])
    for word in words:
        if word in ("--env", "--mount"):
            next(words, "")
        elif not word.startswith("--"):
            return word
    return ""
