"""HTTP services in containers, for a benchmark: published on a free port, asked until they answer."""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from wasmdock.bench_http import ask, free_port
from wasmdock.docker import Docker
from wasmdock.docker_run import DockerRuntime
from wasmdock.errors import CommandError
from wasmdock.oci.image import Image
from wasmdock.runtime import RunRequest, RunResult

_START = 60.0
_ADDRESS = "WASMDOCK_ENGINE_ADDRESS"  # where a published port answers at once; scripts/engine env sets it


class DockerService:
    """One image as a service: every start is a new container, published on a port of its own. A Service."""

    def __init__(self, docker: Docker, words: Sequence[str], args: Sequence[str], port: int, path: str) -> None:
        """words are what `docker run` is given up to the image's name; port and path are the service's own."""
        self._docker, self._words, self._args, self._port, self._path = docker, words, args, port, path
        self._hosts = hosts_of(docker.host.url, docker.environment)
        self._published = 0

    def start(self) -> Callable[[], None]:
        """Start a container and give back what removes it. Raises CommandError."""
        self._published = free_port()
        words = ["run", "--detach", "--pull=never", f"--publish={self._published}:{self._port}", *self._words]
        done = self._docker.cli(*words, *self._args, timeout=_START)
        if done.code != 0 or done.timed_out:
            raise CommandError(f"starting a service: {done.stderr_text(400)}", "", done.argv, done.code)
        identity = done.stdout.decode().strip()

        def stop() -> None:
            self._docker.cli("rm", "--force", "--volumes", identity, timeout=_START)

        return stop

    def answers(self) -> bool:
        """Whether a GET is answered; the address that does is asked first from then on."""
        for host in self._hosts:
            if ask(host, self._published, self._path):
                self._hosts.sort(key=lambda each: each != host)
                return True
        return False

    @property
    def url(self) -> str:
        """Where the last container answers."""
        return f"http://{self._hosts[0]}:{self._published}{self._path}"


class ServiceRuntime:
    """A Runtime whose run is a service's way to its first answer: what ColdRuntime wraps."""

    name = "docker"

    def __init__(self, runtime: DockerRuntime, run: Callable[[], RunResult]) -> None:
        """Load images by `runtime`, run by `run`."""
        self._runtime, self._run = runtime, run

    def prepare(self, image: Image) -> None:
        """Load the image."""
        self._runtime.prepare(image)

    def run(self, image: Image, request: RunRequest) -> RunResult:
        """Start, wait for the first answer, end."""
        return self._run()


def hosts_of(url: str, environment: Mapping[str, str]) -> list[str]:
    """Where an engine's published ports may answer, likeliest first."""
    known = (environment.get(_ADDRESS), urlsplit(url).hostname, "127.0.0.1")
    return list(dict.fromkeys(filter(None, known)))
