"""A docker client without buildx or compose: what is missing is named, and what brings it."""

from pathlib import Path

import pytest

from tests.fakes import FakeRunner
from wasmdock.compose_docker import need_compose
from wasmdock.docker import Docker
from wasmdock.docker_host import Host
from wasmdock.docker_plugins import is_installed, plugin_cure
from wasmdock.errors import UnavailableError
from wasmdock.process import Completed

OURS = "unix:///cache/engine/{}-0123456789ab/root/run/docker.sock"


@pytest.mark.parametrize("url, cure", [
    (OURS.format("trixie"), 'eval "$(scripts/engine env)"'),
    (OURS.format("sid"), 'eval "$(scripts/engine env --suite sid)"'),
    ("unix:///var/run/docker.sock", "apt-get install docker-buildx"),
])  # fmt: skip
def test_cure_goes_by_whose_engine_it_is(url: str, cure: str) -> None:
    assert plugin_cure("buildx", url).startswith(cure)


def test_plugin_is_found_where_docker_looks_first(tmp_path: Path) -> None:
    (tmp_path / "cli-plugins").mkdir()
    (tmp_path / "cli-plugins" / "docker-nonesuch").touch()
    assert is_installed("nonesuch", {"DOCKER_CONFIG": str(tmp_path)})
    assert not is_installed("nonesuch", {"DOCKER_CONFIG": "/nowhere"})


def test_missing_compose_is_said_before_docker_complains_of_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.compose_docker.is_installed", lambda *_: False)
    runner = FakeRunner({("docker", "compose", "version"): Completed((), 1, b"", b"unknown command")})
    docker = Docker(Host("unix:///var/run/docker.sock", "the default socket"), {}, runner=runner)
    with pytest.raises(UnavailableError, match="this docker client has no compose") as caught:
        need_compose(docker, "starting")
    assert "docker-compose" in caught.value.hint
