"""The builder image: guests compiled in a container, where the host has no toolchain for them."""

import hashlib
import io
import secrets
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wasmdock.cargo import (
    IN_BUILDER,
    Compiled,
    build_failure,
    cargo_arguments,
    compiler_of,
    find_output,
    lacks_network,
    needs_triple,
)
from wasmdock.docker_causes import client_lines, find_cause
from wasmdock.errors import BuildError, GuestError, UnavailableError, WasmdockError
from wasmdock.guest import Guest, Target
from wasmdock.guest_files import SourceFile
from wasmdock.guest_inputs import outside_crates
from wasmdock.process import Completed
from wasmdock.program_size import LIFT, excess, largest

BUILD_TIMEOUT = 3600.0
CARGO_VOLUME = "wasmdock-cargo"
TARGET_VOLUME = "wasmdock-target"
_NAME = "wasmdock/builder"
_STEP_TIMEOUT = 120.0
_LABEL = "wasmdock=build"
# Where the image looks for certificates (its CARGO_HTTP_CAINFO).
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_SOURCE = "src"
# Run as `sh -c SCRIPT cargo ARGUMENTS...`: only in there is known which rustc compiles, so the first line says it.
_PLAIN = """rustc --version; exec "$0" "$@\""""
_WITH_TRIPLE = """rustc --version; CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p') exec "$0" "$@\""""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_CARGO_FAILED, _DOCKER_FAILED = 101, 125
_STEERING = ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS")
_STEERING_PREFIXES = ("CARGO_PROFILE_",)


