"""The engine in a container: what is asked of the outer engine, and where it is found afterwards."""

import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeEngine, FakeRunner
from wasmdock.cli import engine_container as cli
from wasmdock.cli import run_cli
from wasmdock.cli.context import Context
from wasmdock.cli.engine_container import _outer
from wasmdock.cli.parser import build_parser
from wasmdock.cli.proof import is_proven
from wasmdock.docker import Docker
from wasmdock.docker_host import Host, find_host, own_engine
from wasmdock.doctor_facts import Trial
from wasmdock.engine_container import NAME, Recipe, address, create_arguments, down, pack_files, status, up
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.process import Completed

FOLDER = Path(__file__).parent.parent / "dockerfiles" / "engine"
CONTAINER = "/containers/wasmdock-engine/json"
RUNNING = {"State": {"Status": "running"}, "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("wasmdock-shim", "wasmdock-host"):
        (programs / name).write_bytes(name.encode())
    return Recipe(FOLDER, programs, tmp_path / "home" / "engine", tls=False)


def outer(folder: Path, answers: Mapping[str, Any], runner: FakeRunner) -> Docker:
    """An outer engine that answers so; the engine in its container answers on the same socket."""
    folder.mkdir(parents=True, exist_ok=True)
    host = FakeEngine(folder, answers).host
    return Docker(host, {"HOME": "/home/me", "HTTPS_PROXY": "p"}, runner=runner)


@pytest.fixture
def inner(recipe: Recipe) -> Iterator[FakeEngine]:
    (recipe.state / "run").mkdir(parents=True)
    fake = FakeEngine(recipe.state / "run")
    yield fake
    fake.close()


def test_first_time_it_is_built_created_filled_and_started(tmp_path: Path, recipe: Recipe, inner: FakeEngine) -> None:
    runner = FakeRunner()
    host = up(outer(tmp_path / "o", {}, runner), recipe)
    assert [call[1] for call in runner.calls] == ["buildx", "buildx", "create", "cp", "start"]
    assert host.socket == recipe.state / "run" / "docker.sock"


def test_second_time_it_is_only_started(tmp_path: Path, recipe: Recipe, inner: FakeEngine) -> None:
    runner = FakeRunner()
    labels = {"dev.wasmdock.engine": recipe.identity}
    answers = {CONTAINER: {**RUNNING, "Config": {"Labels": labels}}, "/images/": {"Id": "sha256:1"}}
    up(outer(tmp_path / "o", answers, runner), recipe)
    assert [call[1] for call in runner.calls] == ["start"]


def test_container_whose_port_was_taken_meanwhile_is_made_anew(tmp_path: Path, recipe: Recipe) -> None:
    tls = replace(recipe, tls=True)
    answers = {CONTAINER: {**RUNNING, "Config": {"Labels": {"dev.wasmdock.engine": tls.identity}}}}
    runner = FakeRunner({("docker", "start"): Completed((), 1, b"", b"Error: port is already allocated\n")})
    with pytest.raises(CommandError, match="already allocated"):
        up(outer(tmp_path / "o", {**answers, "/images/": {"Id": "sha256:1"}}, runner), tls)
    assert [call[1] for call in runner.calls] == ["start", "rm", "create", "cp", "start"]


def test_container_of_an_older_recipe_is_made_anew(tmp_path: Path, recipe: Recipe, inner: FakeEngine) -> None:
    runner = FakeRunner()
    answers = {
        CONTAINER: {**RUNNING, "Config": {"Labels": {"dev.wasmdock.engine": "old"}}},
        "/images/": {"Id": "sha256:1"},
    }
    up(outer(tmp_path / "o", answers, runner), recipe)
    assert [call[1] for call in runner.calls] == ["rm", "create", "cp", "start"]


def test_engine_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path, recipe: Recipe) -> None:
    runner = FakeRunner({("docker", "logs"): Completed((), 0, b"failed to load listeners\n")})
    answers = {"/images/": {"Id": "sha256:1"}}
    with pytest.raises(UnavailableError, match="starting the engine") as raised:
        up(outer(tmp_path / "o", answers, runner), recipe)
    assert raised.value.hint == "failed to load listeners"
    assert own_engine({"WASMDOCK_HOME": str(recipe.state.parent)}) is None


def test_outer_engine_that_refuses_is_quoted(tmp_path: Path, recipe: Recipe) -> None:
    runner = FakeRunner({("docker", "create"): Completed((), 1, b"", b"Error: privileged mode is not allowed\n")})
    with pytest.raises(CommandError, match="docker create wasmdock-engine: Error: privileged mode is not allowed"):
        up(outer(tmp_path / "o", {"/images/": {"Id": "sha256:1"}}, runner), recipe)


