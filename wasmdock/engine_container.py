"""A Docker engine with our Wasm runtime in a container of another engine: up, down, and whether it answers."""

import hashlib
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wasmdock.docker import Docker
from wasmdock.docker_host import OWN_ENGINE, Host, own_engine, ping
from wasmdock.errors import CommandError, UnavailableError, WasmdockError
from wasmdock.ports import is_free
from wasmdock.shim import FOLDER, LINKS, PROGRAMS

NAME = "wasmdock-engine"
VOLUME = "wasmdock-engine"
_IMAGE = "wasmdock/engine"
CONTEXT = "wasmdock"
_PORT = "2376"
_PORTS = range(23760, 24760)  # of this machine, for that
BY_TLS = sys.platform != "linux"  # unless told otherwise: a Unix socket cannot be shared there
_LABEL = "dev.wasmdock.engine"
_FILES = ("Dockerfile", "container.sh", "certificates.sh")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_STEP = 60.0  # seconds for one call of the outer engine
_BUILD = 1800.0
_START = 90.0  # seconds until dockerd answers


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the container is made of: the Dockerfile's folder, the Wasm runtime's programs, this machine's CA bundle.

    state is the folder that holds the socket, the client's certificates and the note where the engine is.
    tls: listen on a port of 127.0.0.1 with certificates, where a Unix socket cannot be shared (not on Linux).
    ports are published as `docker run -p` takes them: where the container's own address is out of reach, what the
    engine's containers publish is reached through these.
    """

    folder: Path
    programs: Path
    state: Path
    ca_bundle: Path | None = None
    tls: bool = BY_TLS
    ports: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The image's name; its tag tells one recipe from another."""
        digest = hashlib.sha256(b"".join((self.folder / name).read_bytes() for name in _FILES)).hexdigest()
        return f"{_IMAGE}:{digest[:12]}"

    @property
    def identity(self) -> str:
        """Changes whenever the container has to be made anew."""
        programs = [hashlib.sha256((self.programs / name).read_bytes()).hexdigest() for name in PROGRAMS]
        facts = [self.reference, programs, str(self.state), self.tls, self.ports]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def up(outer: Docker, recipe: Recipe, progress: Callable[[bytes], None] | None = None) -> Host:
    """Bring the engine up, whatever was there before, and wait until it answers. Images of earlier runs are kept.

    Raises BuildError, CommandError, UnavailableError with the end of the engine's log.
    """
    _build(outer, recipe, progress)
    record = outer.inspect_container(NAME)
    if record and ((record.get("Config") or {}).get("Labels") or {}).get(_LABEL) != recipe.identity:
        _call(outer, "rm", "--force", NAME)
        record = {}
    if not record:
        _create(outer, recipe)
    _begin(outer, recipe, was_there=bool(record))
    note = _tls_note(outer, recipe) if recipe.tls else {"url": f"unix://{recipe.state / 'run' / 'docker.sock'}"}
    (recipe.state / OWN_ENGINE).write_text(json.dumps(note))
    return _wait(outer, recipe)


def down(outer: Docker, state: Path, *, volumes: bool = False) -> tuple[str, ...]:
    """Remove the container, with volumes also all it held and the image it was made of; what of these there was."""
    removed = []
    if outer.inspect_container(NAME):
        _call(outer, "rm", "--force", NAME)
        removed.append("container")
    if volumes:
        made = outer.cli("image", "ls", "--quiet", _IMAGE, timeout=_STEP).stdout.decode().split()
        if made and outer.cli("image", "rm", "--force", *sorted(set(made)), timeout=_STEP).code == 0:
            removed.append("image")
        if outer.cli("volume", "rm", VOLUME, timeout=_STEP).code == 0:  # --force would succeed without one, too
            removed.append("volume")
    for path in (state / OWN_ENGINE, state / "run" / "docker.sock", *(state / "tls" / name for name in _CERTIFICATES)):
        with suppress(OSError):
            path.unlink()
    for folder in (state / "run", state / "tls", state):
        with suppress(OSError):  # what is not ours stays, and the folder around it
            folder.rmdir()
    return tuple(removed)


def status(outer: Docker, environment: Mapping[str, str]) -> tuple[str, Host | None]:
    """A word for the container's state (`absent`, `running`, ...), and where the engine is if it answers."""
    record = outer.inspect_container(NAME)
    host = own_engine(environment)
    if not record:
        return "absent", None
    state = str((record.get("State") or {}).get("Status", "unknown"))
    try:
        answers = host is not None and bool(ping(host, 5.0).api_version)
    except WasmdockError:
        answers = False
    return state, host if answers else None


def address(outer: Docker) -> str:
    """The container's own address, where the engine's published ports answer; empty where it has none."""
    networks = ((outer.inspect_container(NAME).get("NetworkSettings") or {}).get("Networks") or {}).values()
    return next((str(each["IPAddress"]) for each in networks if each.get("IPAddress")), "")


def _build(outer: Docker, recipe: Recipe, progress: Callable[[bytes], None] | None) -> None:
    if outer.find_image(recipe.reference) is None:
        outer.build(recipe.folder, [recipe.reference], on_output=progress, timeout=_BUILD)


