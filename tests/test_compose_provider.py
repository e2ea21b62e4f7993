"""wasmdock as a provider of docker compose: a plain `docker compose up` hands a service to it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.requirements import require_docker

GUESTS = Path(__file__).parent / "guests"
PLUGINS = ("usr/libexec/docker/cli-plugins", "usr/lib/docker/cli-plugins", "usr/local/lib/docker/cli-plugins")


def compose_program() -> tuple[str, str]:
    """docker compose as a program that runs on this host, and its version; an engine of ours has one in its tree."""
    tree = os.environ.get("DOCKER_HOST", "").removeprefix("unix://").removesuffix("/run/docker.sock")
    for root in ("/", tree or "/"):
        for folder in PLUGINS:
            program = Path(root, folder, "docker-compose")
            if program.is_file():
                said = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=True)
                return str(program), said.stdout.strip()
    pytest.skip("no docker compose that runs on this host")


def test_provider_answers_in_json_lines(wasmdock: CommandLine) -> None:
    wasmdock("pack", GUESTS / "hello.wat", "-t", "hello", "--name", "hello")
    done = wasmdock("compose", "--project-name=p", "up", "--image=hello", "--port=18470:8080", "greeter")
    told = [json.loads(line) for line in done.text.splitlines()]
    assert [each["type"] for each in told] == ["info", "setenv"]
    assert wasmdock("compose", "--project-name=p", "down", "greeter").code == 0


def test_provider_reports_an_error_as_compose_wants_it(wasmdock: CommandLine) -> None:
    done = wasmdock("compose", "--project-name=p", "up", "--image=nowhere", "greeter")
    assert done.code == 1
    assert json.loads(done.text.splitlines()[-1])["type"] == "error"


def test_provider_refuses_a_port_nobody_could_be_told_of(wasmdock: CommandLine) -> None:
    done = wasmdock("compose", "--project-name=p", "up", "--image=hello", "--port=8080", "greeter")
    told = [json.loads(line) for line in done.text.splitlines()]
    assert (done.code, [each["type"] for each in told]) == (1, ["error"])
    assert 'port "8080": not HOST:GUEST' in told[0]["message"]


def test_provider_names_its_options(wasmdock: CommandLine) -> None:
    told = json.loads(wasmdock("compose", "metadata").text)
    assert {"image", "port", "env"} <= {each["name"] for each in told["up"]["parameters"]}


@pytest.mark.docker
def test_docker_compose_hands_a_service_to_wasmdock(wasmdock: CommandLine, tmp_path: Path) -> None:
    require_docker()
    program, version = compose_program()
    major, minor = map(int, re.findall(r"\d+", version)[:2])
    if (major, minor) < (2, 36):
        pytest.skip(f"docker compose {version} knows no providers: 2.36 does")
    wasmdock("pack", GUESTS / "hello.wat", "-t", "hello", "--name", "hello")
    script = tmp_path / "wasmdock"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m wasmdock "$@"\n')
    script.chmod(0o755)
    provider = {"type": str(script), "options": {"image": "hello", "port": "18471:8080"}}
    user = {"image": "debian:trixie-slim", "command": ["env"], "depends_on": ["greeter"]}
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": {"greeter": {"provider": provider}, "user": user}}))
    environment = {
        **wasmdock.environment,
        "DOCKER_HOST": os.environ["DOCKER_HOST"],
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    words = [program, "-f", "compose.yaml", "-p", "wasmdock-test-provider"]
    try:
        done = subprocess.run(
            [*words, "up"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert "GREETER_URL=http://host.docker.internal:18471" in done.stdout, done.stderr
        log = Path(environment["WASMDOCK_HOME"]) / "compose" / "wasmdock-test-provider-greeter" / "log.jsonl"
        assert "Hello from a sample guest!" in log.read_text()
    finally:
        subprocess.run([*words, "down"], cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=True)
    assert not log.exists()
