"""Compose files mean here what they mean to docker compose: patterns of real projects, each in tests/compose/."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.requirements import require_docker
from wasmdock.compose import load_stack
from wasmdock.compose_config import document
from wasmdock.compose_file import find_sources

FOLDER = Path(__file__).parent / "compose"
ROOT = FOLDER.parent.parent
HOME = "/home/someone"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "merged.over")
SCENARIOS = sorted(path.stem for path in (ROOT / "compose").glob("*.yaml"))
# What docker compose 2.40 printed, as `normal` leaves it: made by the docker test below with RECORD=1.
RECORDED = FOLDER / "recorded.json"


def files_of(name: str) -> list[Path]:
    return [FOLDER / "merged.yaml", FOLDER / "merged.over.yaml"] if name == "merged" else [FOLDER / f"{name}.yaml"]


def profiles_of(name: str) -> list[str]:
    return ["cache"] if name == "profiles" else []


def ours(files: list[Path], profiles: list[str]) -> Any:
    sources = find_sources(files, {"HOME": HOME}, FOLDER)
    return normal(document(load_stack(sources, profiles=profiles, home=HOME)))


def normal(value: Any, key: str = "") -> Any:
    """Without what differs between versions of docker compose, or only in how it is written."""
    if isinstance(value, dict):
        kept = {
            each.replace("$$", "$"): normal(below, each) for each, below in value.items() if each != "create_host_path"
        }
        return {each: below for each, below in kept.items() if not (each == "exec" and below == {"command": None})}
    if isinstance(value, list):
        return [normal(each) for each in value]
    if key == "mode" and isinstance(value, int):
        return f"{value:04o}"
    return value.replace("$$", "$").replace(str(ROOT), "{root}") if isinstance(value, str) else value


@pytest.mark.parametrize("name", NAMES)
def test_file_means_what_docker_compose_said_it_means(name: str) -> None:
    assert ours(files_of(name), profiles_of(name)) == json.loads(RECORDED.read_text())[name]


def test_there_are_twenty_files_of_patterns_people_use() -> None:
    assert len(NAMES) >= 20


@pytest.mark.docker
def test_files_mean_what_this_docker_compose_says_they_mean() -> None:
    require_docker()
    said = {name: _docker_says(files_of(name), profiles_of(name)) for name in NAMES}
    if os.environ.get("RECORD"):
        RECORDED.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
    assert {name: ours(files_of(name), profiles_of(name)) for name in NAMES} == said


@pytest.mark.docker
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_means_what_docker_compose_says_it_means(name: str) -> None:
    require_docker()
    files = [ROOT / "compose" / f"{name}.yaml"]
    assert ours(files, []) == _docker_says(files, [])


def _docker_says(files: list[Path], profiles: list[str]) -> Any:
    words = [word for file in files for word in ("-f", str(file))]
    words += [word for profile in profiles for word in ("--profile", profile)]
    steering = {key: each for key, each in os.environ.items() if key in ("PATH", "DOCKER_HOST")}
    argv = ["docker", "compose", *words, "config", "--format=json"]
    done = subprocess.run(
        argv, capture_output=True, env={**steering, "HOME": HOME}, timeout=60, cwd=FOLDER, check=False
    )
    assert done.returncode == 0, done.stderr
    return normal(json.loads(done.stdout))
