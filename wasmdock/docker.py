"""The Docker engine: what it is, which images it holds, and its client program."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wasmdock.attach import Attacher, attach_command
from wasmdock.docker_facts import EngineFacts, parse_facts
from wasmdock.docker_host import NO_DOCKER_HINT, START_HINT, Host, Ping, ask, find_host, ping
from wasmdock.docker_plugins import plugin_cure
from wasmdock.errors import BuildError, CommandError, ImageError, UnavailableError, WasmdockError
from wasmdock.oci.image import Image, Platform, Reference
from wasmdock.process import DEFAULT_CAP, Completed, Runner, run_command

if TYPE_CHECKING:
    from docker import DockerClient

TIMEOUT = 60.0
_SAVE_CAP = 4 << 30
_MOUNTS = re.compile(r"--mount=\S+[ \t]*(?:\\\n\s*)?")
_MINUTES = 1800.0
_LONG = 30 * 86400.0  # seconds back that an engine's events are asked for; it keeps the last 256 of them


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image as the engine lists it: digests are all it is known by, size is bytes as the engine counts."""

    reference: str
    digests: frozenset[str]
    platform: Platform
    entrypoint: tuple[str, ...]
    size: int


class Docker:
    """One Docker engine: its API for questions and images, its client program for runs and builds."""

    def __init__(
        self,
        host: Host,
        environment: Mapping[str, str],
        *,
        timeout: float = TIMEOUT,
        answer: Ping | None = None,
        runner: Runner = run_command,
        attacher: Attacher = attach_command,
        api: "DockerClient | None" = None,
    ) -> None:
        """Keep the address; nothing is asked yet. timeout is seconds for one answer of the API."""
        self.host = host
        self.answer = answer or Ping()
        self.environment = {**environment, **host.environment}
        self.timeout = timeout
        self.runner = runner
        self.attacher = attacher
        if api is not None:
            self.__dict__["api"] = api

    @classmethod
    def connect(cls, environment: Mapping[str, str], timeout: float = 5.0) -> "Docker":
        """Find the engine and see that it answers within `timeout` seconds.

        Raises UnavailableError with the cause and its cure, UsageError for a senseless address.
        """
        host = find_host(environment)
        return cls(host, environment, answer=ping(host, timeout))

    @cached_property
    def api(self) -> "DockerClient":
        """docker-py's client, imported on first use: it costs some 0.1 s."""
        import docker

        # Asked by ourselves: docker-py would ask before it can be told not to trust the environment.
        version = self.answer.api_version or ping(self.host, self.timeout).api_version
        with self._asking("connecting"):
            client = docker.DockerClient(
                base_url=self.host.url,
                version=version or None,
                timeout=int(self.timeout),
                tls=self._tls(),
                use_ssh_client=True,
            )
        # Else requests prefers REQUESTS_CA_BUNDLE to the engine's own certificates.
        client.api.trust_env = False
        return client

    @property
    def _api(self) -> Any:  # types-docker leaves half of these methods untyped
        return self.api.api

    def facts(self) -> EngineFacts:
        """Ask the engine what it is. Raises UnavailableError."""
        info, version = self._get("/info"), self._get("/version")
        try:
            return parse_facts(info, version)
        except (TypeError, ValueError, AttributeError) as error:
            doing = f'asking "{self.host.shown}" what it is'
            raise UnavailableError(f"{doing}: no Docker engine answers so ({error})", NO_DOCKER_HINT) from error

    def find_image(self, reference: str) -> EngineImage | None:
        """What the engine holds under this name or digest, or None."""
        answer = self._get(f"/images/{quote(reference, safe='/:@')}/json")
        return parse_image(reference, answer) if answer else None

    def has_image(self, reference: str, image: Image) -> bool:
        """Whether the engine's image of this name is exactly this one."""
        found = self.find_image(reference)
        # containerd's store knows an image by its manifest, Docker's older one by its config.
        wanted = {str(image.digest), str(image.config_descriptor.digest)}
        return found is not None and not wanted.isdisjoint(found.digests)

    def load(self, image: Image, reference: str) -> None:
        """Put an image into the engine under this name. Raises ImageError where the engine refuses it."""
        import tempfile

        from wasmdock.oci.archive import write_archive

        doing = f'loading image "{reference}"'
        with tempfile.TemporaryFile() as file, self._asking(doing):
            write_archive(image, file, Reference.parse(reference))
            file.seek(0)
            _check_progress(self._api.load_image(file), doing)

    def image(self, reference: str) -> Image:
        """Read an image out of the engine. Raises ImageError where there is none of that name."""
        import tempfile

        from docker.errors import ImageNotFound

        from wasmdock.oci.archive import read_archive

        doing = f'reading image "{reference}"'
        # Not closed here: the image reads its large layers from it when they are used.
        file = tempfile.TemporaryFile()  # noqa: SIM115
        with self._asking(doing):
            try:
                _copy(self._api.get_image(reference), file.write, doing)
            except ImageNotFound as error:
                raise ImageError(f"{doing}: the engine has none of that name", "`docker images` lists them") from error
        images = read_archive(file)
        if not images:
            raise ImageError(f"{doing}: the engine sent no image")
        return images[0][1]

    def remove(self, reference: str, *, force: bool = False) -> bool:
        """Remove an image's name, and the image with its last one; False where there was none."""
        from docker.errors import ImageNotFound

        with self._asking(f'removing image "{reference}"'):
            try:
                self._api.remove_image(reference, force=force)
            except ImageNotFound:
                return False
        return True

    def cli(
        self,
        *arguments: str,
        timeout: float = TIMEOUT,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        on_timeout: Callable[[], None] | None = None,
        on_overflow: Callable[[], None] | None = None,
        cap: int = DEFAULT_CAP,
    ) -> Completed:
        """Call the docker client with these arguments on this engine; env adds to its environment."""
        return self.runner(
            ["docker", *arguments],
            timeout=timeout,
            stdin=stdin,
            env={**self.environment, **(env or {})},
            on_output=on_output,
            on_stderr=on_stderr,
            on_timeout=on_timeout,
            on_overflow=on_overflow,
            cap=cap,
        )

    def build(
        self,
        source: Path | bytes,
        tags: Iterable[str],
        *,
        target: str = "",
        platform: str = "",
        secrets: Mapping[str, Path] | None = None,
        arguments: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        timeout: float = _MINUTES,
    ) -> None:
        """Build a folder with a Dockerfile, or the text of one that needs no files, into the engine.

        secrets are files by id, seen by the build and kept in no layer. A lone Dockerfile is also built by an
        engine's old builder, without its secrets, where the client has no buildx.
        Raises BuildError with the end of the output, UnavailableError where buildx is missing.
        """
        names = [word for tag in tags for word in ("--tag", tag)]
        old = self.cli("buildx", "version").code != 0
        if old and not isinstance(source, bytes):
            cure = plugin_cure("buildx", self.host.url)
            raise UnavailableError(f'building "{source}": this docker client has no buildx', cure)
        if old:
            command, env = ["build", *names, "-"], {"DOCKER_BUILDKIT": "0"}
            source = without_mounts(source) if isinstance(source, bytes) else source
        else:
            command, env = ["buildx", "build", "--load", "--provenance=false", *names], {}
            command += [f"--secret=id={key},src={path}" for key, path in (secrets or {}).items()]
            command += [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
            command += [f"--target={target}"] if target else []
            command += [f"--platform={platform}"] if platform else []
            command.append("-" if isinstance(source, bytes) else str(source))
        stdin = source if isinstance(source, bytes) else None
        done = self.cli(*command, timeout=timeout, stdin=stdin, env=env, on_output=on_output)
        if done.code != 0 or done.timed_out:
            lines = (done.stdout + done.stderr).decode("utf-8", "replace").rstrip().splitlines()
            last = lines[-1] if lines else f"docker's exit code {done.code}"
            how = f"no end after {timeout:g} s" if done.timed_out else last
            raise BuildError(f'building image "{" ".join(tags)}": {how}', output="\n".join(lines[-40:]))

    def inspect_container(self, name: str) -> dict[str, Any]:
        """What the engine records of a container; empty where there is none of that name or id."""
        return self._get(f"/containers/{quote(name, safe='')}/json")

    def events(self, container: str, now: float | None = None) -> list[tuple[str, int]]:
        """What happened to a container up to now, by our clock or the given one: action, and the engine's nanoseconds.

        The action of a kill has the signal's number with it: "kill 9".
        Raises CommandError where the engine has no such answer.
        """
        now = time.time() if now is None else now
        filters = quote(json.dumps({"container": [container]}))
        status, body = self._body(f"/events?since={now - _LONG:.3f}&until={now + 0.02:.3f}&filters={filters}")
        if status != 200:
            raise CommandError(f'asking "{self.host.shown}" for the events of "{container}": it answered {status}')
        entries = [json.loads(line) for line in body.splitlines()]
        return [(_action(entry), int(entry.get("timeNano", 0))) for entry in entries]

    def has_started(self, container: str) -> bool | None:
        """Whether a container ever ran, by the events that no guest can change; None where nobody can tell.

        The engine's own clock bounds them: by that of another machine the last ones may be yet to come.
        """
        try:
            now = datetime.fromisoformat(str(self._get("/info").get("SystemTime", ""))).timestamp()
            return any(action == "start" for action, _ in self.events(container, now))
        except (WasmdockError, ValueError):
            return None

    def _get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path of the API; empty where there is none."""
        status, body = self._body(path)
        if status == 404:
            return {}
        try:
            document = json.loads(body)
        except ValueError as error:
            raise UnavailableError(f'asking "{self.host.shown}" for "{path}": the answer is not JSON') from error
        if status != 200 or not isinstance(document, dict):
            cause = document.get("message", "") if isinstance(document, dict) else "and no JSON object"
            raise CommandError(f'asking "{self.host.shown}" for "{path}": the engine answered: {status} {cause}')
        return document

    def _body(self, path: str) -> tuple[int, bytes]:
        version = f"/v{self.answer.api_version}" if self.answer.api_version else ""
        if not self.host.url.startswith("ssh://"):
            answer = ask(self.host, version + path, self.timeout)
            return answer.status, answer.body
        with self._asking(f'asking for "{path}"'):
            response = self._api.get(self._api.base_url + version + path, timeout=self.timeout)
            return response.status_code, response.content

    def _tls(self) -> Any:
        from docker.tls import TLSConfig

        folder = self.host.tls
        if folder is None:
            return False
        pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
        authority = folder / "ca.pem"
        return TLSConfig(
            client_cert=pair if (folder / "cert.pem").exists() else None,
            ca_cert=str(authority) if authority.exists() else None,
            verify=self.host.verify,
        )

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Turn docker-py's, requests' and urllib3's exceptions into ours."""
        import requests
        import urllib3
        from docker.errors import APIError, DockerException

        where = f'{doing} at "{self.host.shown}"'
        try:
            yield
        except APIError as error:
            cause = str(error.explanation or error).strip()
            raise CommandError(f"{where}: the engine answered: {cause}") from error
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            cause = f"no answer within {self.timeout:g} s"
            raise UnavailableError(f"{where}: {cause}", "restart Docker: its engine hangs") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, DockerException) as error:
            if "paramiko" in str(error):  # docker-py wants it for ssh
                cause = "an address of ssh needs the Python package paramiko, which is not here"
                raise UnavailableError(f"{where}: {cause}", "pip install paramiko") from error
            cause = str(error).replace(self.host.url, self.host.shown)
            raise UnavailableError(f"{where}: the engine went away ({cause})", START_HINT) from error