def test_container_that_cannot_be_filled_is_not_left_for_the_next_time(tmp_path: Path, recipe: Recipe) -> None:
    runner = FakeRunner({("docker", "cp"): Completed(("docker",), 1, b"", b"no space left on device\n")})
    with pytest.raises(CommandError, match="putting the Wasm runtime .* no space left on device"):
        up(outer(tmp_path / "o", {"/images/": {"Id": "sha256:1"}}, runner), recipe)
    assert runner.calls[-1] == ("docker", "rm", "--force", NAME)


def test_engine_brought_down_while_it_is_brought_up_is_not_waited_for(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasmdock.engine_container.own_engine", lambda _environment: None)
    with pytest.raises(UnavailableError, match="brought down meanwhile"):
        up(outer(tmp_path / "o", {"/images/": {"Id": "sha256:1"}}, FakeRunner()), recipe)


def test_container_comes_back_with_its_engine_and_sees_the_users_folders(recipe: Recipe) -> None:
    words = create_arguments(recipe, {"HOME": "/home/me", "HTTPS_PROXY": "p"})
    assert {"--privileged", "--restart=unless-stopped", "--volume=wasmdock-engine:/var/lib/docker"} <= set(words)
    assert {"type=bind,source=/home/me,target=/home/me", "--env=HTTPS_PROXY"} <= set(words)
    assert f"type=bind,source={recipe.state}/run,target=/run/wasmdock" in words
    assert not any("--publish" in word for word in words)


def test_tls_is_published_on_this_machine_alone(recipe: Recipe) -> None:
    tls = Recipe(recipe.folder, recipe.programs, recipe.state, tls=True)
    words = create_arguments(tls, {})
    (published,) = (word for word in words if "--publish" in word)
    assert re.fullmatch(r"--publish=127\.0\.0\.1:2[34]\d{3}:2376", published)  # the same after a restart
    assert "--env=TLS=1" in words


def test_ports_of_the_engines_containers_can_be_published(recipe: Recipe) -> None:
    assert "--publish=8080:8080" in create_arguments(replace(recipe, ports=("8080:8080",)), {})


def test_other_wasm_runtime_other_way_or_other_ports_make_the_container_anew(recipe: Recipe) -> None:
    identities = {recipe.identity, replace(recipe, tls=True).identity, replace(recipe, ports=("80:80",)).identity}
    (recipe.programs / "wasmdock-host").write_bytes(b"newer")
    assert len({*identities, recipe.identity}) == 4


def test_wasm_runtime_and_ca_bundle_go_into_the_container(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificates")
    packed = pack_files(Recipe(recipe.folder, recipe.programs, recipe.state, tmp_path / "ca.pem"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = {member.name: member for member in tar}
    assert members["usr/local/bin/containerd-shim-wasmtime-v1"].linkname == "../libexec/wasmdock/wasmdock-shim"
    assert stat.S_IMODE(members["usr/local/libexec/wasmdock/wasmdock-host"].mode) == 0o755
    assert members["etc/ssl/certs/ca-certificates.crt"].size == len("certificates")


def test_down_keeps_the_images_unless_told_otherwise(tmp_path: Path, recipe: Recipe) -> None:
    runner = FakeRunner()
    docker = outer(tmp_path / "o", {CONTAINER: RUNNING}, runner)
    assert down(docker, recipe.state) == ("container",)
    assert runner.calls == [("docker", "rm", "--force", NAME)]
    assert down(docker, recipe.state, volumes=True)
    assert runner.calls[-2:] == [
        ("docker", "image", "ls", "--quiet", "wasmdock/engine"),
        ("docker", "volume", "rm", "wasmdock-engine"),
    ]


def test_down_tells_what_it_removed_where_the_container_had_gone_before(tmp_path: Path, recipe: Recipe) -> None:
    runner = FakeRunner({("docker", "image", "ls"): Completed((), 0, b"1234\n")})
    assert down(outer(tmp_path / "o", {}, runner), recipe.state, volumes=True) == ("image", "volume")
    runner = FakeRunner({("docker", "volume", "rm"): Completed((), 1, b"", b"no such volume")})
    assert down(outer(tmp_path / "p", {}, runner), recipe.state, volumes=True) == ()


def test_down_leaves_no_folder_of_its_own(tmp_path: Path, recipe: Recipe) -> None:
    (recipe.state / "run").mkdir(parents=True)
    (recipe.state / "run" / "docker.sock").touch()
    down(outer(tmp_path / "o", {}, FakeRunner()), recipe.state)
    assert not recipe.state.exists()


@pytest.mark.parametrize("trial, said", [(Trial(True), "wasmdock run finds it"), (Trial(False, cause="no"), "yet: no")])
def test_up_proves_that_the_engine_runs_wasm(
    trial: Trial, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that plain `run`, which tries nothing, takes it."""
    context = Context(note(tmp_path, '{"url": "unix:///inner"}') | {"WASMDOCK_CACHE": str(tmp_path / "cache")})
    monkeypatch.setattr(cli, "_outer", lambda _context: outer(tmp_path / "o", {}, FakeRunner()))
    monkeypatch.setattr(cli, "bring_up", lambda *_: Host("unix:///inner", "wasmdock engine"))
    monkeypatch.setattr(cli, "find_programs", lambda *_, **__: tmp_path)
    monkeypatch.setattr(cli, "try_wasm", lambda _docker: trial)
    assert cli.up(build_parser().parse_args(["engine", "up"]), context) == 0
    assert (is_proven(context), said in capsys.readouterr().err) == (trial.works, True)


def test_down_forgets_where_it_was(tmp_path: Path, recipe: Recipe, inner: FakeEngine) -> None:
    docker = outer(tmp_path / "o", {"/images/": {"Id": "sha256:1"}}, FakeRunner())
    up(docker, recipe)
    environment = {"WASMDOCK_HOME": str(recipe.state.parent)}
    assert own_engine(environment) is not None
    assert not down(docker, recipe.state)
    assert own_engine(environment) is None


def test_status_tells_the_container_from_the_engine_in_it(tmp_path: Path, recipe: Recipe) -> None:
    docker = outer(tmp_path / "o", {CONTAINER: RUNNING}, FakeRunner())
    assert status(docker, {"WASMDOCK_HOME": str(recipe.state.parent)}) == ("running", None)
    assert address(docker) == "172.17.0.2"
    assert status(outer(tmp_path / "p", {}, FakeRunner()), {}) == ("absent", None)


# Where it is found


def note(home: Path, text: str) -> dict[str, str]:
    (home / "engine").mkdir(parents=True)
    (home / "engine" / "engine.json").write_text(text)
    return {"WASMDOCK_HOME": str(home)}


def test_own_engine_comes_before_the_usual_sockets(tmp_path: Path) -> None:
    environment = note(tmp_path, json.dumps({"url": "unix:///s"}))
    host = find_host(environment, exists=lambda _: True)
    assert (host.url, host.source, host.environment) == ("unix:///s", "wasmdock engine", {"DOCKER_HOST": "unix:///s"})


@pytest.mark.parametrize("more", [{"DOCKER_HOST": "unix:///mine"}, {"WASMDOCK_ENGINE": "none"}])
def test_what_the_user_says_comes_before_it(tmp_path: Path, more: dict[str, str]) -> None:
    environment = {**note(tmp_path, json.dumps({"url": "unix:///s"})), **more}
    assert find_host(environment).url != "unix:///s"


def test_engine_with_certificates_is_reached_with_them(tmp_path: Path) -> None:
    host = own_engine(note(tmp_path, json.dumps({"url": "tcp://127.0.0.1:1", "tls": "/certs"})))
    assert host is not None
    assert (host.tls, host.environment["DOCKER_CERT_PATH"]) == (Path("/certs"), "/certs")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url"'])
def test_broken_note_is_no_engine(tmp_path: Path, text: str) -> None:
    assert own_engine(note(tmp_path, text)) is None


def test_env_says_that_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["engine", "env"]) == 1
    assert "none of ours is up\n    try: wasmdock engine up" in capsys.readouterr().err


def test_engine_of_ours_never_runs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `eval "$(wasmdock engine env)"` every verb would find the inner engine first."""
    for name, value in {**note(tmp_path / "h", '{"url": "unix:///inner"}'), "DOCKER_HOST": "unix:///inner"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnavailableError) as raised:
        _outer(Context(os.environ))
    assert "unix:///inner" not in raised.value.message


@pytest.mark.docker
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["--no-tls", "--tls"])
def test_engine_runs_wasm_survives_a_restart_and_goes(way: str) -> None:
    """For real, in the engine that answers: what it is reached by, what it keeps, and that nothing is left."""
    from tests.conftest import sample
    from tests.requirements import require_docker
    from tests.shim_matrix import binaries
    from wasmdock.docker_run import DockerRuntime
    from wasmdock.runtime import RunRequest

    require_docker()
    outer, words = Docker.connect(os.environ), ["engine", "up", way, "--from", str(binaries())]
    try:
        assert run_cli(words) == 0
        host = own_engine(os.environ)
        assert host is not None and (host.tls is not None) == (way == "--tls")
        inner = Docker(host, os.environ)
        inner.load(sample("hello"), "kept:latest")
        outer.cli("restart", NAME, timeout=60).check("restarting")
        assert run_cli(words) == 0
        assert own_engine(os.environ) == host
        assert inner.find_image("kept:latest") is not None
        assert DockerRuntime(inner).run(sample("hello"), RunRequest()).exit_code == 0
    finally:
        assert run_cli(["engine", "down", "--volumes"]) == 0
    assert own_engine(os.environ) is None and not outer.inspect_container(NAME)
