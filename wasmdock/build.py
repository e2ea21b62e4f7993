"""A guest's source in, its compiled artifact out: by the host's cargo, by the builder image, or from the cache."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from wasmdock.aside import write_aside
from wasmdock.builder import Builder, BuilderEngine
from wasmdock.cargo import Compiled, artifact_of, check_target, needs_triple
from wasmdock.dep_info import is_as_traced, is_older, trace
from wasmdock.errors import UnavailableError, WasmdockError
from wasmdock.guest import Artifact, Guest, Target
from wasmdock.guest_files import SourceFile, read_sources
from wasmdock.guest_inputs import find_inputs, is_unchanged, sum_up
from wasmdock.host_cargo import Toolchain, build_on_host, explain_missing, find_toolchain
from wasmdock.oci.lock import locked
from wasmdock.process import Runner, run_command

HOST_ROAD = "host cargo"
BUILDER_ROAD = "builder image"
# Part of every key: a change in how we build makes old artifacts strangers.
_GENERATION = "5"
_PATIENCE = 3600.0

Progress = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Build:
    """A compiled guest and how it came about: the road, whether it was in the cache, seconds, notes for the user.

    compiler names the one that compiled it, by name and version: `rustc 1.85.1`.
    """

    artifact: Artifact
    road: str
    cached: bool
    seconds: float
    notes: tuple[str, ...] = ()
    compiler: str = ""


def build_guest(
    guest: Guest,
    target: Target,
    *,
    cache: Path,
    environment: Mapping[str, str],
    runner: Runner = run_command,
    engine: Callable[[], BuilderEngine] | None = None,
    builder: Builder | None = None,
    progress: Progress | None = None,
) -> Build:
    """Compile a guest for a target, unless that was done before with the same source, toolchain and variables.

    The host's cargo is taken where it has the target, else the builder image in the engine that `engine`
    connects to (called only when needed). `cache` holds artifacts and cargo's files; the guest's folder gains
    nothing but the Cargo.lock that cargo writes where there is none. progress sees what cargo and docker say.

    Raises BuildError with the end of cargo's output, GuestError, UsageError, and UnavailableError that names
    every way to a toolchain where there is none.
    """
    began = time.monotonic()
    check_target(guest, target)
    sources = read_sources(guest.folder)
    roads = _Roads(guest, target, cache, environment, runner, engine, builder, progress)
    road, identity = roads.choose()
    before = find_inputs(guest.folder, sources, environment)
    key = _key(guest, target, before, identity)

    def done(made: Compiled, cached: bool) -> Build:
        artifact = artifact_of(guest, target, made.data)
        return Build(artifact, road, cached, time.monotonic() - began, made.notes, made.compiler)

    kept = read_artifact(cache, key, environment)
    if kept is not None:
        return done(kept, True)
    with _alone(cache, guest):
        kept = read_artifact(cache, key, environment)  # whoever held the lock may have built just this
        if kept is not None:
            return done(kept, True)
        since = time.time_ns()
        made = roads.build(road, sources)
        build = done(made, False)
        after = find_inputs(guest.folder, read_sources(guest.folder), environment)
        traced = trace(made.read, guest.folder, after, environment)
        if is_unchanged(before, after) and is_older(traced, since):  # else nobody knows what was compiled
            write_artifact(cache, _key(guest, target, after, identity), made, traced)
    return build


@dataclass(frozen=True, slots=True)
class _Roads:
    """The ways to a toolchain, in order."""

    guest: Guest
    target: Target
    cache: Path
    environment: Mapping[str, str]
    runner: Runner
    engine: Callable[[], BuilderEngine] | None
    builder: Builder | None
    progress: Progress | None

    def choose(self) -> tuple[str, str]:
        """The road to take and what identifies its toolchain. Raises UnavailableError where there is none."""
        toolchain = self._toolchain()
        if isinstance(toolchain, Toolchain) and toolchain.has(self.target):
            return HOST_ROAD, toolchain.identity
        if self.builder and self.engine:
            return BUILDER_ROAD, self.builder.identity
        raise self._no_road(toolchain, "no Docker engine was given")

    def build(self, road: str, sources: tuple[SourceFile, ...]) -> Compiled:
        """Take the road."""
        if road == HOST_ROAD:
            toolchain = self._toolchain()
            return build_on_host(
                self.guest,
                self.target,
                compiler=toolchain.compiler if isinstance(toolchain, Toolchain) else "",
                target_folder=_place(self.cache, self.guest),
                environment={**self.environment, **self._triple()},
                runner=self.runner,
                progress=self.progress,
            )
        assert self.builder and self.engine
        try:
            return self.builder.build(self.engine(), self.guest, self.target, sources, self.progress)
        except UnavailableError as error:
            raise self._no_road(self._toolchain(), error) from error

    def _triple(self) -> dict[str, str]:
        toolchain = self._toolchain()
        if isinstance(toolchain, Toolchain) and needs_triple(self.target, self.environment):
            return {"CARGO_BUILD_TARGET": toolchain.host}
        return {}

    def _toolchain(self) -> Toolchain | WasmdockError:
        try:
            return find_toolchain(self.guest.folder, self.cache, self.environment, self.runner)
        except UnavailableError as error:
            return error

    def _no_road(self, toolchain: Toolchain | WasmdockError, engine: UnavailableError | str) -> UnavailableError:
        """One error that names each way, why it is closed, and the command that opens it."""
        cause, cure = explain_missing(toolchain, self.target)
        other, start = (engine, "start Docker") if isinstance(engine, str) else (engine.message, engine.hint)
        return UnavailableError(
            f'building "{self.guest.name}" for {self.target.shown}: no toolchain: '
            f"host's cargo: {cause}; builder image: {other}",
            f"for the host's cargo: {cure.told}\nfor the builder image: {start}",
        )


def _key(guest: Guest, target: Target, inputs: Mapping[str, str], identity: str) -> str:
    parts = [_GENERATION, guest.name, target.value, identity, sum_up(inputs)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _place(cache: Path, guest: Guest) -> Path:
    """Cargo's target folder for a guest."""
    return cache / "target" / f"{guest.name}-{guest.place}"


