"""The command line -> cases: an app as Wasm on each road, natively in each base, and the user's own."""

import argparse
import hashlib
import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from wasmdock.bench import Case, ColdRuntime, runtime_case
from wasmdock.bench_command import command_run
from wasmdock.bench_memory import BY_PROCESS, weigh_program
from wasmdock.cli.bench_call import call_cases
from wasmdock.cli.bench_cold import cold_run, kept_in
from wasmdock.cli.bench_crowds import Instances
from wasmdock.cli.bench_defaults import with_defaults
from wasmdock.cli.bench_docker import DockerCases
from wasmdock.cli.bench_list import NOT_COUNTED, Cases, check_service, image_parts, image_sizes, volume_words
from wasmdock.cli.context import Context
from wasmdock.cli.run import nature_of
from wasmdock.cli.source import Source, find_image
from wasmdock.errors import UsageError, WasmdockError
from wasmdock.escaping import encodable, visible
from wasmdock.launch import Nature
from wasmdock.pack import extract
from wasmdock.results import CaseResult, LeftOut
from wasmdock.runtime import RunRequest, RunResult

HOT_RUNS = 100  # per round
HOT_LEAD = 300  # untimed ones before these: what ran before has left the processor slow and its caches full
_COMMANDS = (Nature.CORE_COMMAND, Nature.COMPONENT_COMMAND)


def find_cases(options: argparse.Namespace, context: Context) -> Cases:
    """Build and load whatever the command line names. What this machine cannot do is left out with its reason."""
    if not options.subjects and not options.case:
        raise UsageError("benchmarking nothing", "name a guest's folder or an image, or give --case NAME=COMMAND")
    if options.call and not options.subjects:
        raise UsageError(f'calling "{options.call}" of nothing', "name a library before it, or leave --call out")
    cases = Cases()
    try:
        request = request_of(options)
        docker = DockerCases(context, cases, options)
        for subject in options.subjects:
            _add_subject(subject, cases, docker, with_defaults(options, Path(subject)), context)
        for text in options.case:
            _add_own(text, cases, docker, request, options, context)
        cases.engine = docker.engine()
    except BaseException:
        cases.close()
        raise
    return cases


def request_of(options: argparse.Namespace) -> RunRequest:
    """What each run is granted."""
    try:
        stdin = options.stdin.read_bytes() if options.stdin else None
    except OSError as error:
        raise UsageError(f'reading "{options.stdin}": {error.strerror}') from error
    return RunRequest(args=tuple(options.args), stdin=stdin, mounts=tuple(options.volume))


def _add_subject(
    subject: str, cases: Cases, docker: DockerCases, options: argparse.Namespace, context: Context
) -> None:
    """All cases of one app; its name is before theirs where there are several."""
    source = find_image(subject, context)
    before = len(cases.found)
    _add_roads(subject, source, cases, docker, options, context)
    known = {"wasm": hashlib.sha256(extract(source.image)).hexdigest()} if source.image.platform.is_wasm else {}
    for place, case in enumerate(cases.found[before:], before):
        digest = known.get(case.describe.program, "")
        described = replace(case.describe, subject=source.reference, digest=digest)
        cases.found[place] = replace(case, describe=described)


def _add_roads(
    subject: str, source: Source, cases: Cases, docker: DockerCases, options: argparse.Namespace, context: Context
) -> None:
    request = request_of(options)
    prefix = f"{source.reference}: " if len(options.subjects) > 1 else ""
    nature = nature_of(source.image)
    if options.call and nature is not Nature.LIBRARY:
        doing = f'calling "{options.call}" of "{source.reference}"'
        raise UsageError(f"{doing}: it is {nature.value}, and only a library has exports to call", "leave --call out")
    native = _native_source(f"{prefix}native", subject, nature, cases, options)
    if nature is Nature.NATIVE:
        docker.add_native(source, request)
        return
    if nature in _COMMANDS:
        _add_process(prefix, source, request, cases, options, context)
    elif nature is Nature.LIBRARY and options.call:
        _add_call(prefix, source, cases, options)
    elif nature is Nature.LIBRARY:
        cases.left_out.append(
            LeftOut(f"{prefix}wasm, in-process", f"{source.reference} is a library: give --call EXPORT")
        )
    elif nature is Nature.HTTP and "process" in options.roads:
        _add_host(prefix, source, request, cases, options, context)
    elif nature is not Nature.HTTP:
        cases.left_out.append(LeftOut(f"{prefix}wasm, in-process", f"{source.reference} is {nature.value}"))
    if "docker" in options.roads and nature is not Nature.LIBRARY:
        docker.add_wasm(prefix, source, request, serves=nature is Nature.HTTP)
    if native:
        docker.add_bases(prefix, native, request, serves=nature is Nature.HTTP)


