"""Containers that ended, each with why."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import sample
from tests.requirements import require_docker
from tests.wat import image_of
from wasmdock.cli import run_cli
from wasmdock.docker import Docker
from wasmdock.explain import Container, explain, last_word, needs_replay, parse_container, replay_request
from wasmdock.inprocess import InProcessRuntime
from wasmdock.runtime import MIB, Mount, Outcome, RunResult

WASM = "io.containerd.wasmtime.v1"
TRAP = RunResult(Outcome.TRAPPED, 134, message="wasm trap: wasm `unreachable` instruction executed\n  0: _start")
FULL = RunResult(Outcome.OUT_OF_MEMORY, 137, message="out of memory: at most 64 MiB are allowed (--memory)")
THREE = RunResult(Outcome.EXITED, 3, stderr=b"no such file\n")
KILL = RunResult(Outcome.EXITED, 137)
FINE = RunResult(Outcome.EXITED, 0)
LONG = RunResult(Outcome.TIMED_OUT, 124, message="the time limit of 10 s is over (--timeout)")
TRAPPED = (
    "wasmdock: running /x: error while executing at wasm backtrace:\n    0: 0x1 - main\n\n"
    "Caused by:\n    wasm trap: unreachable\n"
)
NAMED = "wasmdock: my app started\n"
REFUSED = "wasmdock: starting /a.wasm: no export _start\n"
SAID = "noise\nwasmdock: running _start: wasm trap: unreachable\n  0: main\n"


def container(code: int = 137, **changes: Any) -> Container:
    return Container(**{"name": "c", "image": "sha256:1", "status": "exited", "code": code, "runtime": WASM, **changes})


ENDED: list[tuple[str, Container, dict[str, Any], str, str]] = [
    # what happened, the record, what else is known, the cause, the evidence
    ("it runs", container(0, status="running"), {}, "it has not ended: it is running", ""),
    ("it never started", container(0, status="created"), {}, "it never started", ""),
    ("no shim", container(127, error="binary not installed"), {}, "it did not start: binary not installed", ""),
    ("the kernel", container(oom=True, memory=64 * MIB), {}, "out of memory, at its limit of 64 MiB", ""),
    ("the kernel, by events", container(), {"events": ["oom", "die"]}, "out of memory", ""),
    ("our shim told it", container(134), {"log": SAID}, "running _start: wasm trap: unreachable", "0: main"),
    ("our shim told a trap", container(134), {"log": TRAPPED}, "it trapped: wasm trap: unreachable", "0: 0x1 - main"),
    ("our shim refused it", container(126), {"log": REFUSED}, "no export _start", ""),
    ("a guest that says so", container(126), {"log": REFUSED, "printed": True}, "it could not be started", ""),
    ("a guest with our name", container(137), {"log": NAMED, "events": ["kill"]}, "it was sent SIGKILL", ""),
    ("a script with our name", container(3, runtime="runc"), {"log": NAMED}, "it ended itself with exit code 3", ""),
    ("a native program's abort", container(134, runtime="runc"), {"log": SAID}, "it aborted (SIGABRT", ""),
    ("a guest's own code", container(3), {"log": SAID}, "it ended itself with exit code 3", ""),
    ("a trap told by nobody", container(), {"replay": TRAP}, "it trapped (this Wasm runtime ends it", "_start"),
    ("no memory, told by nobody", container(memory=64 * MIB), {"replay": FULL}, "it ran out of memory (this", ""),
    ("a component's failure", container(), {"replay": THREE}, "it ended itself with exit code 3", "no such file"),
    ("no limit", container(memory=0), {"replay": FULL}, "it may have run out of memory (this Wasm runtime", ""),
    ("killed, whatever it does", container(), {"replay": FULL, "events": ["start", "kill 9", "die"]}, "SIGKILL:", ""),
    ("killed, and trapped", container(), {"replay": TRAP, "events": ["start", "kill", "die"]}, "sent SIGKILL: the", ""),
    ("a signal, then a trap", container(), {"replay": TRAP, "events": ["start", "kill 1", "die"]}, "it trapped", "_s"),
    ("killed, before it began again", container(), {"replay": TRAP, "events": ["kill 9", "start"]}, "it trapped", "_s"),
    ("its own 137", container(), {"replay": KILL}, "it ended itself with exit code 137, and does so again", ""),
    ("docker kill", container(), {"replay": FINE, "events": ["kill", "die"]}, "it was sent SIGKILL: the engine", ""),
    ("SIGKILL from outside", container(), {"replay": LONG}, "the same bytes go on running when run again here", ""),
    ("no replay", container(), {"replay": "it has no ENTRYPOINT"}, "could not be run again here: it has no ENTRY", ""),
    ("a native program killed", container(runtime="runc"), {}, "it was sent SIGKILL", ""),
    ("SIGTERM", container(143), {}, "it was ended by SIGTERM", ""),
    ("Docker's own code", container(127), {}, "it could not be started (exit code 127)", ""),
    ("abort", container(134, runtime="runc"), {}, "it aborted (SIGABRT", ""),
    ("its own code", container(3), {}, "it ended itself with exit code 3", ""),
    ("no fault", container(0), {}, "it ended by itself, without a fault", ""),
]  # fmt: skip


@pytest.mark.parametrize("ended, known, cause, evidence", [row[1:] for row in ENDED], ids=[row[0] for row in ENDED])
def test_cause_of_an_end_is_named(ended: Container, known: dict[str, Any], cause: str, evidence: str) -> None:
    found = explain(ended, **known)
    assert cause in found.cause
    assert evidence in found.evidence


@pytest.mark.parametrize(
    "ended, log, needed",
    [
        (container(), "", True),
        (container(134), "", True),
        (container(134), SAID, False),
        (container(), NAMED, True),
        (container(oom=True), "", False),
        (container(runtime="runc"), "", False),
        (container(3), "", False),
        (container(status="running"), "", False),
    ],
)
def test_only_a_silent_end_is_replayed(ended: Container, log: str, needed: bool) -> None:
    assert needs_replay(ended, log) is needed
    assert not needs_replay(ended, log, ["create", "start", "kill 9", "die"])


def test_container_without_a_limit_is_replayed_with_all_that_a_guest_can_have(runtime: InProcessRuntime) -> None:
    assert replay_request(container()).limits.memory == 4 << 30
    assert replay_request(container(), most=5 * MIB).limits.memory == 5 * MIB
    assert replay_request(container(memory=64 * MIB), most=5 * MIB).limits.memory == 64 * MIB
    image = image_of("""(module (memory 1) (func (export "_start")
      (if (i32.eq (memory.grow (i32.const 9600)) (i32.const -1)) (then unreachable))))""")  # 600 MiB
    request = replay_request(container())
    assert runtime.run(image, request).outcome is Outcome.EXITED


@pytest.mark.parametrize(
    "runtime, is_wasm",
    [
        (WASM, True),
        ("io.containerd.wasmedge.v1", True),
        ("io.containerd.spin.v2", True),
        ("/usr/local/bin/containerd-shim-wamr-v1", True),
        ("crun-wasm", True),
        ("wws", True),
        ("runc", False),
        ("io.containerd.runc.v2", False),
        ("crun", False),
        ("io.containerd.kata.v2", False),
        ("kata-runtime", False),
        ("runsc", False),
        ("io.containerd.runsc.v1", False),
        ("nvidia", False),
        ("/opt/wasm/bin/youki", False),
        ("", False),
    ],
)
def test_only_known_wasm_runtimes_count_as_wasm(runtime: str, is_wasm: bool) -> None:
    assert container(runtime=runtime, argv=("/hello",)).is_wasm is is_wasm


@pytest.mark.parametrize("runtime, is_wasm", [("io.containerd.quiet.v1", True), ("runc", False), ("", False)])
def test_runtime_of_another_name_counts_as_wasm_where_it_started_a_wasm_file(runtime: str, is_wasm: bool) -> None:
    assert container(runtime=runtime, argv=("/hello.wasm",)).is_wasm is is_wasm


def test_replay_can_change_nothing(tmp_path: Path) -> None:
    mounts = (Mount(tmp_path, "/d", True), Mount(tmp_path / "gone", "/e", True))
    ended = container(argv=("/a.wasm", "x"), memory=64 * MIB, mounts=mounts, env={"WASMDOCK_FUEL": "1", "A": "b"})
    request = replay_request(ended)
    assert request.env == {"A": "b"}
    assert (request.args, request.limits.memory, request.network) == (("x",), 64 * MIB, "")
    assert [mount.read_only for mount in request.mounts] == [True]


def test_last_word_is_the_runtimes_last() -> None:
    log = "wasmdock: one\nx\nwasmdock: running two\n  0: f\n"
    assert last_word(container(134), log) == "running two\n  0: f"
    assert last_word(container(134), "hello\n") == ""


def test_record_of_the_engine_is_read() -> None:
    answer = {
        "Name": "/c",
        "Image": "sha256:1",
        "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": False, "Error": ""},
        "Config": {"Env": ["A=1=2"]},
        "HostConfig": {"Runtime": WASM, "Memory": 5},
        "Path": "/a.wasm",
        "Args": ["x"],
        "Mounts": [{"Type": "bind", "Source": "/s", "Destination": "/d"}, {"Type": "volume", "Name": "v"}],
    }
    found = parse_container(answer)
    assert (found.name, found.code, found.argv, found.env, found.memory) == (
        "c",
        137,
        ("/a.wasm", "x"),
        {"A": "1=2"},
        5,
    )
    assert found.mounts == (Mount(Path("/s"), "/d", True),)


def test_replay_of_a_trap_brings_its_backtrace(runtime: InProcessRuntime) -> None:
    replay = runtime.run(sample("trap"), replay_request(container()))
    assert "deepest" in explain(container(), replay=replay).evidence


@pytest.mark.docker
def test_container_that_trapped_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    require_docker()
    docker, name = Docker.connect(os.environ), f"wasmdock-explain-{secrets.token_hex(4)}"
    docker.load(sample("trap"), f"{name}:latest")
    try:
        docker.cli("run", f"--name={name}", f"--runtime={WASM}", "--platform=wasi/wasm", name, timeout=60)
        assert run_cli(["explain", "--format", "json", name]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["container"], found["exit_code"]) == (name, 134)
        assert "unreachable" in found["cause"] + found["evidence"]
    finally:
        docker.cli("rm", "--force", name, timeout=30)
        docker.remove(f"{name}:latest", force=True)


@pytest.mark.docker
def test_container_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    require_docker()
    assert run_cli(["explain", "never-there"]) == 1
    assert 'explaining "never-there": the engine has no such container' in capsys.readouterr().err
