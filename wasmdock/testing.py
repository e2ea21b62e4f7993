"""Wasm guests in tests: a WasmContainer for testcontainers, and a pytest fixture.

`pip install '.[testing]'` in a clone; for the fixture, `pytest_plugins = ["wasmdock.testing"]` in conftest.py.
"""

import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from testcontainers.core.container import DockerContainer

from wasmdock.docker import Docker
from wasmdock.docker_call import runtime_settings
from wasmdock.docker_run import DockerRuntime, own_name
from wasmdock.doctor_facts import ShimKind
from wasmdock.engine_files import find_root, find_shim
from wasmdock.errors import ImageError, UnavailableError, WasmdockError
from wasmdock.grants import hold_to_label
from wasmdock.guest import Artifact, Target
from wasmdock.http_host import MISSING, Launch, compile_for_host, find_host
from wasmdock.inprocess import InProcessRuntime
from wasmdock.launch import WASM_PLATFORM, WASM_RUNTIME, Road
from wasmdock.oci.archive import read_archive
from wasmdock.oci.image import Image
from wasmdock.oci.layout import read_layout
from wasmdock.pack import extract, pack
from wasmdock.runtime import CAPABILITIES_LABEL, Limits, Mount, RunRequest, RunResult
from wasmdock.serve import serve
from wasmdock.wasm_sniff import Form, World, form_of, sniff

_API = "1.41"  # spoken by no engine here: with a version given, docker-py asks none
_ADDRESS = "WASMDOCK_ENGINE_ADDRESS"
_TIME = 60.0  # seconds a guest in this process may take
_HTTP_PORT = 8080  # where a wasi:http guest listens, as far as its container knows


class WasmContainer(DockerContainer):
    """A DockerContainer whose image is Wasm: run by the engine's Wasm runtime, else in this process.

    image is an Image, a path (.wasm, an archive, an OCI layout) or a name in the engine. road is chosen where it is
    None: Docker where the engine has our runtime. Without a container there is no exec, the only port is that of a
    wasi:http guest, 8080, served by wasmdock-host (which scripts/shim builds), and a command's log is there once it has
    ended. limits hold on both roads; their timeout is that of each request of a wasi:http guest.
    """

    def __init__(
        self, image: Image | Path | str, *, road: Road | None = None, limits: Limits | None = None, **options: Any
    ) -> None:
        """Choose the road and keep the settings; nothing is started."""
        self._limits = limits or Limits(timeout=_TIME)
        self._engine = _engine() if road is not Road.PROCESS else None
        self.road = road or (Road.DOCKER if self._engine and _has_runtime(self._engine) else Road.PROCESS)
        if self.road is Road.DOCKER and self._engine is None:
            raise UnavailableError("starting a Wasm container: no engine answers", "wasmdock doctor tells why")
        self._wasm = image if isinstance(image, Image) else _read(image, self._engine)
        version = self._engine.answer.api_version if self._engine else ""
        client = {"version": version or _API, "environment": self._engine.environment if self._engine else {}}
        self._served: _Served | None = None
        super().__init__(own_name(self._wasm), docker_client_kw=client, **options)

    def start(self) -> Self:
        """Start the guest and wait for what was asked to be waited for.

        Raises GuestError where it can ask for more than its author listed in the image.
        """
        if CAPABILITIES_LABEL in self._wasm.labels:
            hold_to_label(self._wasm.labels, extract(self._wasm))
        if self.road is Road.DOCKER and self._engine:
            DockerRuntime(self._engine).prepare(self._wasm)
            settings = runtime_settings(RunRequest(limits=self._limits), True)
            self.env = {**settings, **self.env}
            self.with_kwargs(**{**self._kwargs, "platform": WASM_PLATFORM, "runtime": WASM_RUNTIME})
            return super().start()
        if self._serves():
            self._served = _Served(self._wasm, self._request())
            self._container = self._served  # type: ignore[assignment]  # what is used of one
        elif self.ports:
            raise UnavailableError(
                "exposing a port in-process: a command has no network here", "use an engine: wasmdock doctor"
            )
        else:
            self._container = _InProcess(self._wasm, self._request())  # type: ignore[assignment]  # as above
        if self._wait_strategy is not None:
            self._wait_strategy.wait_until_ready(self)
        return self

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """End it; a command in this process ends by its time limit at the latest."""
        if self.road is Road.DOCKER:
            super().stop(force, delete_volume)
        elif self._served:
            self._served.end()

    def get_exposed_port(self, port: int) -> int:
        """The port that answers for the guest's own."""
        if self._served is None:
            return super().get_exposed_port(port)
        if port != _HTTP_PORT:
            raise UnavailableError(f"finding port {port}: without a container a guest has port {_HTTP_PORT} alone")
        return self._served.port

    def get_container_host_ip(self) -> str:
        """Where published ports answer; WASMDOCK_ENGINE_ADDRESS for the engines whose `env` says so."""
        if self._served:
            return "127.0.0.1"
        return os.environ.get(_ADDRESS) or super().get_container_host_ip()

    def _serves(self) -> bool:
        return sniff(extract(self._wasm))[1] is World.HTTP

    def _request(self) -> RunRequest:
        command = self._command or ()
        args = tuple(shlex.split(command) if isinstance(command, str) else command)  # as docker-py does
        mounts = tuple(Mount(Path(host), each["bind"], each["mode"] == "ro") for host, each in self.volumes.items())
        return RunRequest(args=args, env=dict(self.env), mounts=mounts, limits=self._limits)


