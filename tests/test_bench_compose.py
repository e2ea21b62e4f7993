"""A compose service as a case gets its standard input, and its project is left as it was found."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.command_line import CommandLine
from tests.fakes import FakeEngine, FakeRunner
from wasmdock.cli.bench_docker import compose_cleanup
from wasmdock.docker import Docker
from wasmdock.docker_host import Host
from wasmdock.process import Completed

COMPOSE = ("docker", "compose", "--file", "compose.yaml")
CLIENT = """#!/bin/sh
echo "$*" >> "$0.asked"
case "$*" in *" run "*) cat > "$0.stdin" ;; esac
"""


class Project:
    """The containers of a compose project; `compose run` of the test adds to them."""

    def __init__(self, *running: str, stopped: Sequence[str] = ()) -> None:
        self.running, self.there = list(running), [*running, *stopped]
        self.runner = FakeRunner({(*COMPOSE, "ps"): self._list})
        self.docker = Docker(Host("unix:///nobody.sock", "DOCKER_HOST"), {}, runner=self.runner)

    def _list(self, argv: Sequence[str]) -> Completed:
        shown = self.there if "--all" in argv else self.running
        return Completed(tuple(argv), 0, "\n".join(shown).encode())

    def asked(self) -> list[str]:
        """What was done besides looking."""
        return [" ".join(call[1:]) for call in self.runner.calls if "ps" not in call]


def test_what_a_service_depends_on_is_removed_with_its_network() -> None:
    project = Project()
    clean_up = compose_cleanup(project.docker, "compose.yaml")
    project.running, project.there = ["db"], ["db", "api"]
    clean_up()
    assert project.asked()[0] == "rm --force --volumes api db"
    assert project.asked()[-1] == "compose --file compose.yaml down"


def test_what_was_there_before_stays_as_it_was() -> None:
    project = Project("cache", stopped=["db"])
    clean_up = compose_cleanup(project.docker, "compose.yaml")
    project.running.append("db")
    clean_up()
    assert project.asked() == ["stop db"]


def test_service_of_a_compose_file_gets_the_standard_input(wasmdock: CommandLine, tmp_path: Path) -> None:
    client, path, engine = tmp_path / "docker", tmp_path / "r.json", FakeEngine(tmp_path)
    client.write_text(CLIENT)
    client.chmod(0o755)
    (tmp_path / "input").write_text("13")
    args = ("--case", "api=compose:compose.yaml#api", "--stdin", tmp_path / "input", "--rounds", "1", "--export", path)
    path_with_it = f"{tmp_path}:{wasmdock.environment['PATH']}"
    done = wasmdock("bench", *args, DOCKER_HOST=engine.host.url, PATH=path_with_it)
    engine.close()
    assert (done.code, (tmp_path / "docker.stdin").read_text()) == (0, "13")
    assert json.loads(path.read_text())["cases"][0]["summary"]["n"] == 1
    assert (tmp_path / "docker.asked").read_text().endswith("compose --file compose.yaml down\n")
