"""wasmdock run: an image, one run, its exit code."""

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable

from wasmdock.cli import INTERRUPTED
from wasmdock.cli.context import Context
from wasmdock.cli.limits import limits_of
from wasmdock.cli.source import Source, find_image, wanted_of
from wasmdock.cli.values import parse_env
from wasmdock.errors import GuestError, UnavailableError, UsageError, WasmdockError
from wasmdock.launch import Launch, Machine, Nature, Road, plan_launch
from wasmdock.oci.image import Image
from wasmdock.pack import entry, extract
from wasmdock.runtime import CAPABILITIES_LABEL, OUT_OF_MEMORY_CODE, TRAP_CODE, Outcome, RunRequest, RunResult, Stdio
from wasmdock.wasm_sniff import Form, World, sniff

_LAST_WORDS = 0.5  # seconds that saying why a guest was ended may take


def run(options: argparse.Namespace, context: Context) -> int:
    """Find the image, choose the road, run, report."""
    source = find_image(options.image, context, wanted_of(options))
    nature = nature_of(source.image)
    wanted = None if options.on == "auto" else Road(options.on)
    launch = plan_launch(nature, _machine(nature, wanted, context), wanted)
    if options.why:
        context.say(f"wasmdock: {source.reference} from {source.origin}; {launch.why}")
    hold_to_grant(source.image, options)
    request = request_of(options, context)
    if launch.road is Road.DOCKER:
        from wasmdock.cli.foresee import foresee  # not needed by the other road, whose start is counted in milliseconds

        foresee(source.image, nature, options, context)
        return _run_in_docker(source, nature, request, launch, options, context)
    if nature is Nature.HTTP:
        from wasmdock.cli.run_http import serve_http

        return serve_http(source, request, options.publish, context)
    if options.publish:
        raise UsageError("publishing a port in-process: a guest has no network here", "run it with --on docker")
    return _run_in_process(source.image, request, options.compile_time, context)


def hold_to_grant(image: Image, options: argparse.Namespace) -> None:
    """Refuse a guest that can ask for more than its author listed or the user allows, on whichever road."""
    if not (options.allow is not None or options.deny or CAPABILITIES_LABEL in image.labels):
        return
    from wasmdock.grants import check_grant, decide_grant
    from wasmdock.wasm import parse

    if not image.platform.is_wasm:
        doing = "limiting the capabilities of a native program"
        by_user = options.allow is not None or options.deny
        cure = "leave --allow and --deny out" if by_user else f"make it without the label {CAPABILITIES_LABEL}"
        raise UsageError(f"{doing}: only Wasm has them", cure)
    grant = decide_grant(image.labels, options.allow, options.deny)
    if grant is not None:
        check_grant(parse(extract(image)), grant)


def request_of(options: argparse.Namespace, context: Context) -> RunRequest:
    """What the flags grant."""
    return RunRequest(
        args=tuple(options.args),
        env=parse_env(options.env, options.env_file, context.environment),
        mounts=tuple(options.volume),
        interactive=options.interactive,
        stdio=Stdio.INHERIT,
        network=options.network,
        read_only=options.read_only,
        limits=limits_of(options),
    )


def nature_of(image: Image) -> Nature:
    """What an image is: by its platform, then by the binary it starts. Raises ImageError, GuestError."""
    if not image.platform.is_wasm and not _is_mislabelled(image):
        return Nature.NATIVE
    form, world = _sniffed(image)
    if world is World.HTTP:
        return Nature.HTTP
    if world is World.LIBRARY and not entry(image).export:
        return Nature.LIBRARY
    return Nature.COMPONENT_COMMAND if form is Form.COMPONENT else Nature.CORE_COMMAND


def _sniffed(image: Image) -> tuple[Form, World]:
    data = extract(image)
    try:
        return sniff(data)
    except GuestError as error:
        name = (image.entrypoint or image.cmd or ("",))[0]
        cure = (
            f"its image is for {image.platform}: compile it for wasm32-wasip1, or build the image for its own platform"
        )
        raise GuestError(f'starting "{name}": {error.message}', error.hint or cure) from error


def _is_mislabelled(image: Image) -> bool:
    """Whether a Linux image starts a Wasm binary; asked only of those whose entrypoint looks so."""
    if not (image.entrypoint or image.cmd or ("",))[0].partition("#")[0].endswith((".wasm", ".wat")):
        return False
    from wasmdock.foresight import is_mislabelled

    return is_mislabelled(image)