class _InProcess:
    """What DockerContainer and the wait strategies use of a container of docker-py, for a guest in this process."""

    id = short_id = "in-process"

    def __init__(self, image: Image, request: RunRequest) -> None:
        self._result: RunResult | None = None
        self._error: WasmdockError | None = None
        self._thread = threading.Thread(target=self._run, args=(image, request), daemon=True)
        self._thread.start()

    def _run(self, image: Image, request: RunRequest) -> None:
        try:
            self._result = InProcessRuntime().run(image, request)
        except WasmdockError as error:
            self._error = error

    @property
    def status(self) -> str:
        return "running" if self._thread.is_alive() else "exited"

    @property
    def attrs(self) -> Mapping[str, Any]:
        code = self._result.exit_code if self._result else 125
        return {"State": {"Status": self.status, "ExitCode": code, "Error": str(self._error or "")}}

    def reload(self) -> None:
        """Nothing is remembered that could be out of date."""

    def wait(self) -> Mapping[str, int]:
        self._thread.join()
        if self._error:
            raise self._error
        assert self._result is not None
        return {"StatusCode": self._result.exit_code}

    def logs(self, stdout: bool = True, stderr: bool = True) -> bytes:
        if self._result is None:
            return b""
        said = f"wasmdock: {self._result.message}\n".encode() if self._result.message else b""
        return (self._result.stdout if stdout else b"") + (self._result.stderr + said if stderr else b"")


class _Served:
    """The same for a wasi:http guest, which a program of its own serves."""

    id = short_id = "wasmdock-host"

    def __init__(self, image: Image, request: RunRequest) -> None:
        cache = _cache()
        host = find_host(Path(sys.executable).parent, cache, os.environ.get("WASMDOCK_SHIM", ""))
        if host is None:
            raise UnavailableError(MISSING.message, MISSING.hint)
        code = compile_for_host(host, extract(image), cache, fuel=request.limits.fuel is not None)
        self._lines: list[str] = []
        environment = {**image.env, **request.env}
        launch = Launch(code, environment, request.mounts, limits=request.limits)
        self._guest = serve(host, launch, on_line=self._lines.append)
        self.port = int(self._guest.address.rpartition(":")[2])

    @property
    def status(self) -> str:
        return "running" if self._guest.process.poll() is None else "exited"

    @property
    def attrs(self) -> Mapping[str, Any]:
        return {"State": {"Status": self.status, "ExitCode": self._guest.process.poll() or 0, "Error": ""}}

    def reload(self) -> None:
        """Nothing is remembered that could be out of date."""

    def wait(self) -> Mapping[str, int]:
        return {"StatusCode": self._guest.wait()}

    def logs(self, stdout: bool = True, stderr: bool = True) -> bytes:
        return "".join(f"{line}\n" for line in self._lines).encode() if stderr else b""

    def end(self) -> None:
        self._guest.end()


@pytest.fixture
def wasm_container() -> Iterator[Callable[..., WasmContainer]]:
    """Start WasmContainers: `wasm_container(image, command=[...])`; each is removed when the test ends."""
    with ExitStack() as stack:
        yield lambda image, **options: stack.enter_context(WasmContainer(image, **options))


def _engine() -> Docker | None:
    try:
        return Docker.connect(os.environ)
    except WasmdockError:
        return None


def _cache() -> Path:
    """Where the command line keeps what can be made again."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("WASMDOCK_CACHE") or home / "wasmdock")


def _has_runtime(engine: Docker) -> bool:
    """Whether our Wasm runtime is on the engine's PATH: others may hang the engine."""
    root = find_root(engine.host)
    return root is not None and find_shim(root.path, root.folders, versions=False).kind is ShimKind.OURS


def _read(what: Path | str, engine: Docker | None) -> Image:
    path = Path(what)
    if path.is_dir():
        return read_layout(path)
    if path.is_file() and path.suffix == ".wasm":
        data = path.read_bytes()
        target = Target.WASIP2 if form_of(data) is Form.COMPONENT else Target.WASIP1
        return pack(Artifact("guest", target, data))
    if path.is_file():
        images = read_archive(path)
        if len(images) != 1:
            raise ImageError(f'reading archive "{path}": {len(images)} images where one is needed')
        return images[0][1]
    if engine is None:
        raise ImageError(f'finding "{what}": no such file, and no engine answers that may hold it', "wasmdock doctor")
    return engine.image(str(what))