def _create(outer: Docker, recipe: Recipe) -> None:
    (recipe.state / "run").mkdir(parents=True, exist_ok=True)
    _call(outer, *create_arguments(recipe, outer.environment))
    try:
        done = outer.cli("cp", "-", f"{NAME}:/", timeout=_STEP, stdin=pack_files(recipe))
        done.check("putting the Wasm runtime into the engine's container")
    except BaseException:
        with suppress(WasmdockError):  # else the next `up` would take it for a whole one
            _call(outer, "rm", "--force", NAME)
        raise


def _begin(outer: Docker, recipe: Recipe, *, was_there: bool) -> None:
    try:
        _call(outer, "start", NAME)
    except CommandError:
        if not (was_there and recipe.tls):
            raise
        _call(outer, "rm", "--force", NAME)  # the port that it had may be taken by now
        _create(outer, recipe)
        _call(outer, "start", NAME)


def create_arguments(recipe: Recipe, environment: Mapping[str, str]) -> list[str]:
    """The words of `docker create`: it comes back with the outer engine, and sees the user's folders."""
    words = ["create", f"--name={NAME}", "--privileged", "--restart=unless-stopped", "--hostname=wasmdock-engine"]
    words += [f"--volume={VOLUME}:/var/lib/docker", f"--label={_LABEL}={recipe.identity}"]
    words += [f"--publish={port}" for port in recipe.ports]
    words += [f"--env={name}" for name in sorted(environment) if name.upper() in _PROXIES]
    if recipe.tls:
        words += ["--env=TLS=1", f"--publish=127.0.0.1:{_free_port()}:{_PORT}"]
    else:
        words += ["--mount", f"type=bind,source={recipe.state / 'run'},target=/run/wasmdock"]
        words += [f"--env=OWNER={os.getuid()}:{os.getgid()}"]
    shared = {environment.get("HOME", ""), "/tmp"} - {"", "/"}  # so that -v means the same as without this engine
    words += [word for path in sorted(shared) for word in ("--mount", f"type=bind,source={path},target={path}")]
    return [*words, recipe.reference]


def _free_port() -> int:
    """The port at which it stays, also after a restart; none of those that the kernel gives to connections."""
    return next((port for port in _PORTS if is_free("127.0.0.1", port)), _PORTS[0])


def pack_files(recipe: Recipe) -> bytes:
    """A tar for `docker cp` to the root of the container: the Wasm runtime, its links, and the CA bundle."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in PROGRAMS:
            _add(tar, f"usr/local/{FOLDER}/{name}", (recipe.programs / name).read_bytes(), 0o755)
        for name, target in LINKS.items():
            link = tarfile.TarInfo(f"usr/local/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        if recipe.ca_bundle is not None and recipe.ca_bundle.is_file():
            _add(tar, _BUNDLE, recipe.ca_bundle.read_bytes(), 0o644)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: str, data: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(data), mode
    tar.addfile(member, io.BytesIO(data))


def _tls_note(outer: Docker, recipe: Recipe) -> dict[str, str]:
    """Fetch the client's certificates and the port; the certificates are made at the first start."""
    folder = recipe.state / "tls"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + _START
    while outer.cli("cp", f"{NAME}:/certs/ready", "-", timeout=_STEP).code != 0:
        if time.monotonic() > until:
            raise UnavailableError("starting the engine: it made no certificates", _end_of_log(outer))
        time.sleep(0.3)
    for name in _CERTIFICATES:
        done = outer.cli("cp", f"{NAME}:/certs/client/{name}", "-", timeout=_STEP).check("fetching its certificates")
        _write_private(folder / name, _only_file(done.stdout))
    published = _call(outer, "port", NAME, _PORT).splitlines()[0]
    return {"url": f"tcp://{published}", "tls": str(folder)}


def _only_file(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        file = next((tar.extractfile(member) for member in tar if member.isreg()), None)
        return file.read() if file else b""


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _wait(outer: Docker, recipe: Recipe) -> Host:
    until = time.monotonic() + _START
    host = own_engine({"WASMDOCK_HOME": str(recipe.state.parent)})
    if host is None:
        raise UnavailableError("starting the engine: it was brought down meanwhile", "wasmdock engine up")
    while True:
        try:
            ping(host, 5.0)
            return host
        except WasmdockError as error:
            state = (outer.inspect_container(NAME).get("State") or {}).get("Status")
            if time.monotonic() > until or state not in ("running", "created"):
                (recipe.state / OWN_ENGINE).unlink(missing_ok=True)  # so that nobody looks for it there
                raise UnavailableError(f"starting the engine: {error.message}", _end_of_log(outer)) from error
        time.sleep(0.2)


def _end_of_log(outer: Docker) -> str:
    done = outer.cli("logs", "--tail", "5", NAME, timeout=_STEP)
    return (done.stdout + done.stderr).decode("utf-8", "replace").strip() or f"`docker logs {NAME}` tells more"


def _call(outer: Docker, *words: str) -> str:
    done = outer.cli(*words, timeout=_STEP)
    if done.code != 0:
        said = done.stderr_text().splitlines()
        raise CommandError(f"docker {words[0]} {NAME}: {said[-1] if said else f'exit code {done.code}'}", "", done.argv)
    return done.stdout.decode("utf-8", "replace").strip()