class BuilderEngine(Protocol):
    """What is needed of a Docker engine."""

    def find_image(self, reference: str) -> object | None:
        """What the engine holds under this name, or None."""

    def build(
        self,
        source: Path | bytes,
        tags: Iterable[str],
        *,
        secrets: Mapping[str, Path] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        """Build an image from a Dockerfile."""

    def cli(
        self,
        *arguments: str,
        timeout: float = ...,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        cap: int = ...,
    ) -> Completed:
        """Call the docker client."""


@dataclass(frozen=True, slots=True)
class Builder:
    """How to get and use the builder image.

    folder holds its Dockerfile; certificates is the host's CA bundle, copied into each container and never
    into an image; secrets are files by id for the image's own build (`apt`: settings for apt).
    """

    folder: Path
    environment: Mapping[str, str]
    certificates: Path | None = None
    secrets: Mapping[str, Path] | None = None

    @property
    def reference(self) -> str:
        """The image's name; its tag tells one Dockerfile from another. Raises UnavailableError."""
        return f"{_NAME}:{hashlib.sha256(self._dockerfile()).hexdigest()[:12]}"

    @property
    def identity(self) -> str:
        """What makes its output differ from another's. Raises UnavailableError."""
        return f"{self.reference} {sorted(self._handed(_STEERING, _STEERING_PREFIXES).items())}"

    def build(
        self,
        engine: BuilderEngine,
        guest: Guest,
        target: Target,
        sources: tuple[SourceFile, ...],
        progress: Callable[[bytes], None] | None = None,
    ) -> Compiled:
        """Compile a guest in a container that is gone afterwards.

        No folder of the host is mounted: the engine may be on another machine. Crates and intermediate files
        stay in two volumes. Raises BuildError, GuestError, UnavailableError, CommandError.
        """
        if outside := outside_crates(guest.folder, sources):
            raise GuestError(
                f'building "{guest.name}" with the builder image: it needs the crate "{outside[0]}" outside its folder',
                "move the crate into the guest's folder, or build with the host's cargo",
            )
        notes = self._ensure_image(engine, progress)
        locked = any(file.path == "Cargo.lock" for file in sources)
        archive = pack_sources(sources, self._read_certificates(), time.time())
        done, data = self._attempt(engine, guest, target, archive, locked, progress, offline=False)
        if lacks_network(done):
            again, data = self._attempt(engine, guest, target, archive, locked, progress, offline=True)
            if again.code == 0:
                done, notes = again, (*notes, "no registry answered: built offline with the crates already here")
        if done.code != 0 or done.timed_out:
            raise build_failure(guest, target, IN_BUILDER, done)
        return Compiled(data, compiler_of(done.stdout.decode("utf-8", "replace")), notes)

    def _ensure_image(self, engine: BuilderEngine, progress: Callable[[bytes], None] | None) -> tuple[str, ...]:
        # Containers of builds that were killed, or lost their engine; not those of builds that run.
        engine.cli(
            "container", "prune", "--force", f"--filter=label={_LABEL}", "--filter=until=2h", timeout=_STEP_TIMEOUT
        )
        if engine.find_image(self.reference):
            return ()
        engine.build(self._dockerfile(), (self.reference, _NAME), secrets=self.secrets, on_output=progress)
        return (f"built the builder image {self.reference}, once for all guests",)

    def _attempt(
        self,
        engine: BuilderEngine,
        guest: Guest,
        target: Target,
        archive: bytes,
        locked: bool,
        progress: Callable[[bytes], None] | None,
        *,
        offline: bool,
    ) -> tuple[Completed, bytes]:
        """One container's life: created, filled, run, asked for the artifact, removed."""
        name = f"wasmdock-build-{secrets.token_hex(6)}"
        doing = f'building "{guest.name}" with the builder image'
        try:
            create = self._create_arguments(guest, target, name, locked=locked, offline=offline)
            _check(engine.cli(*create, timeout=_STEP_TIMEOUT, env=self._all_handed()), doing)
            _check(engine.cli("cp", "-", f"{name}:/", timeout=_STEP_TIMEOUT, stdin=archive), doing)
            done = engine.cli("start", "--attach", name, timeout=BUILD_TIMEOUT, on_stderr=progress)
            if done.code != 0 or done.timed_out:
                _check_engine(done, doing)
                return done, b""
            path = find_output(done.stdout, guest, target)
            copied = engine.cli("cp", f"{name}:{path}", "-", timeout=_STEP_TIMEOUT, cap=largest() + (1 << 20))
            return done, unpack_one(_check(copied, doing).stdout, doing)
        finally:
            _remove(engine, name)

    def _create_arguments(self, guest: Guest, target: Target, name: str, *, locked: bool, offline: bool) -> list[str]:
        words = ["create", "--pull=never", f"--name={name}", f"--label={_LABEL}", f"--workdir=/{_SOURCE}"]
        words += [f"--volume={CARGO_VOLUME}:/cargo", f"--volume={TARGET_VOLUME}:/target"]
        words += [
            "--env=CARGO_HOME=/cargo",
            f"--env=CARGO_TARGET_DIR=/target/{guest.place}",
            "--env=CARGO_TERM_PROGRESS_WHEN=never",
        ]
        # Without a value: it comes from the client's environment and is on no command line.
        words += [f"--env={key}" for key in sorted(self._all_handed())]
        cargo = ["cargo", *cargo_arguments(guest, target, locked=locked, offline=offline)]
        script = _WITH_TRIPLE if needs_triple(target, self.environment) else _PLAIN
        return [*words, self.reference, "sh", "-c", script, *cargo]

    def _all_handed(self) -> dict[str, str]:
        return {**self._handed(_PROXIES), **self._handed(_STEERING, _STEERING_PREFIXES)}

    def _handed(self, names: tuple[str, ...], prefixes: tuple[str, ...] = ()) -> dict[str, str]:
        return {
            key: value
            for key, value in self.environment.items()
            if key.upper() in names or (prefixes and key.startswith(prefixes))
        }

    def _read_certificates(self) -> bytes:
        if self.certificates is None:
            return b""
        try:
            return self.certificates.read_bytes()
        except OSError as error:
            raise UnavailableError(
                f'reading certificates "{self.certificates}": {error.strerror}',
                "name the CA bundle of this machine with SSL_CERT_FILE, or unset it",
            ) from error

    def _dockerfile(self) -> bytes:
        try:
            return (self.folder / "Dockerfile").read_bytes()
        except OSError as error:
            raise UnavailableError(
                f'reading the builder image\'s Dockerfile in "{self.folder}": {error.strerror}'
            ) from error


def pack_sources(sources: Iterable[SourceFile], certificates: bytes, now: float) -> bytes:
    """A tar for `docker cp` to the root of a container: the source under /src, and the certificates.

    All files are as old as `now` (seconds since 1970), so that cargo, which goes by times, compiles the crate.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sources:
            _add(tar, f"{_SOURCE}/{file.path}", file.data, 0o755 if file.executable else 0o644, now)
        if certificates:
            _add(tar, _CERTIFICATES, certificates, 0o644, now)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: str, data: bytes, mode: int, now: float) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.mtime = len(data), mode, int(now)
    tar.addfile(member, io.BytesIO(data))


def unpack_one(archive: bytes, doing: str) -> bytes:
    """The bytes of the one regular file in a tar; nothing is written to disk. Raises BuildError."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file and not excess(member.size):
                    return file.read()
    except (tarfile.TarError, EOFError, OSError, RecursionError) as error:
        raise BuildError(f"{doing}: the engine's answer is not a tar: {error}") from error
    raise BuildError(f"{doing}: the artifact is no file, or larger than {largest()} bytes", LIFT)


def _check(done: Completed, doing: str) -> Completed:
    """Return a success; raise the known cause of a failure with its cure, or CommandError."""
    if done.code != 0:
        _check_engine(done, doing)
    return done.check(doing)


def _check_engine(done: Completed, doing: str) -> None:
    """Raise where it was docker that failed, not cargo, whose own code is never docker's."""
    if done.code == _CARGO_FAILED:
        return
    text = done.stderr_text(1 << 16)
    lines = client_lines(text) or (text.splitlines()[-2:] if done.code == _DOCKER_FAILED else [])
    known = find_cause(doing, "\n".join(lines)) if lines else None
    if known:
        raise known


def _remove(engine: BuilderEngine, name: str) -> None:
    """Remove the container, also one that a client we interrupted was just having created."""
    for pause in (0.0, 0.5):
        time.sleep(pause)
        try:
            done = engine.cli("rm", "--force", "--volumes", name, timeout=_STEP_TIMEOUT)
        except WasmdockError:
            return
        # docker rm --force says nothing wrong and prints nothing where there is no such container.
        if done.stdout.strip():
            return