def parse_image(reference: str, answer: Mapping[str, Any]) -> EngineImage:
    """Turn the answer of /images/<name>/json into a value."""
    named = {entry.rpartition("@")[2] for entry in answer.get("RepoDigests") or ()}
    described = (answer.get("Descriptor") or {}).get("digest", "")
    config = answer.get("Config") or {}
    return EngineImage(
        reference=reference,
        digests=frozenset({answer.get("Id", ""), described, *named} - {""}),
        platform=Platform(answer.get("Os", ""), answer.get("Architecture", ""), answer.get("Variant") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        size=int(answer.get("Size") or 0),
    )


def _action(event: Mapping[str, Any]) -> str:
    action = str(event.get("Action", ""))
    signal = ((event.get("Actor") or {}).get("Attributes") or {}).get("signal") if action == "kill" else None
    return f"{action} {signal}" if signal else action


def without_mounts(dockerfile: bytes) -> bytes:
    """The Dockerfile without RUN's --mount options, which Docker's old builder does not know."""
    return _MOUNTS.sub("", dockerfile.decode()).encode()


def _check_progress(lines: Iterable[Mapping[str, Any] | bytes], doing: str) -> None:
    """Read the engine's progress to its end; an error in it is the only sign of failure."""
    for line in lines:
        entry = json.loads(line) if isinstance(line, bytes) else line
        if error := entry.get("error"):
            raise ImageError(f"{doing}: the engine refused it: {error}")


def _copy(chunks: Iterable[bytes], write: Callable[[bytes], Any], doing: str) -> None:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _SAVE_CAP:
            raise ImageError(f"{doing}: it is larger than {_SAVE_CAP >> 30} GiB")
        write(chunk)