def is_first(cache: Path, guest: Guest) -> bool:
    """Whether a guest was never compiled here, so that its crates have to be, too."""
    return not _lock_of(cache, guest).exists()


def _lock_of(cache: Path, guest: Guest) -> Path:
    place = _place(cache, guest)
    return place.with_name(f"{place.name}.lock")


@contextmanager
def _alone(cache: Path, guest: Guest) -> Iterator[None]:
    """Only one build of a guest at a time: two would compile the same thing, into the same folder."""
    lock = _lock_of(cache, guest)
    doing = f'building "{guest.name}": keeping cargo\'s files in "{cache}"'
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"{doing}: {error.strerror}", "name another folder with WASMDOCK_CACHE") from error
    with locked(lock, _PATIENCE):
        yield


def read_artifact(cache: Path, key: str, environment: Mapping[str, str]) -> Compiled | None:
    """A kept artifact; None where there is none, where it is spoiled, or where what else it was made of has changed."""
    try:
        kept = (cache / "build" / key).read_bytes()
    except OSError:
        return None
    digest, _, rest = kept.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        return None
    head, _, data = rest.partition(b"\n")
    compiler, traced = json.loads(head)
    return Compiled(data, compiler) if is_as_traced(traced, environment) else None


def write_artifact(cache: Path, key: str, made: Compiled, traced: Mapping[str, str]) -> None:
    """Keep an artifact, its compiler's name and what was traced under the sha256 of all, written aside and renamed.

    A cache that cannot be written keeps nothing.
    """
    folder = cache / "build"
    rest = json.dumps([made.compiler, dict(traced)]).encode() + b"\n" + made.data
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_aside(folder / key, hashlib.sha256(rest).hexdigest().encode(), b"\n", rest)
