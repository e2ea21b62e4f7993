"""HTTP services as processes of this machine, for a benchmark: a wasi:http guest in wasmdock-host, a native program."""

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from wasmdock.bench import Case
from wasmdock.bench_http import answer_run, ask, weigh_service
from wasmdock.bench_memory import BY_PROCESS, resident
from wasmdock.cli.bench_cold import Read, kept_in
from wasmdock.cli.bench_list import Cases, image_parts, image_sizes
from wasmdock.cli.bench_phases import split_marks
from wasmdock.cli.context import Context
from wasmdock.http_host import Launch, compile_for_host
from wasmdock.oci.image import Image
from wasmdock.pack import extract
from wasmdock.ports import free_port
from wasmdock.process import starting
from wasmdock.results import CaseResult, Weight
from wasmdock.runtime import RunResult

ADDRESS = "WASMDOCK_HTTP_ADDRESS"  # where a native counterpart listens, too
_GRACE = 5.0
_MARKS = "wasmdock-marks: "


class HostService:
    """A wasi:http guest in a wasmdock-host of its own, each start a new one. A Service."""

    def __init__(self, host: Path, data: bytes, cache: Path, path: str, read: Read | None = None) -> None:
        """Nothing is compiled before the first start; `cache` keeps the code. read gives the image anew each time."""
        self._host, self._data, self._cache, self._path, self._read = host, data, cache, path, read
        self._address, self._process = "", 0
        self._steps: Mapping[str, float] = {}
        self._made: Mapping[str, float] = {}

    def start(self) -> Callable[[], None]:
        """Compile, or take the compiled code, and start. Raises GuestError, UnavailableError."""
        from wasmdock.serve import serve

        self._steps, began = {}, time.monotonic()
        data = extract(self._read()) if self._read else self._data
        loaded = time.monotonic()
        compiled = compile_for_host(self._host, data, self._cache)
        load = {"load": loaded - began} if self._read else {}
        self._made = {**load, "compile": time.monotonic() - loaded}
        served = serve(self._host, Launch(compiled, marks=True), on_line=self._hear)
        self._address, self._process = served.address, served.process.pid
        return lambda: _ignore(served.end(_GRACE))

    def _hear(self, line: str) -> None:
        if line.startswith(_MARKS):
            self._steps = split_marks(line.encode())[1]

    def answers(self) -> bool:
        """Whether a GET is answered."""
        parts = urlsplit(self.url)
        return ask(parts.hostname or "", parts.port or 0, self._path)

    def steps(self) -> Mapping[str, float]:
        """What loading took, compiling, or finding the code, and what wasmdock-host said."""
        return {**self._steps, **self._made}

    def weigh(self) -> Weight:
        """By its process."""
        return resident(self._process)

    @property
    def url(self) -> str:
        """Where the last one answers."""
        return f"http://{self._address}{self._path}"


class ProgramService:
    """A native program that serves HTTP where the variable WASMDOCK_HTTP_ADDRESS says. A Service."""

    def __init__(self, program: Path, path: str) -> None:
        """Keep what to start."""
        self._program, self._path, self._port, self._process = program, path, 0, 0

    def start(self) -> Callable[[], None]:
        """Start it. Raises UnavailableError."""
        self._port = free_port()
        with starting([str(self._program)]):
            process = subprocess.Popen(
                [str(self._program)],
                env={ADDRESS: f"127.0.0.1:{self._port}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._process = process.pid

        def stop() -> None:
            process.kill()
            process.wait()

        return stop

    def answers(self) -> bool:
        """Whether a GET is answered."""
        return ask("127.0.0.1", self._port, self._path)

    def steps(self) -> Mapping[str, float]:
        """It says nothing."""
        return {}

    def weigh(self) -> Weight:
        """By its process."""
        return resident(self._process)

    @property
    def url(self) -> str:
        """Where the last one answers."""
        return f"http://127.0.0.1:{self._port}{self._path}"


def add_host(prefix: str, image: Image, cases: Cases, context: Context, path: str, *, cold: bool) -> None:
    """A wasi:http guest served without a container, from kept compiled code and from none. Raises UnavailableError."""
    from wasmdock.cli.compose_images import find_host_program
    from wasmdock.http_host import MISSING

    host, data = find_host_program(context), extract(image)
    if host is None:
        raise MISSING
    cache = cases.folder / "host" / image.digest.hex[:16]
    code = compile_for_host(host, data, cache).path.stat().st_size
    sizes = {**image_sizes(image), "compiled code": code}
    describe = CaseResult(f"{prefix}wasm, wasmdock-host", "wasm", "process", "warm", sizes=sizes)
    describe = replace(describe, parts=image_parts(image), weighed_by=BY_PROCESS)
    add_service(describe, HostService(host, data, cache, path), cases)
    if cold:
        away = cases.folder / "host-cold" / image.digest.hex[:16]
        run = answer_run(HostService(host, data, away, path, kept_in(cases.folder, image)))

        def forget_and_run() -> RunResult:
            shutil.rmtree(away, ignore_errors=True)
            return run()

        bare = replace(describe, start="cold", weighed_by="")
        cases.add(Case(bare, forget_and_run, clocked_by="total"))


def add_service(describe: CaseResult, service: HostService | ProgramService, cases: Cases) -> None:
    """One service as a case that is timed, weighed, and put under load."""
    case = Case(describe, answer_run(service), clocked_by="total", weigh=lambda: weigh_service(service))
    cases.add(case)
    cases.services.append((case, service))


def _ignore(_value: object) -> None:
    """The value does not matter."""
