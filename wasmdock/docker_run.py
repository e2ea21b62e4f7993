"""Images run as containers by the docker client."""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from wasmdock.docker import Docker
from wasmdock.docker_call import DockerCall, phases_of, run_arguments
from wasmdock.docker_causes import WASM_RUNTIME
from wasmdock.docker_shelf import SHELF
from wasmdock.docker_verdict import LAST_WORDS, TAIL, find_write_error, is_doubtful, judge
from wasmdock.errors import CommandError, WasmdockError
from wasmdock.oci.image import Image
from wasmdock.passing import is_unread, write_all
from wasmdock.process import Completed
from wasmdock.runtime import (
    OUT_OF_MEMORY_CODE,
    PIPE_CLOSED_CODE,
    Limits,
    Outcome,
    RunRequest,
    RunResult,
    Stdio,
    check_limits,
)

# Seconds a container may take to start and to end on top of its guest's own time.
NATIVE_ALLOWANCE = 1.0
WASM_ALLOWANCE = 5.0
SERVING_ALLOWANCE = 0.3  # it never ends by itself: our runtime's own time limit is one of each request
_REMOVE_TIMEOUT = 15.0
_NO_CAP = 1 << 62


class _Counted(TypedDict, total=False):
    """What a run whose output is counted hands to the attacher besides."""

    cap: int
    on_overflow: Callable[[], None]


class DockerRuntime:
    """Runs images in containers of one engine. A Runtime."""

    def __init__(
        self,
        docker: Docker,
        *,
        runtime: str | None = None,
        held: Mapping[str, str] | None = None,
        tty: bool = False,
        options: Sequence[str] = (),
        timed: bool = False,
        shown: str = "",
        serves: bool = False,
    ) -> None:
        """Keep how to run.

        runtime: a name for --runtime; None takes io.containerd.wasmtime.v1 for Wasm and the engine's default
        for the rest. held: by image digest, the name under which the engine surely holds that image already.
        options: further words for `docker run`, such as `--network=none`. timed: phases from the engine's
        events, which cost one more question after each run. shown: the user's name for the one image that is run.
        serves: it is a wasi:http component, so nothing but the time limit here ends it.
        """
        self._docker = docker
        self._runtime = runtime
        self._references = dict(held or {})
        self._tty = tty
        self._options = tuple(options)
        self._timed = timed
        self._shown = shown
        self._serves = serves
        self.has_loaded = False

    @property
    def name(self) -> str:
        """The word for tables and reasons."""
        return "docker"

    def prepare(self, image: Image) -> None:
        """Load the image where the engine lacks it, under a name of its own that no other image can have."""
        if str(image.digest) in self._references:
            return
        reference = own_name(image)
        if not self._docker.has_image(reference, image):
            self._docker.load(image, reference)
            self.has_loaded = True
        self._references[str(image.digest)] = reference

    def run(self, image: Image, request: RunRequest) -> RunResult:
        """Run the image once in a new container, which is gone afterwards, whatever happens.

        Raises UnavailableError, ImageError, UsageError for a known failure of Docker with its cure,
        GuestError where the Wasm runtime cannot start the guest, CommandError for an unknown failure.
        """
        check_limits(request.limits)
        self.prepare(image)
        reference = self._references[str(image.digest)]
        name = f"wasmdock-{secrets.token_hex(6)}"
        is_wasm = image.platform.is_wasm
        runtime = self._runtime or (WASM_RUNTIME if is_wasm else None)
        call = run_arguments(
            reference,
            request,
            is_wasm=is_wasm,
            name=name,
            runtime=runtime,
            platform=str(image.platform) if is_wasm else None,
            tty=self._tty,
            options=self._options,
        )
        try:
            done = self._call(call, request, name, self._allowance(is_wasm))
        except BaseException:
            self._remove(name)
            raise
        was_left = self._take_away(done, name)
        cause = find_write_error(done)
        if request.stdio is Stdio.INHERIT and (cause or was_left) and (is_unread(1) or is_unread(2)):
            return RunResult(Outcome.EXITED, PIPE_CLOSED_CODE)
        if cause and was_left:
            raise CommandError(f"passing on what the guest prints: {cause}", "", done.argv, done.code)
        return self._result(done, request, name, is_wasm and runtime == WASM_RUNTIME)

    def _allowance(self, is_wasm: bool) -> float:
        if self._serves:
            return SERVING_ALLOWANCE
        return WASM_ALLOWANCE if is_wasm else NATIVE_ALLOWANCE

    def _take_away(self, done: Completed, name: str) -> bool:
        """Remove the container where its client ended first: killed, crashed, or unable to write what it printed."""
        if done.code == 0 or (done.code > 0 and not self._is_there(name)):
            return False
        self._remove(name)
        return True

    def _is_there(self, name: str) -> bool:
        try:
            return bool(self._docker.inspect_container(name))
        except WasmdockError:
            return False

    def _call(self, call: DockerCall, request: RunRequest, name: str, allowance: float) -> Completed:
        limit = request.limits.timeout
        timeout = None if limit is None else limit + allowance
        if request.stdio is Stdio.INHERIT:
            return self._docker.attacher(
                call.argv,
                timeout=timeout,
                stdin=request.stdin,
                share_stdin=request.interactive,
                env={**self._docker.environment, **call.env},
                on_timeout=lambda: self._remove_beside(name),
                stderr_tail=TAIL,
                hold=LAST_WORDS,
                **self._counted(request, name),
            )
        return self._docker.cli(
            *call.argv[1:],
            timeout=float("inf") if timeout is None else timeout,
            stdin=request.stdin,
            env=call.env,
            on_timeout=lambda: self._remove_beside(name),
            on_overflow=lambda: self._remove_beside(name),
            cap=_NO_CAP if request.limits.output is None else request.limits.output,
        )

    def _counted(self, request: RunRequest, name: str) -> "_Counted":
        if request.limits.printed is None:
            return {}
        return {"cap": request.limits.printed, "on_overflow": lambda: self._remove_beside(name)}

    def _result(self, done: Completed, request: RunRequest, name: str, ours: bool) -> RunResult:
        inherited = request.stdio is Stdio.INHERIT
        started = self._docker.has_started(name) if is_doubtful(done) else True
        verdict = judge(done, request.limits, ours=ours, started=started, shown=self._shown)
        if verdict.outcome is Outcome.EXITED and verdict.exit_code == OUT_OF_MEMORY_CODE and self._was_oom(name):
            verdict = verdict._replace(outcome=Outcome.OUT_OF_MEMORY, message="out of memory: the kernel ended it")
        phases = {"run": done.seconds, **(self._phases(name) if self._timed else {})}
        if inherited:
            message = verdict.message if _pass_on_the_rest(done, verdict) else ""
            return verdict._replace(stdout=b"", stderr=b"", message=message, phases=phases)
        return verdict._replace(phases=phases)

    def _was_oom(self, name: str) -> bool:
        """Ask the engine's events: the container itself is gone. No answer counts as no."""
        try:
            return any(action == "oom" for action, _ in self._docker.events(name))
        except WasmdockError:
            return False

    def _phases(self, name: str) -> dict[str, float]:
        try:
            return phases_of(self._docker.events(name))
        except WasmdockError:
            return {}

    def _remove_beside(self, name: str) -> None:
        """Remove it while its output is read on: with a guest that prints without end Docker waits for it."""
        threading.Thread(target=self._remove, args=(name,), daemon=True).start()

    def _remove(self, name: str) -> None:
        """End and remove the container; that it is gone already, or that the engine hangs, is no failure."""
        try:
            self._docker.cli("rm", "--force", "--volumes", name, timeout=_REMOVE_TIMEOUT)
        except WasmdockError:
            return


