"""A benchmark's Docker road: the Wasm image, the native program in each base, the user's images and services."""

import argparse
import hashlib
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from wasmdock.bench import Case, ColdRuntime, runtime_case
from wasmdock.bench_command import command_run
from wasmdock.bench_http import weigh_service
from wasmdock.bench_memory import BY_CGROUP, BY_PROCESS, weigh_container, weigh_program
from wasmdock.cli.bench_crowds import Containers
from wasmdock.cli.bench_fresh import FreshImages, held_as
from wasmdock.cli.bench_host import ProgramService, add_service
from wasmdock.cli.bench_list import NOT_COUNTED, Cases, check_service, image_parts, image_sizes
from wasmdock.cli.bench_phases import ASK, Listener, PhasedDocker
from wasmdock.cli.bench_service import DockerService, ServiceRuntime
from wasmdock.cli.context import Context
from wasmdock.cli.source import Source
from wasmdock.docker import Docker
from wasmdock.docker_causes import WASM_RUNTIME
from wasmdock.docker_run import DockerRuntime, prove
from wasmdock.errors import BuildError, UnavailableError, UsageError, WasmdockError
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Image
from wasmdock.pack import extract, pack
from wasmdock.results import CaseResult
from wasmdock.runtime import Limits, RunRequest, RunResult

# Where the native program goes: the base image, and whether the program must bring its own libc.
BASES: Mapping[str, tuple[str, bool]] = {
    "slim": ("debian:trixie-slim", False),
    "debian": ("debian:trixie", False),
    "distroless": ("gcr.io/distroless/cc-debian13", False),
    "scratch": ("scratch", True),
    "alpine": ("alpine:3", True),
    "alpine-like": ("alpine:3", True),
}
PROCESS = "process"
_USUAL = ("slim",)
_STATIC = "-C target-feature=+crt-static"
_HTTP_PORT = 8080
_STAYS = "a cold start loads it again, but its layers stay in the engine"
_PATIENCE = 120.0  # seconds for one container: a wedged engine must not stop a benchmark for ever


