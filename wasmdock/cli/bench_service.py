"""HTTP services in containers, for a benchmark: published on a free port, asked until they answer."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from wasmdock.bench_http import answer_run, ask
from wasmdock.bench_memory import cgroup_of, group_weight
from wasmdock.cli.bench_fresh import held_as
from wasmdock.cli.bench_phases import split_marks
from wasmdock.docker import Docker
from wasmdock.docker_call import phases_of
from wasmdock.docker_run import DockerRuntime
from wasmdock.errors import CommandError, WasmdockError
from wasmdock.oci.image import Image
from wasmdock.ports import free_port
from wasmdock.results import Weight
from wasmdock.runtime import RunRequest, RunResult

_START = 60.0
_ADDRESS = "WASMDOCK_ENGINE_ADDRESS"  # where a published port answers at once; scripts/engine env sets it


class DockerService:
    """One image as a service: every start is a new container, published on a port of its own. A Service."""

    def __init__(self, docker: Docker, words: Sequence[str], args: Sequence[str], port: int, path: str) -> None:
        """words are options of `docker run`; port and path are the service's own. `image` says what is run."""
        self.image = ""
        self._docker, self._words, self._args, self._port, self._path = docker, words, args, port, path
        self._hosts = hosts_of(docker.host.url, docker.environment)
        self._published = 0
        self._identity = ""

    def start(self) -> Callable[[], None]:
        """Start a container and give back what removes it. Raises CommandError."""
        self._published = free_port()
        words = (f"--publish={self._published}:{self._port}", *self._words)
        self._identity, stop = start_container(self._docker, (*words, self.image, *self._args), "starting a service")
        return stop

    def answers(self) -> bool:
        """Whether a GET is answered; the address that does is asked first from then on."""
        for host in self._hosts:
            if ask(host, self._published, self._path):
                self._hosts.sort(key=lambda each: each != host)
                return True
        return False

    def steps(self) -> Mapping[str, float]:
        """What our Wasm runtime says in the log, as bench_phases.ASK asked it to, and what the engine did."""
        said = self._docker.cli("logs", self._identity, timeout=_START)
        try:
            spans = phases_of(self._docker.events(self._identity))
        except WasmdockError:
            spans = {}
        return {**split_marks(said.stderr)[1], **spans}

    def weigh(self) -> Weight:
        """By the container's cgroup; nothing where it cannot be seen from here."""
        group = cgroup_of(self._identity)
        return group_weight(group) if group else Weight()

    @property
    def url(self) -> str:
        """Where the last container answers."""
        return f"http://{self._hosts[0]}:{self._published}{self._path}"


def start_container(docker: Docker, words: Sequence[str], doing: str) -> tuple[str, Callable[[], None]]:
    """Run a container in the background; give its id, and what removes it. words are options, image and arguments.

    A start that fails, or is interrupted, may have made the container already (its port was taken): it is removed by
    the name that we gave it. Raises CommandError.
    """
    name = f"wasmdock-bench-{secrets.token_hex(8)}"

    def remove() -> None:
        docker.cli("rm", "--force", "--volumes", name, timeout=_START)

    try:
        done = docker.cli("run", "--detach", "--pull=never", f"--name={name}", *words, timeout=_START)
        if done.code != 0 or done.timed_out:
            cause = f"no end after {_START:g} s" if done.timed_out else done.stderr_text(400)
            raise CommandError(f"{doing}: {cause}", "", done.argv, done.code)
    except BaseException:
        with suppress(WasmdockError):  # what went wrong first is what counts
            remove()
        raise
    return done.stdout.decode().strip(), remove


class ServiceRuntime:
    """A Runtime whose run is a service's way to its first answer: what ColdRuntime wraps."""

    name = "docker"

    def __init__(self, runtime: DockerRuntime, service: DockerService) -> None:
        """Load images by `runtime`, run them as `service`."""
        self._runtime, self._service = runtime, service

    def prepare(self, image: Image) -> None:
        """Load the image; it is what the service runs from now on."""
        self._runtime.prepare(image)
        self._service.image = held_as(image)

    def run(self, image: Image, request: RunRequest) -> RunResult:
        """Start, wait for the first answer, end."""
        self._service.image = held_as(image)
        return answer_run(self._service)()


def hosts_of(url: str, environment: Mapping[str, str]) -> list[str]:
    """Where an engine's published ports may answer, likeliest first."""
    known = (environment.get(_ADDRESS), urlsplit(url).hostname, "127.0.0.1")
    return list(dict.fromkeys(filter(None, known)))
