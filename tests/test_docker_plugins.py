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


THEIRS = "unix:///var/run/docker.sock"
REPOSITORY = "install docker-buildx-plugin from Docker's own repository"


@pytest.mark.parametrize("url, release, cure", [
    (OURS.format("trixie"), "", 'eval "$(scripts/engine env)"'),
    (OURS.format("sid"), "", 'eval "$(scripts/engine env --suite sid)"'),
    (THEIRS, 'ID=debian\nVERSION_ID="13"\n', "apt-get install docker-buildx"),
    (THEIRS, 'ID=debian\nVERSION_ID="12"\n', REPOSITORY),
    (THEIRS, 'ID=ubuntu\nVERSION_ID="24.04"\n', "apt-get install docker-buildx"),
    (THEIRS, 'ID=fedora\nVERSION_ID=41\n', REPOSITORY),
    (THEIRS, "", REPOSITORY),
])  # fmt: skip
def test_cure_goes_by_whose_engine_it_is_and_by_what_the_distribution_has(url: str, release: str, cure: str) -> None:
    assert plugin_cure("buildx", url, release).startswith(cure)


def test_compose_of_ubuntu_has_a_package_of_its_second_version() -> None:
    assert plugin_cure("compose", THEIRS, "ID=ubuntu\nVERSION_ID=22.04\n") == "apt-get install docker-compose-v2"


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
    assert "install docker-compose" in caught.value.hint