def _machine(nature: Nature, wanted: Road | None, context: Context) -> Machine:
    """Ask for an engine only where the answer can matter: a question costs 0.1 s."""
    if wanted is Road.PROCESS or nature is Nature.LIBRARY:
        return Machine()
    from wasmdock.cli.compose_images import find_host_program
    from wasmdock.cli.proof import is_proven

    serves_http = nature is Nature.HTTP and find_host_program(context) is not None
    might_use = wanted is Road.DOCKER or nature is Nature.NATIVE or (nature is Nature.HTTP and not serves_http)
    proven = is_proven(context)
    if not might_use and not proven:
        return Machine("Docker" if _has_engine(context) else "", serves_http=serves_http)
    try:
        return Machine(f"Docker {context.engine_facts.version}", wasm_proven=proven, serves_http=serves_http)
    except UnavailableError as error:
        return Machine(trouble=error.message, cure=error.hint, serves_http=serves_http)


def _has_engine(context: Context) -> bool:
    try:
        return bool(context.docker)
    except WasmdockError:
        return False


def _run_in_docker(
    source: Source,
    nature: Nature,
    request: RunRequest,
    launch: Launch,
    options: argparse.Namespace,
    context: Context,
) -> int:
    from wasmdock.cli.proof import forget_proof, record_proof
    from wasmdock.docker_call import grant_words
    from wasmdock.docker_run import DockerRuntime
    from wasmdock.docker_shelf import thin_out

    gc.enable()
    held = {str(source.image.digest): source.reference} if source.origin == "the engine" else {}
    words = [f"--publish={port}" for port in options.publish]
    if launch.runtime:
        words += grant_words(compile_time=options.compile_time, allow=options.allow, deny=options.deny or ())
    runtime = DockerRuntime(
        context.docker,
        runtime=launch.runtime or None,
        held=held,
        tty=options.tty,
        options=words,
        shown=str(options.image),
        serves=nature is Nature.HTTP,
    )
    image = _runnable(source.image)
    try:
        runtime.prepare(image)
        result = runtime.run(image, request)
    except UnavailableError:
        forget_proof(context)  # what it once could do it cannot do now
        raise
    if launch.runtime and result.outcome is Outcome.EXITED:
        record_proof(context)
        if result.exit_code in (TRAP_CODE, OUT_OF_MEMORY_CODE):
            _remark_silence(result.exit_code, context)
    code = report_result(result)
    if runtime.has_loaded:
        thin_out(context.docker)
    return code


def _remark_silence(code: int, context: Context) -> None:
    """Other Wasm runtimes than ours end every fault so, and do not say which."""
    from wasmdock.cli.foresee import find_kind
    from wasmdock.doctor_facts import ShimKind

    if find_kind(context) is not ShimKind.OURS:
        how = "wasmdock run --on process shows whether it trapped"
        context.say(f"wasmdock: exit code {code}, and not a word from the Wasm runtime: {how}")


def _runnable(image: Image) -> Image:
    """The same program in the shape every engine and shim can start."""
    from wasmdock.convert import convert
    from wasmdock.shape import Shape

    return convert(image, Shape.ROOTFS)


def _run_in_process(image: Image, request: RunRequest, compile_time: float | None, context: Context) -> int:
    from wasmdock.inprocess import InProcessRuntime

    runtime = InProcessRuntime(context.code_cache, on_stuck=leave, compile_time=compile_time)
    runtime.prepare(image)
    gc.enable()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a closed pipe ends us quietly, as it ends any Unix program
    return report_result(interruptible(lambda: runtime.run(image, request)))


def interruptible(work: "Callable[[], RunResult]") -> RunResult:
    """Do the work in a thread, so that a signal ends this process whatever the guest is doing."""
    answers: list[RunResult | BaseException] = []

    def target() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # handed to the main thread, which knows what to do with it
            answers.append(error)

    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    thread = threading.Thread(target=target, name="wasmdock-guest", daemon=True)
    try:
        thread.start()
        thread.join()
    except KeyboardInterrupt as error:
        os._exit(getattr(error, "exit_code", INTERRUPTED))
    answer = answers[0]
    if isinstance(answer, BaseException):
        raise answer
    return answer


def leave(result: RunResult) -> None:
    """End this process while the guest sits in a host call, at once: nobody may be reading what we say."""
    hurry = threading.Timer(_LAST_WORDS, os._exit, (result.exit_code,))
    hurry.daemon = True
    try:
        hurry.start()
        report_result(result)
    finally:
        os._exit(result.exit_code)


def report_result(result: RunResult) -> int:
    """Say on stderr what ended the guest, unless it ended itself; give the exit code."""
    if result.message:
        sys.stdout.flush()
        print(f"wasmdock: {result.message}", file=sys.stderr, flush=True)
    return result.exit_code
