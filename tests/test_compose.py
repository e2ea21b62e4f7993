"""Reading Compose files: what is refused, in one line with file and line, and what the values are."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from wasmdock.compose import Stack, load_stack
from wasmdock.compose_file import find_sources
from wasmdock.compose_reader import read_documents
from wasmdock.compose_text import interpolate, parse_env_text
from wasmdock.compose_units import parse_duration, show_duration
from wasmdock.compose_yaml import Node
from wasmdock.errors import UsageError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefg", "bcdefgh", strict=True)
)
WASM = "platform: wasi/wasm"


def read(folder: Path, text: str, environment: Mapping[str, str] | None = None, **choices: object) -> Stack:
    file = folder / "compose.yaml"
    file.write_text(text)
    sources = find_sources([file], environment or {}, folder)
    return load_stack(sources, home="/home/someone", **choices)  # type: ignore[arg-type]


def services(*lines: str) -> str:
    return "services:\n" + "".join(f"  {line}\n" for line in lines)


# Each: what is wrong, the file, the line of the message, and words it must have.
BAD = [
    ("malformed", "services:\n  a: [1,\n", 2, "malformed YAML"),
    ("a tab", "services:\n\ta:\n", 2, "malformed YAML"),
    ("not a mapping", "- a\n", 1, "a Compose file is a mapping"),
    ("empty", "", 1, "the file is empty"),
    ("only a comment", "# nothing\n", 1, "the file is empty"),
    ("no services", "name: x\n", 1, "no services"),
    ("not text", b"services:\n  a: {image: \xff}\n", 2, "not UTF-8"),
    ("an exploding anchor", BOMB, 6, "more than 100000 values"),
    ("an anchor in itself", "a: &a\n  b: *a\n", 2, "contains itself"),
    ("an unknown alias", "a: *b\n", 1, 'no anchor "&b"'),
    ("a merge of a text", "a:\n  <<: text\n", 2, "merges mappings"),
    ("deep nesting", "a: " + "[" * 5000, 1, "nested deeper"),
    ("a key twice", services("a: {image: x}", "a: {image: y}"), 3, "there already, in line 2"),
    ("a key that is no text", services("a:", "  image: x", "  environment: {true: 1}"), 4, 'the key "true" is no text'),
    ("an unknown key", services("a:", "  imag: x"), 3, 'unknown key "services.a.imag"'),
    ("an unknown key on top", "service:\n  a: {image: x}\n", 1, 'unknown key "service"'),
    ("a list for a text", services("a:", "  image: [x]"), 3, "must be a text, not a list"),
    ("a text for a mapping", services("a:", "  healthcheck: always"), 3, "must be a mapping"),
    ("a text for a truth", services("a:", "  image: x", "  init: maybe"), 4, "must be true or false"),
    ("a service that is empty", services("a:"), 2, '"services.a" is empty'),
    ("nothing to run", services("b: {image: x}", "a:", "  restart: always"), 3, "neither an image nor a build"),
    ("a cycle", services("a: {image: x, depends_on: [b]}", "b: {image: x, depends_on: [a]}"), 3, "a -> b -> a"),
    ("a service that needs itself", services("a: {image: x, depends_on: [a]}"), 2, "a -> a"),
    ("an unknown service", services("a:", "  image: x", "  depends_on: [b]"), 4, 'depends on "b", which is not there'),
    ("a service off",
     services("a: {image: x, depends_on: [b]}", "b: {image: x, profiles: [p]}"), 2, "no active profile"),
    ("an unknown condition",
     services("a: {image: x, depends_on: {b: {condition: up}}}", "b: {image: x}"), 2, 'no condition "up"'),
    ("an unknown volume", services("a:", "  image: x", "  volumes: ['v:/v']"), 4, 'volume "v", which is not there'),
    ("an unknown network", services("a:", "  image: x", "  networks: [n]"), 4, 'network "n", which is not there'),
    ("an unknown secret", services("a:", "  image: x", "  secrets: [s]"), 4, 'secret "s", which is not there'),
    ("a bad port", services("a:", "  image: x", "  ports:", "  - 80:http"), 5, '"80:http" is no port'),
    ("a port too high", services("a:", "  image: x", "  ports: ['70000:80']"), 4, "from 0 to 65535"),
    ("uneven ranges", services("a:", "  image: x", "  ports: ['1-3:1-2']"), 4, "publishes 3 ports for 2"),
    ("a bad volume", services("a:", "  image: x", "  volumes: ['a:b:c:d']"), 4, "is no volume"),
    ("a bad duration", services("a:", "  image: x", "  stop_grace_period: soon"), 4, '"soon" is no duration'),
    ("a bad size", services("a:", "  image: x", "  mem_limit: much"), 4, '"much" is no size'),
    ("a bad restart", services("a:", "  image: x", "  restart: often"), 4, 'no restart policy "often"'),
    ("a bad health check", services("a:", "  image: x", "  healthcheck: {test: [curl]}"), 4, "begins with CMD"),
    ("an open quote", services("a:", "  image: x", "  command: say 'hi"), 4, "no closing quotation"),
    ("a bad variable", services("a:", "  image: ${X"), 3, "begins no variable"),
    ("a needed variable", services("a:", "  image: ${X:?say which}"), 3, '"X" is required: say which'),
    ("a bad project name", "name: A B\n" + services("a: {image: x}"), 1, 'project name "A B"'),
    ("extending itself", services("a: {extends: b}", "b: {extends: a}"), 2, "comes back to itself"),
    ("extending nobody", services("a: {extends: z}"), 2, 'extends "z", which is not there'),
    ("extending no file", services("a: {extends: {file: no.yaml, service: a}}"), 2, "no such file"),
    ("including no file", "include: [no.yaml]\n" + services("a: {image: x}"), 1, "no such file"),
    ("including itself", "include: [compose.yaml]\n" + services("a: {image: x}"), 0, "where it began"),
    ("no env file", services("a:", "  image: x", "  env_file: no.env"), 4, "no such file"),
    ("two networks",
     services("a: {image: x, network_mode: host, networks: [default]}"), 2, "both network_mode"),
]  # fmt: skip


@pytest.mark.parametrize("text, line, words", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_file_is_refused_in_one_line(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    (tmp_path / "compose.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        load_stack(find_sources([], {}, tmp_path), home="/")
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert f"compose.yaml:{line}: " in caught.value.message or not line


def test_unknown_key_comes_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, services("a:", "  image: x", "  depend_on: [b]"))
    assert caught.value.hint == "did you mean depends_on?"


def test_services_start_behind_what_they_need(tmp_path: Path) -> None:
    stack = read(
        tmp_path, services("a: {image: x, depends_on: [b, c]}", "b: {image: x, depends_on: [c]}", "c: {image: x}")
    )
    assert [each.name for each in stack.services] == ["c", "b", "a"]


def test_naming_a_service_takes_what_it_needs_and_its_profile(tmp_path: Path) -> None:
    text = services("a: {image: x, depends_on: [b], profiles: [p]}", "b: {image: x}", "c: {image: x}")
    assert {each.name for each in read(tmp_path, text, only=["a"]).services} == {"a", "b"}


def test_wasm_is_told_by_platform_or_runtime(tmp_path: Path) -> None:
    stack = read(
        tmp_path,
        services(f"a: {{image: x, {WASM}}}", "b: {image: x, runtime: io.containerd.wasmtime.v1}", "c: {image: x}"),
    )
    assert {each.name: each.is_wasm for each in stack.services} == {"a": True, "b": True, "c": False}


def test_variable_that_is_not_set_is_noted_with_its_place(tmp_path: Path) -> None:
    stack = read(tmp_path, services("a:", "  image: x:${TAG}"))
    assert list(stack.unset) == ["TAG"]
    assert stack.unset["TAG"].endswith("compose.yaml:3")


def test_environment_is_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=file\nB=file\nC\n")
    text = services("a:", "  image: x", "  env_file: a.env", "  environment: [A=own]")
    (service,) = read(tmp_path, text, {"C": "shell"}).services
    assert dict(service.environment) == {"A": "own", "B": "file", "C": "shell"}


def test_override_file_beside_is_taken_unasked(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(services("a: {image: one}"))
    (tmp_path / "compose.override.yaml").write_text(services("a: {image: two}"))
    stack = load_stack(find_sources([], {}, tmp_path), home="/")
    assert stack.service("a").image == "two"


def test_file_is_found_in_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(services("a: {image: one}"))
    (tmp_path / "below").mkdir()
    assert find_sources([], {}, tmp_path / "below").folder == tmp_path


def test_restart_policy_of_deploy_counts(tmp_path: Path) -> None:
    text = services("a: {image: x, deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}}")
    (service,) = read(tmp_path, text).services
    assert (service.restart, service.attempts) == ("on-failure", 3)


@pytest.mark.parametrize("text, value", [
    ("$A", "1"), ("${A}", "1"), ("$$A", "$A"), ("${B:-x}", "x"), ("${B-x}", ""), ("${C-x}", "x"), ("${A:+y}", "y"),
    ("${B:+y}", ""), ("${B+y}", "y"), ("${C:-${A}}", "1"), ("${C:-${B:-z}}", "z"), ("a$A-b", "a1-b"), ("${C}", ""),
])  # fmt: skip
def test_variable_is_replaced(text: str, value: str) -> None:
    assert interpolate(text, {"A": "1", "B": ""}, "here") == value


@pytest.mark.parametrize("text, value", [
    ("A=1", "1"), ("A = 1", "1"), ("A='$X'", "$X"), ('A="$X"', "x"), ("A=a#b", "a#b"),
    ("A=a # b", "a"), ('A="a\\nb"', "a\nb"),
    ("export A=1", "1"), ("A=", ""), ("A", None), ("A: 1", "1"), ('A="two\nlines"', "two\nlines"), ("A=b=c", "b=c"),
])  # fmt: skip
def test_env_line_is_read(text: str, value: str | None) -> None:
    assert parse_env_text(text, {"X": "x"}, "a.env") == {"A": value}


@pytest.mark.parametrize("text, seconds", [("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5), ("0", 0)])
def test_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(Node(text)) == seconds


@pytest.mark.parametrize(
    "seconds, text", [(90, "1m30s"), (0.5, "500ms"), (3600, "1h0m0s"), (1.5, "1.5s"), (60, "1m0s")]
)
def test_duration_is_shown_as_go_shows_it(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


def test_values_know_their_lines_through_anchors_and_merges() -> None:
    (root,) = read_documents(b"x: &x\n  a: 1\ny:\n  <<: *x\n  b: 2\n", "f.yaml")
    assert (root.map["y"].line_of("a"), root.map["y"].line_of("b")) == (2, 5)