def _native_source(name: str, subject: str, nature: Nature, cases: Cases, options: argparse.Namespace) -> Path | None:
    """The crate that is built natively; without one, bases that were asked for are left out with the reason."""
    folder = Path(subject)
    native: Path | None = getattr(options, "native", None) if nature is Nature.HTTP else folder
    if native and (native / "Cargo.toml").is_file():
        return native
    cause = f'"{subject}" has no source to build natively'
    hint = "name the guest's folder, or --case mine=image:REFERENCE for a native image"
    if nature is Nature.HTTP and (folder / "Cargo.toml").is_file():
        cause = f'"{subject}" names no native counterpart'
        hint = 'native = "FOLDER" under [package.metadata.wasmdock.bench] in its Cargo.toml'
    if options.against:
        cases.leave_out(name, UsageError(cause, hint))
    return None


def _add_host(
    prefix: str, source: Source, request: RunRequest, cases: Cases, options: argparse.Namespace, context: Context
) -> None:
    """A wasi:http guest without a container; options.native is the folder of its native counterpart."""
    from wasmdock.cli.bench_host import add_host

    try:
        check_service(request)
        add_host(prefix, source.image, cases, context, options.http_path, cold=not options.no_cold)
    except WasmdockError as error:
        cases.leave_out(f"{prefix}wasm, wasmdock-host", error)
    else:
        cases.crowdless[f"{prefix}wasm, wasmdock-host"] = NOT_COUNTED


def _add_call(prefix: str, source: Source, cases: Cases, options: argparse.Namespace) -> None:
    cache = cases.folder / "code" / source.image.digest.hex[:16]
    sizes, parts = image_sizes(source.image), image_parts(source.image)
    describe = CaseResult(f"{prefix}wasm, in-process", "wasm", "process", "hot", sizes=sizes, parts=parts)
    made = call_cases(
        describe,
        source.image,
        options.call,
        options.args,
        cache,
        repeat=HOT_RUNS,
        read=None if options.no_cold else kept_in(cases.folder, source.image),
    )
    made[0] = replace(made[0], lead=HOT_LEAD)
    for case in made:
        cases.add(case)
    cases.loads.append(made[0])
    cases.crowdless[describe.name] = "a call ends by itself, and what has ended uses no memory"


def _add_process(
    prefix: str, source: Source, request: RunRequest, cases: Cases, options: argparse.Namespace, context: Context
) -> None:
    from wasmdock.inprocess import InProcessRuntime

    cache = cases.folder / "code" / source.image.digest.hex[:16]
    InProcessRuntime(cache).prepare(source.image)
    sizes = {**image_sizes(source.image), "compiled code": sum(file.stat().st_size for file in cache.iterdir())}
    parts = image_parts(source.image)
    describe = CaseResult(f"{prefix}wasm, in-process", "wasm", "process", "hot", sizes=sizes, parts=parts)
    if "process" in options.roads:
        hot = runtime_case(
            describe,
            InProcessRuntime(cache),
            source.image,
            request,
            repeat=HOT_RUNS,
            lead=HOT_LEAD,
            exit_code=options.exit_code,
        )
        cases.add(hot)
        cases.loads.append(hot)
        cases.crowds.append(lambda: Instances(describe.name, source.image, request, cache))
        kept = ColdRuntime(lambda: InProcessRuntime(cache), "map")
        cases.add(_made_anew(replace(describe, start="warm"), kept, source, request, options))
        if not options.no_cold:
            run = cold_run(kept_in(cases.folder, source.image), lambda: InProcessRuntime(None), request)
            bare = replace(describe, start="cold")
            cases.add(Case(bare, run, exit_code=options.exit_code, clocked_by="total"))
    if "cli" in options.roads:
        whole = replace(describe, parts={}, name=f"{prefix}wasm, wasmdock run", road="cli")
        _add_cli(whole, source, request, cases, options, context)


