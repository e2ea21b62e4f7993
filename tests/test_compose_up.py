"""wasmdock compose as a shell sees it, with no engine: Wasm services in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command_line import CommandLine, Done
from tests.fakes import FakeRunner
from wasmdock.cli.compose_process import published_at
from wasmdock.cli.compose_up import docker_rows
from wasmdock.compose_linux import create
from wasmdock.docker import Docker
from wasmdock.docker_host import Host
from wasmdock.process import Completed

GUESTS = Path(__file__).parent / "guests"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Project:
    """A folder with a Compose file, and the verb in it."""

    def __init__(self, folder: Path, line: CommandLine) -> None:
        self.folder = folder
        self.line = line

    def write(self, *services: str, rest: str = "") -> "Project":
        """Services as flow mappings such as `a: {image: hello}`; each is made Wasm."""
        text = "".join(
            f"  {each.replace('{', '{platform: wasi/wasm, runtime: io.containerd.wasmtime.v1, ', 1)}\n"
            for each in services
        )
        (self.folder / "compose.yaml").write_text(f"services:\n{text}{rest}")
        return self

    def pack(self, *guests: str) -> "Project":
        for guest in guests:
            assert (
                self.line(
                    "pack", GUESTS / f"{guest}.wat", "-t", guest.replace("_", "-"), "--name", guest.replace("_", "-")
                ).code
                == 0
            )
        return self

    def __call__(self, *words: str) -> Done:
        return self.line("compose", *words, cwd=self.folder)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.line.argv("compose", *words), cwd=self.folder, env=self.line.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def rows(self) -> dict[str, dict[str, object]]:
        return {row["name"]: row for row in json.loads(self("ps", "--format", "json").text)}

    def wait(self, name: str, status: str) -> int:
        """Wait until `ps` shows it so; its pid."""
        for _ in range(100):
            row = self.rows().get(name, {})
            if str(row.get("status", "")).startswith(status):
                return int(str(row["pid"]))
            time.sleep(0.1)
        raise AssertionError(f"{name} never became {status}: {self.rows()}")


@pytest.fixture
def project(tmp_path: Path, wasmdock: CommandLine) -> Iterator[Project]:
    (tmp_path / "project").mkdir()
    made = Project(tmp_path / "project", wasmdock)
    yield made
    if (made.folder / "compose.yaml").exists():
        made("down", "-v")


def gone(pid: int) -> bool:
    return eventually(lambda: not running(pid))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(test: Callable[[], bool]) -> bool:
    for _ in range(100):
        if test():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("said", ["[%s,%s]", "%s\n%s"])
def test_containers_are_known_however_docker_compose_lists_them(said: str) -> None:
    rows = ('{"Name":"p-a-1","Service":"a"}', '{"Name":"p-b-1","Service":"b"}')
    runner = FakeRunner({("docker", "compose"): Completed((), 0, (said % rows).encode())})
    context: Any = SimpleNamespace(docker=Docker(Host("unix:///x", "DOCKER_HOST"), {}, runner=runner))
    stack: Any = SimpleNamespace(name="p", folder=Path("/"))
    assert [row["name"] for row in docker_rows(stack, context, [])] == ["a-1", "b-1"]
    assert create(stack, context.docker, Path("linux.json"), None) == {"a": ["p-a-1"], "b": ["p-b-1"]}


def test_up_prints_each_line_behind_its_services_name(project: Project) -> None:
    project.pack("hello", "exit_code").write("one: {image: hello}", "seven: {image: exit-code, depends_on: [one]}")
    done = project("up")
    assert (done.code, done.text) == (0, "one-1    | Hello from a sample guest!\n")
    assert set(done.stderr.splitlines()) == {"one-1 exited with code 0", "seven-1 exited with code 7"}


@pytest.mark.parametrize(
    "words", [("--on", "process", "up"), ("up", "--on", "process"), ("--on=process", "run", "one")]
)
def test_road_is_named_before_or_behind_the_action(project: Project, words: tuple[str, ...]) -> None:
    project.pack("hello").write("one: {image: hello}")
    assert project(*words).text.endswith("Hello from a sample guest!\n")
    docker = project(*("docker" if word == "process" else word.replace("=process", "=docker") for word in words))
    assert "asking the Docker engine at" in docker.stderr


def test_project_of_the_logs_is_named_behind_the_action_too(project: Project) -> None:
    project.pack("hello").write("one: {image: hello}")
    project("-p", "other", "up")
    assert project("logs", "-p", "other").text == "one-1  | Hello from a sample guest!\n"
    project("down", "-p", "other")


def test_arguments_environment_and_entrypoint_reach_the_guest(project: Project) -> None:
    project.pack("args", "environ").write(
        "a: {image: args, command: [x, 'y z']}",
        "b: {image: environ, environment: {K: v}}",
        "c: {image: args, entrypoint: [/args.wasm, first], command: second}",
    )
    text = project("up").text
    assert {"a-1  | x", "a-1  | y z", "b-1  | K=v", "c-1  | first", "c-1  | second"} <= set(text.splitlines())


@pytest.mark.parametrize("verb, code", [(("up",), 1), (("up", "-d"), 1), (("run", "a"), 125)])
def test_service_is_held_to_its_authors_list(project: Project, verb: tuple[str, ...], code: int) -> None:
    label = "dev.wasmdock.capabilities"
    project.line("pack", GUESTS / "hello.wat", "-t", "listed", "--label", f"{label}=exit")
    project.write("a: {image: listed}")
    done = project(*verb)
    assert (done.code, done.text) == (code, "")
    assert 'compose.yaml:2: service "a": running a guest that asks for stdio: not granted by the image' in done.stderr
    assert f"label {label}" in done.stderr
    project.line("pack", GUESTS / "hello.wat", "-t", "listed", "--label", f"{label}=stdio")
    assert project("run", "a").text == "Hello from a sample guest!\n"


def test_mounted_folder_is_the_services_own(project: Project) -> None:
    project.pack("write_file")
    (project.folder / "data").mkdir()
    (project.folder / "sealed").mkdir()
    project.write(
        "a: {image: write-file, command: [file], volumes: ['./data:/data']}",
        "b: {image: write-file, command: [file], volumes: ['./sealed:/data:ro']}",
    )
    project("up")
    assert [len(list((project.folder / name).iterdir())) for name in ("data", "sealed")] == [1, 0]


def test_named_volume_outlives_down_unless_told(project: Project) -> None:
    project.pack("write_file").write(
        "a: {image: write-file, command: [file], volumes: ['v:/data']}", rest="volumes: {v: }\n"
    )
    project("up")
    volume = Path(project.line.environment["WASMDOCK_HOME"]) / "compose" / "project" / "volumes" / "v"
    project("down")
    assert list(volume.iterdir())
    project("down", "-v")
    assert not volume.exists()


def test_detached_services_go_on_and_end_with_down(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour}", "b: {image: sleep-hour, deploy: {replicas: 2}}")
    assert project("up", "-d").code == 0
    pids = [int(str(row["pid"])) for row in project.rows().values()]
    assert len(pids) == 3
    assert all(map(running, pids))
    done = project("down")
    assert (done.code, "is stopped and removed" in done.stderr) == (0, True)
    assert not any(map(running, pids))
    assert project.rows() == {}


def test_logs_are_kept_and_chosen_by_service(project: Project) -> None:
    project.pack("hello").write("a: {image: hello}", "b: {image: hello}")
    project("up", "-d")
    project.wait("b-1", "exited")
    assert project("logs", "a").text == "a-1  | Hello from a sample guest!\n"
    assert re.fullmatch(r"(?:[ab]-1  \| 20\d\d-.*Z Hello from a sample guest!\n){2}", project("logs", "-t").text)


def test_logs_follow_until_all_have_ended(project: Project) -> None:
    project.pack("hello", "sleep_hour").write("a: {image: hello}", "b: {image: sleep-hour}")
    project("up", "-d")
    process = project.start("logs", "-f")
    assert process.stdout
    assert process.stdout.readline() == b"a-1  | Hello from a sample guest!\n"
    project("down")
    assert process.wait(10) == 0


def test_ctrl_c_stops_all_and_gives_130(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour}")
    process = project.start("up")
    pid = project.wait("a-1", "running")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert gone(pid)


def test_nothing_survives_when_wasmdock_is_killed(project: Project) -> None:
    project.pack("sleep_hour", "spin").write("a: {image: sleep-hour}", "b: {image: spin}")
    process = project.start("up")
    pids = [project.wait("a-1", "running"), project.wait("b-1", "running")]
    process.kill()
    process.wait()
    assert all(map(gone, pids))
    assert project.rows()["a-1"]["status"] == "killed with wasmdock"


def test_project_starts_again_after_wasmdock_was_killed(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour}")
    process = project.start("up")
    project.wait("a-1", "running")
    process.kill()
    process.wait()
    assert project("up", "-d").code == 0
    project.wait("a-1", "running")


def test_killed_guest_is_restarted_where_it_says_so(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour, restart: always}")
    project("up", "-d")
    pid = project.wait("a-1", "running")
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: project.rows()["a-1"]["restarts"] == 1)
    assert project.wait("a-1", "running") != pid


def test_guest_may_check_the_health_of_the_service(project: Project) -> None:
    health = "healthcheck: {test: [CMD, /cat.wasm], interval: 100ms}"
    project.pack("cat", "hello", "sleep_hour").write(
        f"a: {{image: sleep-hour, {health.replace('cat', 'sleep-hour')}, stop_grace_period: 1s}}",
        "b: {image: hello, depends_on: {a: {condition: service_started}}}",
    )
    assert project("up", "-d").code == 0


def test_services_that_never_came_to_start_say_so(project: Project) -> None:
    project.pack("trap", "hello").write(
        "a: {image: trap}", "b: {image: hello, depends_on: {a: {condition: service_completed_successfully}}}"
    )
    done = project("up")
    assert (done.code, 'it said last: "wasmdock: wasm trap: ' in done.stderr) == (1, True), done.stderr
    assert "try: `wasmdock compose logs a`" in done.stderr
    assert project.rows()["b-1"]["status"] == "never started"
    assert project("logs").text.splitlines()[-1].startswith('wasmdock  | compose.yaml:3: service "b" waits for "a"')


def test_failed_step_ends_what_was_started(project: Project) -> None:
    project.pack("sleep_hour", "exit_code", "hello").write(
        "a: {image: sleep-hour}",
        "b: {image: exit-code}",
        "c: {image: hello, depends_on: {b: {condition: service_completed_successfully}}}",
    )
    done = project("up", "-d")
    assert done.code == 1
    assert 'compose.yaml:4: service "c" waits for "b" to complete, which ended with exit code' in done.stderr
    assert not [row for row in project.rows().values() if row["status"] == "running"]


def test_image_that_is_nowhere_is_named_with_its_line(project: Project) -> None:
    done = project.write("a: {image: nowhere}")("up")
    assert done.code == 1
    assert done.stderr.startswith('wasmdock: compose.yaml:2: service "a": ')


def test_linux_services_without_an_engine_are_one_error(project: Project) -> None:
    project.pack("hello").write("a: {image: hello}", rest="  db: {image: postgres}\n  web: {image: nginx}\n")
    done = project("up", "--on", "process")
    assert done.code == 1
    assert "starting the services that are not Wasm (db, web): " in done.stderr
    assert "--only-wasm" in done.stderr


def test_only_wasm_starts_the_rest(project: Project) -> None:
    project.pack("hello").write("a: {image: hello, depends_on: [db]}", rest="  db: {image: postgres}\n")
    assert project("up", "--only-wasm").text == "a-1  | Hello from a sample guest!\n"


def test_run_gives_other_arguments_and_the_guests_code(project: Project) -> None:
    project.pack("args", "exit_code").write("a: {image: args, command: [usual]}", "b: {image: exit-code}")
    assert "other" in project("run", "a", "other").text
    assert project("run", "b").code == project.line("run", "--on", "process", "exit-code").code


@pytest.mark.parametrize("guest, code", [("refused_alloc", 137), ("grown_panic", 134)])
def test_service_is_out_of_memory_where_run_says_so(project: Project, guest: str, code: int) -> None:
    name = guest.replace("_", "-")
    project.pack(guest).write(f"a: {{image: {name}}}")
    done = project("run", "a")
    assert (done.code, "out of memory" in done.stderr) == (code, code == 137)
    assert project.line("run", "--on", "process", name).code == code


def test_file_is_read_by_the_guest_where_it_is_mounted(project: Project) -> None:
    (project.folder / "said.txt").write_text("from a file")
    config = "configs: [{source: c, target: /data/file}]"
    project.pack("read_file").write(
        "a: {image: read-file, command: [file], volumes: ['./said.txt:/data/file:ro']}",
        f"b: {{image: read-file, command: [file], {config}}}",
        rest="configs: {c: {content: from a config}}\n",
    )
    done = project("up")
    assert set(done.text.splitlines()) == {"a-1  | from a file", "b-1  | from a config"}, done.stderr


def test_program_that_the_image_does_not_hold_checks_no_health(project: Project) -> None:
    project.pack("hello").write("a: {image: hello, healthcheck: {test: [CMD, curl, localhost]}}")
    assert 'compose.yaml:2: service "a": its image holds no "curl" for a health check' in project("up").stderr


def test_running_project_is_not_started_twice(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour}")
    project("up", "-d")
    done = project("up", "-d")
    assert done.code == 2
    assert "it runs already" in done.stderr


def test_secrets_are_a_folder_of_the_guest(project: Project) -> None:
    (project.folder / "s.txt").write_text("hidden")
    project.pack("hello").write("a: {image: hello, secrets: [s]}", rest="secrets: {s: {file: ./s.txt}}\n")
    assert project("up").code == 0


def test_config_lists_services_in_the_order_they_start(project: Project) -> None:
    project.write("a: {image: x, depends_on: [b]}", "b: {image: x}")
    assert project("config", "--services").text == "b\na\n"


def test_down_of_nothing_says_so(project: Project) -> None:
    done = project.write("a: {image: x}")("down")
    assert (done.code, "was not running" in done.stderr) == (0, True)


def test_logs_of_nothing_say_so(project: Project) -> None:
    done = project.write("a: {image: x}")("logs")
    assert (done.code, "has not run" in done.stderr) == (0, True)


def test_lint_prints_findings_with_lines_and_cures(project: Project) -> None:
    (project.folder / "compose.yaml").write_text("services:\n  a:\n    image: x\n    platform: wasi/wasm\n")
    done = project("lint")
    assert done.code == 1
    assert done.text.startswith('compose.yaml:4: error: service "a": platform "wasi/wasm" and no runtime')


@pytest.mark.parametrize("ports, url", [
    ("0.0.0.0:8080->8080/tcp", "localhost:8080"), ("127.0.0.1:81->80/tcp, x", "127.0.0.1:81"), ("", ""),
])  # fmt: skip
def test_detached_service_says_where_it_is_reached(ports: str, url: str) -> None:
    assert published_at(ports) == url
