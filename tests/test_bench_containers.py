"""Containers that a benchmark starts are removed by the name they were given, also where their start fails."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.fakes import Answer, FakeRunner
from wasmdock.cli.bench_crowds import Containers
from wasmdock.cli.bench_docker import DockerCases
from wasmdock.cli.bench_list import Cases
from wasmdock.cli.bench_phases import MARKS
from wasmdock.cli.bench_service import DockerService
from wasmdock.cli.context import Context
from wasmdock.cli.parser import build_parser
from wasmdock.cli.source import Source
from wasmdock.docker import Docker
from wasmdock.docker_host import Host
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.process import Completed
from wasmdock.runtime import Mount, RunRequest

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


def cases(folder: Path, *words: str) -> tuple[DockerCases, Cases]:
    options = build_parser(["bench"]).parse_args(["bench", *(words or ("--against", "process"))])
    found = Cases(folder=folder)
    return DockerCases(Context({}), found, options), found


def test_native_program_may_be_called_as_any_folder_of_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    adder, found = cases(tmp_path)
    monkeypatch.setattr(adder, "_native", lambda _folder, static: (b"#!/bin/sh\nexit 3\n", "code"))
    adder.add_bases("", tmp_path, RunRequest())
    assert [case.run().exit_code for case in found.found] == [3]


def test_without_the_docker_road_only_a_native_process_is_measured_and_bases_asked_for_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, measured, named in (
        (("--roads", "process", "--against", "slim,process"), ["native, process"], ["native, slim"]),
        (("--roads", "process"), [], []),
    ):
        adder, found = cases(tmp_path / str(len(words)), *words)
        found.folder.mkdir()
        monkeypatch.setattr(adder, "_native", lambda _folder, static: (b"#!/bin/sh\n", "program"))
        adder.add_bases("", tmp_path, RunRequest())
        assert [case.describe.name for case in found.found] == measured
        assert [each.what for each in found.left_out] == named
        assert all("--roads leaves Docker out (try: name docker there, too)" in each.why for each in found.left_out)


@pytest.mark.parametrize(
    ("request_", "flag"),
    [(RunRequest(mounts=(Mount(Path("/tmp"), "/data"),)), "--volume"), (RunRequest(stdin=b"x"), "--stdin")],
)
def test_service_is_not_measured_without_what_it_was_to_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: RunRequest, flag: str
) -> None:
    adder, found = cases(tmp_path)
    monkeypatch.setattr(adder, "_native", lambda _folder, static: (b"#!/bin/sh\n", "served"))
    monkeypatch.setattr(DockerCases, "_docker", engine()[0])
    monkeypatch.setattr(adder, "_prove", lambda: None)
    adder.add_bases("", tmp_path, request_, serves=True)
    adder.add_wasm("", Source(sample("hello"), "served", "the store"), request_, serves=True)
    assert not found.found
    assert [each.what for each in found.left_out] == ["native, process", "wasm, docker"]
    assert f"measuring a service with {flag}" in found.left_out[1].why


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