def _pass_on_the_rest(done: Completed, verdict: RunResult) -> bool:
    """Pass on what was held back for nothing; whether the message is yet to be said."""
    said = 0 if done.timed_out or done.truncated else len(done.stderr) - len(verdict.stderr)
    write_all(2, done.withheld[: max(0, len(done.withheld) - said)])
    return said <= len(done.withheld)


def own_name(image: Image) -> str:
    """The name under which an image is loaded to be run, which no other image can have."""
    return f"{SHELF}:{image.digest.hex[:24]}"


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an engine ran a Wasm image: seconds it took, and otherwise the cause and its cure."""

    works: bool
    seconds: float = 0.0
    cause: str = ""
    hint: str = ""


def prove(docker: Docker, image: Image, *, runtime: str = WASM_RUNTIME, timeout: float = 20.0) -> Proof:
    """Run a tiny Wasm image whose guest exits with 0, with a deadline in seconds, and say whether it did."""
    try:
        result = DockerRuntime(docker, runtime=runtime).run(image, RunRequest(limits=Limits(timeout=timeout)))
    except WasmdockError as error:
        return Proof(False, cause=error.message, hint=error.hint)
    if result.exit_code == 0:
        return Proof(True, result.phases["run"])
    cause = result.message or result.stderr.decode("utf-8", "replace").strip() or f"exit code {result.exit_code}"
    return Proof(False, result.phases["run"], f"running a tiny Wasm image with {runtime}: {cause}")
