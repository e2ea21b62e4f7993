"""One guest or program as a child process that ends when we do, whatever ends us."""

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wasmdock.errors import WasmdockError
from wasmdock.lifeline import die_with
from wasmdock.pack import Entry
from wasmdock.runtime import RunRequest

if TYPE_CHECKING:
    from wasmdock.programs import Prepared

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18  # linux/mount.h
_FAILED, _INTERRUPTED = 125, 130  # exit codes
_ALL_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE)


@dataclass(frozen=True, slots=True)
class Program:
    """Another program: argv, its whole environment, and the signal it gets when we die."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    last_signal: int = int(signal.SIGKILL)
    hosts: Path | None = None  # a file it sees as /etc/hosts


@dataclass(frozen=True, slots=True)
class Guest:
    """A Wasm command run by a copy of this very process: its binary and what it is granted."""

    data: bytes = field(repr=False)
    entry: Entry
    env: Mapping[str, str]
    request: RunRequest
    cache: Path | None
    ready: dict["tuple[bytes, Entry]", "Prepared"] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Task:
    """Work of our own in a process of its own, such as a relay; it gives the exit code."""

    work: Callable[[], int]
    given_away: Callable[[], None] | None = None  # called in the parent once the child has what it needs


Job = Program | Guest | Task


def spawn(job: Job, stdout: int, stderr: int, stdin: int | None = None) -> int:
    """Start a job with these descriptors as its streams, in a process group of its own, and give its pid.

    Forks: the caller must run no second thread, and have nothing left in its streams' buffers.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        if isinstance(job, Task) and job.given_away:
            job.given_away()
        return pid
    code: int = _FAILED
    try:
        _become_child(job, parent, stdout, stderr, stdin)
        code = _run(job)
    except WasmdockError as error:
        _say(error.message)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BaseException as error:
        _say(f"starting it: {error}")
    finally:
        os._exit(code)


def _become_child(job: Job, parent: int, stdout: int, stderr: int, stdin: int | None) -> None:
    os.setpgid(0, 0)  # Ctrl-C at the terminal is ours to hand on, in order
    signal.set_wakeup_fd(-1)
    for number in _ALL_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    die_with(parent, job.last_signal if isinstance(job, Program) else signal.SIGKILL)
    source = os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin
    for stream, descriptor in enumerate((source, stdout, stderr)):
        os.dup2(descriptor, stream)


def _run(job: Job) -> int:
    if isinstance(job, Task):
        return job.work()
    if isinstance(job, Guest):
        return _run_guest(job)
    if job.hosts:
        _see_as_hosts(job.hosts)
    return _replaced_by(job)


def _replaced_by(program: Program) -> NoReturn:
    os.execvpe(program.argv[0], program.argv, dict(program.env))


def _run_guest(guest: Guest) -> int:
    """Run it in this thread: a signal ends the process at once, even in a host call."""
    from wasmdock.inprocess import run_here
    from wasmdock.programs import Programs

    prepared = guest.ready.get((guest.data, guest.entry))
    if prepared is None:
        prepared = Programs(guest.cache).load(guest.data, guest.entry, guest.request.limits)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    result = run_here(prepared, dict(guest.env), guest.request)
    if result.message:
        _say(result.message)
    return result.exit_code


def prepare(guests: Iterable[Guest]) -> None:
    """Load what several guests are to run once, here: the children that are forked share it.

    Raises GuestError, UnavailableError.
    """
    from wasmdock.programs import Programs

    known: dict[tuple[bytes, Entry], Prepared] = {}
    programs: Programs | None = None
    for guest in guests:
        key = (guest.data, guest.entry)
        programs = programs or Programs(guest.cache)
        if key not in known:
            known[key] = programs.load(guest.data, guest.entry, guest.request.limits)
        guest.ready[key] = known[key]


def _say(text: str) -> None:
    os.write(2, f"wasmdock: {text}\n".encode("utf-8", "replace"))


def _see_as_hosts(file: Path) -> None:
    """Show the program this file in place of /etc/hosts, in a mount namespace of its own."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS if user == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "no mount namespace for the names of services")
    if user != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(text)
    nothing = ctypes.c_char_p(None)
    if libc.mount(b"none", b"/", nothing, _MS_REC | _MS_PRIVATE, nothing) != 0:
        raise OSError(ctypes.get_errno(), "no private mounts for the names of services")
    if libc.mount(os.fsencode(file), b"/etc/hosts", nothing, _MS_BIND, nothing) != 0:
        raise OSError(ctypes.get_errno(), "no /etc/hosts of its own")
