"""The scenarios under compose/ by plain `docker compose up`, built from their Dockerfiles: no wasmdock anywhere."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.requirements import require_docker
from tests.test_compose_scenarios import NATIVES, PORT, REPORT, ROOT, ask, natives
from tests.test_compose_up import eventually

BUILDER = "wasmdock/builder"
SCENARIOS = ["hello", "signature", "pipeline", "mixed-tag", "web"]
pytestmark = pytest.mark.docker


def built_here(file: Path) -> dict[str, Any]:
    """What this machine adds: the toolchain it has already, the certificates it trusts, names that are no user's."""
    services = yaml.safe_load(file.read_text())["services"]
    found = subprocess.run(["docker", "image", "inspect", BUILDER], capture_output=True, check=False)
    arguments = {"BUILDER": BUILDER} if found.returncode == 0 else {}
    certificates = os.environ.get("SSL_CERT_FILE", "")
    built = {
        name: {
            "image": f"wasmdock-test/plain-{file.stem}-{name}",
            "build": {"args": arguments, "secrets": ["ca"] if certificates else []},
        }
        for name, service in services.items()
        if "build" in service
    }
    return {"services": built, **({"secrets": {"ca": {"file": certificates}}} if certificates else {})}


class Plain:
    """One scenario under a project name of its own, by docker compose alone."""

    def __init__(self, name: str, folder: Path) -> None:
        file = ROOT / "compose" / f"{name}.yaml"
        here = folder / "here.json"
        self.added = built_here(file)
        here.write_text(json.dumps(self.added))
        self.words = ["docker", "compose", "-f", str(file), "-f", str(here), "-p", f"wasmdock-test-plain-{name}"]
        self.environment = {**os.environ, "REDIS_IMAGE": NATIVES, "PROXY_IMAGE": NATIVES, "WEB_PORT": str(PORT)}

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self.words, *words], env=self.environment, capture_output=True, text=True, timeout=570, check=False
        )

    def logs(self, service: str) -> list[str]:
        printed = self("logs", "--no-log-prefix", "--no-color", service).stdout
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", printed).splitlines()

    def remove(self) -> None:
        self("down", "--volumes", "--remove-orphans")
        names = [service["image"] for service in self.added["services"].values()]
        subprocess.run(["docker", "image", "rm", *names], capture_output=True, timeout=100, check=False)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Callable[[str], Plain]]:
    made: list[Plain] = []

    def make(name: str) -> Plain:
        require_docker()
        made.append(Plain(name, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.remove()


def shown(plain: Plain, name: str) -> bool:
    """Whether the scenario has shown what it is for."""
    if name == "web":
        return [ask("/health"), ask(), ask()] == ["PONG\n", "You are visitor 1.\n", "You are visitor 2.\n"]
    service, last = {
        "hello": ("hello", ["Hello from wasmdock!"]),
        "signature": ("checker", ["The signature is valid."]),
        "pipeline": ("report", REPORT[-1:]),
        "mixed-tag": ("wasm", ["words"]),
    }[name]
    return plain.logs(service)[-1:] == last and (name != "mixed-tag" or plain.logs("native")[-1:] == last)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_is_built_and_started_by_docker_compose_alone(plain: Callable[[str], Plain], name: str) -> None:
    if name == "web":
        natives()
    scenario = plain(name)
    done = scenario("up", "--build", "--detach")
    assert done.returncode == 0, done.stderr
    if name == "web":
        assert eventually(lambda: ask("/health") == "PONG\n"), scenario("logs").stdout
    assert eventually(lambda: shown(scenario, name)), scenario("logs").stdout
