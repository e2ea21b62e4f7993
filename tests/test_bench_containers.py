"""Containers that a benchmark starts are removed by the name they were given, also where their start fails."""

from collections.abc import Callable

import pytest

from tests.fakes import Answer, FakeRunner
from wasmdock.cli.bench_crowds import Containers
from wasmdock.cli.bench_phases import MARKS
from wasmdock.cli.bench_service import DockerService
from wasmdock.docker import Docker
from wasmdock.docker_host import Host
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.process import Completed

RUN, REMOVE = ("docker", "run"), ("docker", "rm", "--force", "--volumes")
TAKEN = Completed(("docker",), 125, stderr=b"port is already allocated")
HANGS = Completed(("docker",), -9, timed_out=True)


def engine(**answers: Answer) -> tuple[Docker, FakeRunner]:
    """An engine that answers so; by default every container runs on."""
    known = {"run": Completed(("docker",), 0, b"1d\n"), "inspect": Completed(("docker",), 0, b"true\n"), **answers}
    runner = FakeRunner({("docker", word): answer for word, answer in known.items()})
    return Docker(Host("unix:///x", "DOCKER_HOST"), {}, runner=runner), runner


def service(docker: Docker) -> DockerService:
    made = DockerService(docker, ["--network=none"], ["--flag"], 80, "/")
    made.image = "image"
    return made


def crowd(docker: Docker) -> Containers:
    return Containers("case", docker, "image", ("--network=none",), ("--flag",))


def removed(runner: FakeRunner) -> bool:
    """Whether the one container that was to be started was removed, by the name it had."""
    (start,) = (call for call in runner.calls if call[:2] == RUN)
    (name,) = (word.removeprefix("--name=") for word in start if word.startswith("--name="))
    return (*REMOVE, name) in runner.calls


def test_service_that_runs_is_removed_when_it_is_stopped() -> None:
    docker, runner = engine()
    stop = service(docker).start()
    assert not [call for call in runner.calls if call[:2] == REMOVE[:2]]
    stop()
    assert removed(runner)


def test_service_tells_its_steps_and_how_long_it_took_to_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    docker, _ = engine(logs=Completed(("docker",), 0, stderr=MARKS + b'{"compile": 0.5}\n'))
    monkeypatch.setattr(Docker, "events", lambda *_: [("create", 1_000_000_000), ("start", 1_200_000_000)])
    assert service(docker).steps() == pytest.approx({"compile": 0.5, "container start": 0.2})

    def refuse(*_: object) -> None:
        raise UnavailableError("no events")

    monkeypatch.setattr(Docker, "events", refuse)
    assert service(docker).steps() == {"compile": 0.5}


@pytest.mark.parametrize("make", [service, crowd])
@pytest.mark.parametrize("answer", [TAKEN, HANGS, KeyboardInterrupt()])
def test_container_whose_start_fails_is_removed(
    make: Callable[[Docker], DockerService | Containers], answer: Answer
) -> None:
    docker, runner = engine(run=answer)
    with pytest.raises((CommandError, KeyboardInterrupt)):
        make(docker).start()
    assert removed(runner)


def test_start_that_fails_says_what_the_engine_said() -> None:
    docker, _ = engine(run=TAKEN, rm=CommandError("removing: no engine"))
    with pytest.raises(CommandError, match="starting a service: port is already allocated"):
        service(docker).start()


def test_container_that_ends_by_itself_is_removed_and_named() -> None:
    docker, runner = engine(inspect=Completed(("docker",), 0, b"false\n"))
    with pytest.raises(UnavailableError, match="ends by itself"):
        crowd(docker).start()
    assert removed(runner)
