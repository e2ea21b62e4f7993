"""Every exception wasmdock raises, sorted by who must act.

WasmdockError(message, hint)
  UsageError           the caller            exit 2
  GuestError           the guest's author    not Wasm, wrong world, no such export
  BuildError           the guest's author    its toolchain said no (the end of its output kept)
  ImageError           whoever made it       malformed layout, manifest, reference, digest
    RegistryError      the registry          status and code kept
  UnavailableError     the machine's owner   no engine, no shim, no target; the hint is the cure
  CommandError         another program       argv, exit code, stderr

A guest's exit code or trap is a result (`wasmdock.runtime.RunResult`), never an exception.
"""

import errno
from collections.abc import Sequence

RUN_FAILED = 125  # in place of any exit code here, where a guest's own is given; Docker's, too, for such a failure


class WasmdockError(Exception):
    """What was tried and what was wrong (`message`, one line), and what to do (`hint`, may be empty)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message as the exception's text and the hint beside it."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(WasmdockError):
    """The caller asked for something that has no meaning: a flag, a value, a combination."""

    exit_code = 2


class GuestError(WasmdockError):
    """The guest itself is at fault: not Wasm, the wrong world, no such export."""


class BuildError(WasmdockError):
    """The guest's toolchain refused; `output` is the end of what it printed."""

    def __init__(self, message: str, hint: str = "", output: str = "") -> None:
        """Keep the end of the toolchain's output, at most some 40 lines, as text."""
        super().__init__(message, hint)
        self.output = output


class ImageError(WasmdockError):
    """A malformed or hostile layout, archive, manifest, reference or digest."""


class RegistryError(ImageError):
    """A registry's answer; `status` is the HTTP status and `code` the registry's own error code."""

    def __init__(
        self, message: str, hint: str = "", status: int = 0, code: str = "", retry_after: float | None = None
    ) -> None:
        """Keep the HTTP status (0 when there was no answer), the OCI error code, and Retry-After in seconds."""
        super().__init__(message, hint)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class UnavailableError(WasmdockError):
    """The machine lacks something: an engine, a shim, a target. The hint is the command that cures it."""


def cure_of(error: OSError, variable: str = "") -> str:
    """What to do where a folder cannot be written to; variable moves it elsewhere. Empty where nothing is known."""
    elsewhere = f"set {variable} to another folder" if variable else "choose another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"make room there, or {elsewhere}"
    return elsewhere if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR) else ""


class CommandError(WasmdockError):
    """Another program failed: its argv, exit code (negative: signal) and the end of its stderr."""

    def __init__(self, message: str, hint: str = "", argv: Sequence[str] = (), code: int = 0, stderr: str = "") -> None:
        """Keep how the program was called and how it ended."""
        super().__init__(message, hint)
        self.argv = tuple(argv)
        self.code = code
        self.stderr = stderr