class DockerCases:
    """Adds cases that need an engine; without one each is left out with the reason."""

    def __init__(self, context: Context, cases: Cases, options: argparse.Namespace) -> None:
        """Nothing is asked before the first case."""
        self._context, self._cases, self._options = context, cases, options
        self._listener = Listener()

    @cached_property
    def _docker(self) -> Docker:
        found = self._context.docker
        return Docker(found.host, found.environment, answer=found.answer, runner=self._listener)

    def add_wasm(self, prefix: str, source: Source, request: RunRequest, *, serves: bool = False) -> None:
        """The Wasm image in a container, where this engine runs such; `serves`: it answers HTTP."""
        with self._leaving_out(f"{prefix}wasm, docker"):
            self._prove()
            road, sizes = "http" if serves else "docker", image_sizes(source.image)
            describe = CaseResult(
                f"{prefix}wasm, docker", "wasm", road, "warm", sizes=sizes, parts=image_parts(source.image)
            )
            self._add(describe, source.image, request)

    def _prove(self) -> None:
        """Try a tiny Wasm image, once per engine: one without the shim says so, and a wedged one in 20 s."""
        from wasmdock.cli.proof import is_proven, record_proof

        if is_proven(self._context):
            return
        proof = prove(self._docker, pack(Artifact("proof", Target.WASIP1, _TINY)))
        if not proof.works:
            raise UnavailableError(proof.cause, proof.hint)
        record_proof(self._context)

    def add_bases(self, prefix: str, folder: Path, request: RunRequest, *, serves: bool = False) -> None:
        """The same crate, native, in every base asked for; `serves`: it answers HTTP."""
        has_docker = "docker" in self._options.roads
        for base in self._options.against or (_USUAL if has_docker else ()):
            with self._leaving_out(f"{prefix}native, {base}"):
                if base == PROCESS:
                    self._add_program(prefix, folder, request, serves)
                elif has_docker:
                    self._add_base(prefix, folder, base, request, serves)
                else:
                    raise UnavailableError(f'running in "{base}": --roads leaves Docker out', "name docker there, too")

    def add_native(self, source: Source, request: RunRequest) -> None:
        """A native image that was named itself."""
        with self._leaving_out(source.reference):
            describe = CaseResult(source.reference, "native", "docker", "warm", sizes=image_sizes(source.image))
            self._add(describe, source.image, request)

    def add_image(self, name: str, reference: str, request: RunRequest) -> None:
        """An image of the user's own, by its name in the engine."""
        with self._leaving_out(name):
            image = self._docker.image(reference)
            program = "wasm" if image.platform.is_wasm else "native"
            describe = CaseResult(name, program, "docker", "warm", sizes=image_sizes(image), detail=_STAYS)
            self._add(describe, image, request)

    def add_service(self, name: str, what: str, request: RunRequest) -> None:
        """A service of a compose file: FILE#SERVICE, run once and removed; what it depends on stays until the end."""
        file, mark, service = what.rpartition("#")
        if not mark or not file or not service:
            raise UsageError(f'reading case "{name}": not compose:FILE#SERVICE', "name the service after a #")
        with self._leaving_out(name):
            argv = ["docker", "compose", "--file", file, "run", "--rm", "--no-TTY", "--quiet-pull", service]
            self._cases.cleanups.append(compose_cleanup(self._docker, file))
            run = command_run(argv, env=self._docker.environment, stdin=request.stdin)
            describe = CaseResult(name, "command", "docker", "warm", detail=shlex.join(argv))
            self._cases.add_command(
                Case(describe, run, exit_code=self._options.exit_code, clocked_by="total", stable_output=False)
            )

    def engine(self) -> dict[str, str]:
        """The engine by what it says of itself; empty where no case needed one."""
        if "_docker" not in self.__dict__:
            return {}
        with suppress(WasmdockError):
            facts = self._docker.facts()
            parts = (f"Docker {facts.version}", f"containerd {facts.containerd}", f"runc {facts.runc}")
            engine = {"engine": ", ".join(parts), "engine's kernel": facts.kernel, "storage": facts.storage_driver}
            return {**engine, "shim": self._shim()}
        return {}

    def _shim(self) -> str:
        """Whose Wasm runtime the engine has, and the wasmtime in it; empty where its files are out of reach."""
        from wasmdock.engine_files import find_root, find_shim

        root = find_root(self._docker.host)
        shim = find_shim(root.path, root.folders) if root else None
        return f"{shim.kind} (wasmtime {shim.wasmtime or 'unknown'})" if shim and shim.path else ""

    def _add(self, describe: CaseResult, image: Image, request: RunRequest) -> None:
        if self._options.http is not None or describe.road == "http":
            self._add_http(replace(describe, road="docker"), image, request)
            return
        reference = held_as(image)
        bounded = request._replace(limits=Limits(timeout=_PATIENCE))
        self._cases.cleanups.append(lambda: _ignore(self._docker.remove(reference, force=True)))
        network = self._network()
        options = [*network, *([ASK] if image.platform.is_wasm else [])]

        def make() -> PhasedDocker:
            return PhasedDocker(DockerRuntime(self._docker, options=options, timed=True), self._listener)

        def run_into(file: Path) -> RunResult:
            return DockerRuntime(self._docker, options=[*network, f"--cidfile={file}"]).run(image, bounded)

        runtime = make()
        warm = Case(
            replace(describe, weighed_by=BY_CGROUP),
            lambda: runtime.run(image, bounded),
            lambda: runtime.prepare(image),
            exit_code=self._options.exit_code,
            clocked_by="total",
            weigh=lambda: weigh_container(run_into, self._cases.folder),
        )
        self._cases.add(warm)
        plain = DockerRuntime(self._docker, options=network)
        self._cases.loads.append(replace(warm, run=lambda: plain.run(image, bounded)))
        self._cases.crowds.append(lambda: self._crowd(describe.name, plain, image, network, request.args))
        if not self._options.no_cold:
            cold = ColdRuntime(make, "load", self._renew())
            detail = describe.detail or ("its base image stays in the engine" if describe.program == "native" else "")
            described = replace(describe, start="cold", detail=detail)
            self._cases.add(
                replace(warm, describe=described, run=lambda: cold.run(image, bounded), prepare=_pass, weigh=None)
            )

    def _crowd(
        self, name: str, runtime: DockerRuntime, image: Image, network: Sequence[str], args: tuple[str, ...]
    ) -> Containers:
        runtime.prepare(image)
        return Containers(name, self._docker, held_as(image), (*_wasm_words(image), *network), args)

    def _add_http(self, describe: CaseResult, image: Image, request: RunRequest) -> None:
        """A service: from nothing to the first HTTP answer. Raises UnavailableError for what it cannot be given."""
        check_service(request)
        reference, port, path = held_as(image), self._options.http or _HTTP_PORT, self._options.http_path
        variables = [word for key, value in request.env.items() for word in ("--env", f"{key}={value}")]
        shared = [*self._network(), *variables]
        words = [*_wasm_words(image), *shared, *([ASK] if image.platform.is_wasm else [])]

        def serve() -> DockerService:
            return DockerService(self._docker, words, request.args, port, path)

        docker, service = DockerRuntime(self._docker), serve()
        runtime = ServiceRuntime(docker, service)
        warm = runtime_case(replace(describe, weighed_by=BY_CGROUP), runtime, image, request, clocked_by="total")
        warm = replace(warm, weigh=lambda: weigh_service(service))
        self._cases.add(warm)
        self._cases.services.append((warm, service))
        self._cases.crowds.append(lambda: self._crowd(describe.name, docker, image, shared, request.args))
        self._cases.cleanups.append(lambda: _ignore(self._docker.remove(reference, force=True)))
        if not self._options.no_cold:

            def make() -> ServiceRuntime:
                return ServiceRuntime(DockerRuntime(self._docker), serve())

            cold = ColdRuntime(make, "load", self._renew())
            described = replace(describe, start="cold")
            self._cases.add(
                replace(warm, describe=described, run=lambda: cold.run(image, request), prepare=_pass, weigh=None)
            )

    def _renew(self) -> "FreshImages":
        fresh = FreshImages(self._docker)
        self._cases.cleanups.append(fresh.forget)
        return fresh

    def _network(self) -> list[str]:
        return [f"--network={self._options.network}"] if self._options.network else []

    def _add_base(self, prefix: str, folder: Path, base: str, request: RunRequest, serves: bool) -> None:
        parent, static = BASES.get(base, (base, False))
        program, name = self._native(folder, static)
        tag = f"wasmdock/bench:{name}-{hashlib.sha256(parent.encode() + program).hexdigest()[:16]}"
        self._build(parent, name, program, tag)
        try:
            image = self._docker.image(tag)
        finally:
            self._docker.remove(tag, force=True)
        sizes = {**image_sizes(image), "program": len(program)}
        road = "http" if serves else "docker"
        describe = CaseResult(f"{prefix}native, {base}", "native", road, "warm", sizes=sizes, parts=image_parts(image))
        self._add(describe, image, request)

    def _build(self, parent: str, name: str, program: bytes, tag: str) -> None:
        with tempfile.TemporaryDirectory(prefix="wasmdock-bench-") as made:
            folder = Path(made)
            (folder / name).write_bytes(program)
            (folder / name).chmod(0o755)
            lines = (f"FROM {parent}", f"COPY {name} /{name}", "STOPSIGNAL SIGINT", f'ENTRYPOINT ["/{name}"]')
            (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
            try:
                self._docker.build(folder, [tag])
            except BuildError as error:
                raise UnavailableError(f'putting "{name}" into "{parent}": {_last(error.output)}') from error

    def _native(self, folder: Path, static: bool) -> tuple[bytes, str]:
        from wasmdock.cli.source import build_and_pack

        context = self._context
        if static:
            flags = f"{context.environment.get('RUSTFLAGS', '')} {_STATIC}".strip()
            context = Context({**context.environment, "RUSTFLAGS": flags}, context.quiet)
        source = build_and_pack(folder, Target.NATIVE, context)
        return extract(source.image), source.reference

    def _add_program(self, prefix: str, folder: Path, request: RunRequest, serves: bool) -> None:
        """The native program as it is, in no container at all: what no container can beat."""
        if request.mounts:
            raise UnavailableError("running without a container: there is nothing that would show it its folders")
        program, name = self._native(folder, static=False)
        path = self._cases.folder / "native" / name  # apart from folders that may be called the same
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(program)
        path.chmod(0o755)
        describe = CaseResult(f"{prefix}native, process", "native", "command", "warm", sizes={"program": len(program)})
        describe = replace(describe, weighed_by=BY_PROCESS)
        if serves:
            check_service(request)
            add_service(describe, ProgramService(path, self._options.http_path), self._cases)
            self._cases.crowdless[describe.name] = NOT_COUNTED
            return
        argv = [str(path), *request.args]
        run = command_run(argv, env={}, stdin=request.stdin)
        case = Case(describe, run, exit_code=self._options.exit_code, clocked_by="total")
        self._cases.add_command(replace(case, weigh=lambda: weigh_program(argv, env={}, stdin=request.stdin)))

    def _leaving_out(self, what: str) -> "_LeavingOut":
        return _LeavingOut(self._cases, what)


class _LeavingOut:
    """Turns a failure to make a case into a line of what was left out."""

    def __init__(self, cases: Cases, what: str) -> None:
        self._cases, self._what = cases, what

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, WasmdockError) and not isinstance(error, UsageError):
            self._cases.leave_out(self._what, error)
            return True
        return False