def _made_anew(
    describe: CaseResult, runtime: ColdRuntime, source: Source, request: RunRequest, options: argparse.Namespace
) -> Case:
    return Case(describe, lambda: runtime.run(source.image, request), exit_code=options.exit_code, clocked_by="total")


def _add_cli(
    describe: CaseResult,
    source: Source,
    request: RunRequest,
    cases: Cases,
    options: argparse.Namespace,
    context: Context,
) -> None:
    """`wasmdock run` as a whole program, Python's start and all; the image comes from a store of its own."""
    from wasmdock.oci.reference import Reference
    from wasmdock.oci.store import Store

    home = cases.folder / "home" / source.image.digest.hex[:16]
    Store(home / "images").put(source.image, Reference.parse("subject"))
    argv = [*_own_program(), "run", "--on", "process"]
    argv += [*(["-i"] if request.stdin is not None else []), *volume_words(request.mounts), "subject", *request.args]
    env = {**context.environment, "WASMDOCK_HOME": str(home), "WASMDOCK_CACHE": str(cases.folder / "cache")}
    run = command_run(argv, env=env, stdin=request.stdin)
    described = replace(describe, start="warm", weighed_by=BY_PROCESS)
    warm = Case(described, run, exit_code=options.exit_code, clocked_by="total")
    warm = replace(warm, weigh=lambda: weigh_program(argv, env=env, stdin=request.stdin))
    cases.add_command(warm)
    if not options.no_cold:
        away = Path(cases.folder / "cold-cache")
        cold = command_run(argv, env={**env, "WASMDOCK_CACHE": str(away)}, stdin=request.stdin)

        def forget_and_run() -> RunResult:
            shutil.rmtree(away, ignore_errors=True)
            return cold()

        cases.add(replace(warm, describe=replace(describe, start="cold"), run=forget_and_run, weigh=None))


def _own_program() -> list[str]:
    """What a user types: the console script of this environment; where there is none, the module."""
    script = Path(sys.executable).parent / "wasmdock"
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "wasmdock"]


def _add_own(
    text: str, cases: Cases, docker: DockerCases, request: RunRequest, options: argparse.Namespace, context: Context
) -> None:
    """A case of the user's own: NAME=COMMAND, NAME=image:REFERENCE or NAME=compose:FILE#SERVICE."""
    name, equals, what = text.partition("=")
    if encodable(text) != text:
        raise UsageError(f'reading case "{visible(text)}": not UTF-8 text', "give it a name of letters")
    if not name or not equals or not what.strip():
        raise UsageError(f'reading case "{text}": not NAME=WHAT', "write --case 'mine=./program --flag'")
    if what.startswith("image:"):
        docker.add_image(name, what.removeprefix("image:"), request)
        return
    if what.startswith("compose:"):
        docker.add_service(name, what.removeprefix("compose:"), request)
        return
    try:
        argv = shlex.split(what)
    except ValueError as error:
        raise UsageError(f'reading case "{text}": {error}', "quote it as in a shell") from error
    run = command_run(argv, env=context.environment, stdin=request.stdin)
    describe = CaseResult(name, "command", "command", "warm", detail=what, weighed_by=BY_PROCESS)
    case = Case(describe, run, exit_code=options.exit_code, clocked_by="total", stable_output=False)
    cases.add_command(replace(case, weigh=lambda: weigh_program(argv, env=context.environment, stdin=request.stdin)))
