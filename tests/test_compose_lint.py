"""Known traps of Compose files, each a finding with its line and its cure."""

from pathlib import Path

import pytest

from wasmdock.compose import load_stack
from wasmdock.compose_file import find_sources
from wasmdock.compose_lint import ERROR, WARNING, Finding, View, find_traps
from wasmdock.errors import UsageError
from wasmdock.wasm_sniff import World

WASM = "    platform: wasi/wasm\n    runtime: io.containerd.wasmtime.v1\n"
SCENARIOS = sorted((Path(__file__).parent.parent / "compose").glob("*.yaml"))


def findings(folder: Path, text: str, **worlds: World) -> list[Finding]:
    (folder / "compose.yaml").write_text(text)
    (folder / "there").mkdir(exist_ok=True)
    stack = load_stack(find_sources([], {}, folder), home="/", profiles=["*"], lenient=True)
    return find_traps(View(stack, worlds))


# Each: the trap, what stands below `services: / a: / image: x`, level, line, words.
TRAPS = [
    ("platform without runtime", "    platform: wasi/wasm\n", ERROR, 4, "no runtime"),
    ("runtime without platform", "    runtime: io.containerd.wasmtime.v1\n", WARNING, 4, "no platform"),
    ("a shell in a health check", WASM + "    healthcheck:\n      test: curl localhost\n", ERROR, 7, "no shell"),
    ("a program in a health check", WASM + "    healthcheck: {test: [CMD, curl]}\n", ERROR, 6, 'no "curl"'),
    ("a terminal", WASM + "    tty: true\n", WARNING, 6, "a terminal"),
    ("an unknown key", "    port: ['80:80']\n", ERROR, 4, 'unknown key "services.a.port"'),
    ("an attested build", WASM + "    build: {context: there, provenance: true}\n", WARNING, 6, "an attested image"),
    ("a missing path", "    volumes: ['./nowhere:/data']\n", WARNING, 4, "nowhere\" is not there"),
    ("memory without a unit", "    mem_limit: 64\n", ERROR, 4, "64 means bytes"),
    ("memory below deploy", "    deploy:\n      resources:\n        limits: {memory: 128}\n", ERROR, 6, "128 means"),
    ("a variable that is not set", "    hostname: ${NOBODY}\n", WARNING, 4, '"NOBODY" is not set'),
]  # fmt: skip


@pytest.mark.parametrize("text, level, line, words", [row[1:] for row in TRAPS], ids=[row[0] for row in TRAPS])
def test_trap_is_found(tmp_path: Path, text: str, level: str, line: int, words: str) -> None:
    found = findings(tmp_path, f"services:\n  a:\n    image: x\n{text}")
    assert [(each.level, each.line, words in each.message) for each in found] == [(level, line, True)]
    assert all(each.hint for each in found)


def test_service_named_as_a_network_mode_is_found(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "services:\n  host:\n    image: x\n")
    assert (finding.line, "network mode" in finding.message) == (2, True)


def test_check_of_an_http_component_is_told_where_it_works(tmp_path: Path) -> None:
    check = "    ports: ['80:8080']\n    healthcheck: {test: [CMD, curl, -f, localhost]}\n"
    (finding,) = findings(tmp_path, f"services:\n  a:\n    image: x\n{WASM}{check}", a=World.HTTP)
    assert (finding.level, "--on process" in finding.hint) == (ERROR, True)


def test_http_component_without_a_port_is_found(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, f"services:\n  a:\n    image: x\n{WASM}", a=World.HTTP)
    assert "publishes no port" in finding.message


def test_http_component_behind_another_service_needs_no_port(tmp_path: Path) -> None:
    text = f"services:\n  a:\n    image: x\n{WASM}  b:\n    image: y\n    command: proxy http://a:8080\n"
    assert findings(tmp_path, text, a=World.HTTP) == []


def test_waiting_for_the_health_of_a_guest_without_check_is_found(tmp_path: Path) -> None:
    waiting = "    depends_on:\n      a: {condition: service_healthy}\n"
    text = f"services:\n  a:\n    image: x\n{WASM}  b:\n    image: y\n{waiting}"
    (finding,) = findings(tmp_path, text)
    assert (finding.line, "which has no health check" in finding.message) == (9, True)


def test_sound_file_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, f"services:\n  a:\n    image: x\n{WASM}    ports: ['8080:8080']\n") == []


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_scenario_has_no_findings(file: Path) -> None:
    assert find_traps(View(load_stack(find_sources([file], {}, file.parent), home="/", lenient=True), {})) == []


def test_port_that_is_none_hides_nothing_after_it(tmp_path: Path) -> None:
    bad = "    image: x\n    ports: ['80:x', '81:81']\n    mem_limit: 64\n"
    found = findings(tmp_path, f"services:\n  a:\n{bad}  b: {{image: x, ports: ['99999:1']}}\n")
    assert sorted(each.line for each in found) == [4, 5, 6]


def test_what_is_missing_hides_no_other_finding(tmp_path: Path) -> None:
    keys = "    depends_on: [nobody]\n    mem_limit: 64\n    networks: [n]\n"
    text = f"services:\n  a:\n    image: x\n{keys}  b: {{tty: true}}\n"
    found = {(each.line, each.message) for each in findings(tmp_path, text)}
    assert found == {
        (4, 'service "a" depends on "nobody", which is not there'),
        (5, 'service "a": 64 means bytes'),
        (6, 'service "a" uses network "n", which is not there'),
        (7, 'service "b" has neither an image nor a build'),
    }


@pytest.mark.parametrize("lenient", [False, True])
def test_services_that_are_no_mapping_are_called_so(tmp_path: Path, lenient: bool) -> None:
    (tmp_path / "compose.yaml").write_text("services: []\n")
    with pytest.raises(UsageError, match='compose.yaml:1: "services" must be a mapping, not '):
        load_stack(find_sources([], {}, tmp_path), lenient=lenient)