def compose_cleanup(docker: Docker, file: str) -> Callable[[], None]:
    """What puts a compose project back to what it is now: `compose run` starts what a service depends on, and keeps it.

    Raises CommandError where the file or compose itself is at fault.
    """
    compose = ("compose", "--file", file)

    def containers(*more: str) -> set[str]:
        done = docker.cli(*compose, "ps", "--quiet", *more, timeout=_PATIENCE)
        return set(done.check(f'listing the containers of "{file}"').stdout.decode().split())

    there, running = containers("--all"), containers()

    def clean_up() -> None:
        if new := sorted(containers("--all") - there):
            docker.cli("rm", "--force", "--volumes", *new, timeout=_PATIENCE)
        if started := sorted(containers() - running):
            docker.cli("stop", *started, timeout=_PATIENCE)
        if not there:  # nor was there a network; volumes with a name are kept, and so is what is in them
            docker.cli(*compose, "down", timeout=_PATIENCE)

    return clean_up


def _wasm_words(image: Image) -> list[str]:
    return [f"--runtime={WASM_RUNTIME}", f"--platform={image.platform}"] if image.platform.is_wasm else []


# A module whose `_start` returns at once: (module (memory (export "memory") 1) (func (export "_start")))
_TINY = bytes.fromhex(
    "0061736d01000000010401600000030201000503010001071302066d656d6f72790200065f737461727400000a040102000b"
)


def _last(output: str) -> str:
    """The line of a build's output that says most: the last one with `ERROR`, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower()]
    return (wrong or lines or ["the build failed"])[-1]


def _ignore(_value: object) -> None:
    """The value does not matter."""


def _pass() -> None:
    """Nothing to prepare."""
