"""The scenarios under compose/, on both roads and as docker compose alone runs them, with real requests."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.requirements import require_cargo, require_docker
from tests.test_compose_up import eventually, gone

ROOT = Path(__file__).parent.parent
NATIVES = "wasmdock-test/natives"
REPORT = ["anchor        738      36162.00", "boat          757     983343.00", "compass       797      19526.50",
          "dinghy        731     291669.00", "all          3023    1330700.50"]  # fmt: skip
PORT = 18480
ROADS = ["process", "docker"]

pytestmark = [pytest.mark.docker, pytest.mark.cargo]


class Scenario:
    """One file, under a project name of its own."""

    def __init__(self, name: str, home: Path) -> None:
        require_docker()
        require_cargo()
        self.file = ROOT / "compose" / f"{name}.yaml"
        self.project = f"wasmdock-test-{name}"
        natives = {"REDIS_IMAGE": NATIVES, "PROXY_IMAGE": NATIVES, "WEB_PORT": str(PORT)}
        self.environment = {**os.environ, "WASMDOCK_HOME": str(home), **natives}

    def argv(self, *words: str) -> list[str]:
        where = ["-f", str(self.file), "-p", self.project]
        return [sys.executable, "-m", "wasmdock", "compose", *where, *words]

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        argv = self.argv(*words)
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=280, check=False)

    def docker(self, *words: str) -> "subprocess.CompletedProcess[str]":
        argv = ["docker", "compose", "-f", str(self.file), "-p", self.project, *words]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=280, check=False)

    def rows(self) -> dict[str, dict[str, object]]:
        return {row["name"]: row for row in json.loads(self("ps", "--format", "json").stdout)}

    def lines(self, done: "subprocess.CompletedProcess[str]", name: str) -> list[str]:
        """What a service printed."""
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout)
        texts = (line.split("  | ", 1) for line in plain.splitlines() if "  | " in line)
        return [text for prefix, text in texts if prefix.strip() == name]


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Callable[[str], Scenario]]:
    made: list[Scenario] = []

    def make(name: str) -> Scenario:
        made.append(Scenario(name, tmp_path / "home"))
        return made[-1]

    yield make
    for each in made:
        each("down", "-v")
        each.docker("down", "-v", "--remove-orphans")


def natives() -> None:
    """An image with Redis and nginx, from Debian's packages: no registry is needed."""
    found = subprocess.run(["docker", "image", "inspect", NATIVES], capture_output=True, check=False)
    if found.returncode != 0:
        words = ["docker", "buildx", "build", "--load", "--provenance=false", "-t", NATIVES, "-"]
        dockerfile = (ROOT / "tests" / "compose" / "natives.Dockerfile").read_bytes()
        subprocess.run(words, input=dockerfile, capture_output=True, timeout=280, check=True)


def ask(path: str = "/") -> str:
    """What the web scenario answers; a refusal is empty."""
    host = os.environ.get("WASMDOCK_ENGINE_ADDRESS", "127.0.0.1")
    try:
        with urllib.request.urlopen(f"http://{host}:{PORT}{path}", timeout=10) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


@pytest.mark.parametrize("road", ROADS)
def test_hello_greets(scenario: Callable[[str], Scenario], road: str) -> None:
    hello = scenario("hello")
    done = hello("up", "--on", road)
    assert done.returncode == 0, done.stderr
    assert hello.lines(done, "hello-1") == ["Hello from wasmdock!"]


@pytest.mark.parametrize("road", ROADS)
def test_signature_is_checked_with_its_directory(scenario: Callable[[str], Scenario], road: str) -> None:
    signature = scenario("signature")
    done = signature("up", "--on", road)
    assert signature.lines(done, "checker-1")[-1:] == ["The signature is valid."], done.stderr


@pytest.mark.parametrize("road", ROADS)
def test_pipeline_hands_its_work_on_through_the_volume(scenario: Callable[[str], Scenario], road: str) -> None:
    pipeline = scenario("pipeline")
    done = pipeline("up", "--on", road)
    assert pipeline.lines(done, "report-1") == REPORT, done.stderr


@pytest.mark.parametrize("road", ROADS)
def test_both_tags_print_the_same(scenario: Callable[[str], Scenario], road: str) -> None:
    mixed = scenario("mixed-tag")
    done = mixed("up", "--on", road)
    assert mixed.lines(done, "wasm-1") == mixed.lines(done, "native-1") == ["the", "same", "words"], done.stderr


@pytest.mark.parametrize("road", ROADS)
def test_web_counts_visits_in_redis_behind_the_proxy(scenario: Callable[[str], Scenario], road: str) -> None:
    natives()
    web = scenario("web")
    done = web("up", "-d", "--on", road)
    assert done.returncode == 0, done.stderr
    assert eventually(lambda: ask("/health") == "PONG\n"), web("logs").stdout
    assert [ask(), ask()] == ["You are visitor 1.\n", "You are visitor 2.\n"]
    assert web("down").returncode == 0
    assert web.rows() == {}
    assert web("up", "-d", "--on", road).returncode == 0
    assert eventually(lambda: ask() == "You are visitor 3.\n")


def test_killed_database_is_named_and_the_rest_goes_on(scenario: Callable[[str], Scenario]) -> None:
    natives()
    web = scenario("web")
    assert web("up", "-d", "--on", "process").returncode == 0
    subprocess.run(["docker", "kill", f"{web.project}-redis-1"], capture_output=True, check=True)
    assert eventually(lambda: web.rows()["redis-1"]["status"] == "exited (137)")
    assert web.rows()["api-1"]["status"] == "running"
    assert ask("/health") == ""


def test_containers_stop_when_wasmdock_is_killed(scenario: Callable[[str], Scenario]) -> None:
    natives()
    web = scenario("web")
    process = subprocess.Popen(web.argv("up", "--on", "process"), env=web.environment, stdout=subprocess.DEVNULL)
    while ask("/health") != "PONG\n":
        assert process.poll() is None
        time.sleep(0.2)
    pids = [int(str(row["pid"])) for row in web.rows().values() if row["pid"]]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(map(gone, pids))
    for _ in range(100):
        if not web.docker("ps", "--quiet").stdout.split():
            break
        time.sleep(0.2)
    assert web.docker("ps", "--quiet").stdout.split() == []
