import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from tests.conftest import sample
from tests.fakes import FakeEngine, FakeRunner
from tests.images import hello
from tests.requirements import require_docker
from wasmdock.docker import Docker, parse_image, without_mounts
from wasmdock.docker_call import phases_of, run_arguments
from wasmdock.docker_causes import CAUSES, find_cause
from wasmdock.docker_facts import parse_facts
from wasmdock.docker_host import Host, Ping, find_host, ping
from wasmdock.docker_run import DockerRuntime, prove
from wasmdock.docker_verdict import judge
from wasmdock.errors import CommandError, GuestError, ImageError, UnavailableError, UsageError, WasmdockError
from wasmdock.oci.image import Image
from wasmdock.process import Completed
from wasmdock.runtime import Limits, Mount, Outcome, RunRequest, Stdio

NATIVE = "debian:trixie-slim"


# Where the engine is


def test_docker_host_decides_first() -> None:
    host = find_host({"DOCKER_HOST": "unix:///a/b.sock", "DOCKER_CONTEXT": "other"})
    assert (host.url, host.source, str(host.socket)) == ("unix:///a/b.sock", "DOCKER_HOST", "/a/b.sock")


def test_docker_host_with_tls_takes_the_certificates_folder() -> None:
    given = {"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    assert find_host(given).tls == Path("/certs")


def test_a_senseless_docker_host_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match='reading DOCKER_HOST "pigeon://x"'):
        find_host({"DOCKER_HOST": "pigeon://x"})


@pytest.mark.parametrize("address", ["foo:bar", "tcp://h:99999", "tcp://[::1"])
def test_address_whose_port_is_none_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="its port is no number") as caught:
        find_host({"DOCKER_HOST": address})
    assert address in caught.value.message and "tcp://host:2376" in caught.value.hint


@pytest.mark.parametrize("address, shown", [
    ("tcp://me:s3cret@h:2375", "tcp://h:2375"),
    ("https://s3cret@h:2376", "https://h:2376"),
    ("ssh://me:s3cret@h", "ssh://h"),
    ("ssh://me@h", "ssh://me@h"),
    ("unix:///home/me@h/docker.sock", "unix:///home/me@h/docker.sock"),
])  # fmt: skip
def test_the_password_of_an_engines_address_is_not_shown(address: str, shown: str) -> None:
    host = find_host({"DOCKER_HOST": address})
    assert (host.url, host.shown) == (address, shown)


@pytest.mark.parametrize("address", ["tcp://me:s3c/ret@h:2375", "me:s3cret@h:99999", "pigeon://me:s3cret@h"])
def test_nor_is_it_where_the_address_cannot_be(address: str) -> None:
    with pytest.raises(UsageError, match='reading DOCKER_HOST ".*//h') as caught:
        find_host({"DOCKER_HOST": address})
    assert "s3c" not in caught.value.message


@pytest.mark.parametrize("ask", [Docker.facts, lambda docker: docker.has_started("x") or docker.find_image("x")])
def test_nor_is_it_where_nobody_answers(ask: Callable[[Docker], object]) -> None:
    with pytest.raises(UnavailableError, match="//127.0.0.1:1") as caught:
        ask(Docker(find_host({"DOCKER_HOST": "tcp://me:s3cret@127.0.0.1:1"}), {}))
    assert "s3cret" not in caught.value.message


def test_nor_is_it_in_docker_pys_own_words() -> None:
    docker = Docker(find_host({"DOCKER_HOST": "tcp://me:s3cret@127.0.0.1:1"}), {}, answer=Ping("1.45"))
    with pytest.raises(UnavailableError, match="the engine went away") as caught:
        docker.remove("x")
    assert "s3cret" not in caught.value.message


def test_ssh_without_paramiko_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise DockerException("Install paramiko package to enable ssh:// support")

    monkeypatch.setattr("docker.DockerClient", refuse)
    with pytest.raises(UnavailableError, match="needs the Python package paramiko") as caught:
        _ = Docker(Host("ssh://x", "DOCKER_HOST"), {}, answer=Ping("1.45")).api
    assert caught.value.hint == "pip install paramiko" and "went away" not in caught.value.message


def _write_context(home: Path, name: str, url: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": url}}}))


def test_a_socket_in_a_folder_that_may_not_be_searched_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "stat", refuse)
    assert find_host({"HOME": "/closed", "XDG_RUNTIME_DIR": "/closed"}).url == "unix:///var/run/docker.sock"


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_the_current_context_is_read_as_the_client_reads_it(tmp_path: Path) -> None:
    _write_context(tmp_path, "far", "tcp://far:2375")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    host = find_host({"HOME": str(tmp_path)})
    assert (host.url, host.source) == ("tcp://far:2375", 'context "far"')
    assert host.environment == {"DOCKER_CONTEXT": "far"}


def test_a_missing_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='context "gone"') as caught:
        find_host({"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    assert "docker context ls" in caught.value.hint


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ("/var/run/docker.sock", "/var/run/docker.sock"),
        ("/home/me/.docker/run/docker.sock", "/home/me/.docker/run/docker.sock"),
        ("/run/user/1/docker.sock", "/run/user/1/docker.sock"),
        ("/nowhere", "/var/run/docker.sock"),
    ],
)
def test_without_a_setting_the_usual_sockets_are_tried(there: str, found: str) -> None:
    environment = {"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert find_host(environment, exists=lambda path: str(path) == there).url == f"unix://{found}"


# Whether it answers


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    fake = FakeEngine(tmp_path)
    yield fake
    fake.close()


def test_connect_tells_the_api_version_without_importing_docker_py(engine: FakeEngine) -> None:
    code = (
        "import os, sys; from wasmdock.docker import Docker\n"
        "print(Docker.connect(os.environ).answer.api_version, 'docker' in sys.modules, 'requests' in sys.modules)"
    )
    env = {**os.environ, "DOCKER_HOST": f"unix://{engine.path}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "1.45 False False\n"


def test_a_missing_socket_is_said_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no such socket") as caught:
        ping(Host(f"unix://{tmp_path}/none.sock", "the default socket"), 1)
    assert caught.value.hint.startswith("start Docker")


def test_an_address_of_ones_own_is_doubted_first(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        Docker.connect({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert caught.value.hint.startswith("look at DOCKER_HOST")


def test_a_socket_nobody_listens_on_is_said(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path)
    fake.close()
    with pytest.raises(UnavailableError, match="nothing listens there"):
        ping(fake.host, 1)


def test_a_socket_one_may_not_open_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_host: Host, _timeout: float) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wasmdock.docker_host._open", refuse)
    with pytest.raises(UnavailableError, match="permission denied") as caught:
        ping(Host("unix:///x", "DOCKER_HOST"), 1)
    assert "usermod -aG docker" in caught.value.hint


def test_an_engine_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    fake, began = FakeEngine(tmp_path, hang=True), time.monotonic()
    with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
        ping(fake.host, 0.2)
    assert time.monotonic() - began < 2


def test_an_engine_that_answers_a_byte_at_a_time_is_given_up_in_time(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, drip=0.05)  # 3 s for all of it
    with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
        ping(fake.host, 0.2)


def test_something_else_on_the_socket_is_noticed(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, raw=b"220 mail ready\r\n")
    with pytest.raises(UnavailableError, match="does not speak HTTP"):
        ping(fake.host, 1)


def test_half_an_answer_is_noticed(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, raw=b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    with pytest.raises(UnavailableError, match="hung up in the middle"):
        ping(fake.host, 1)


def test_an_unhappy_engine_is_quoted(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, raw=b"HTTP/1.0 503 Busy\r\n\r\nstarting up")
    with pytest.raises(UnavailableError, match="status 503 starting up"):
        ping(fake.host, 1)


# What it says


def test_facts_tell_the_image_store_and_the_runtimes() -> None:
    info = {
        "ID": "x",
        "ServerVersion": "28.5.2",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Runtimes": {"runc": {}, "crun": {}},
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
    }
    version = {"ApiVersion": "1.51", "Components": [{"Name": "containerd", "Version": "2.1.9"}]}
    facts = parse_facts(info, version)
    assert facts.containerd_store and facts.runtimes == ("crun", "runc")
    assert (facts.version, facts.containerd, facts.cgroup) == ("28.5.2", "2.1.9", "systemd v2")


def test_facts_survive_an_engine_that_says_nothing() -> None:
    assert not parse_facts({}, {}).containerd_store


def test_what_an_engine_leaves_null_is_not_known() -> None:
    facts = parse_facts(dict.fromkeys(("ID", "ServerVersion", "CgroupDriver", "Images")), {"ApiVersion": None})
    assert (facts.id, facts.version, facts.api_version, facts.cgroup, facts.images) == ("", "", "", "", 0)


def test_an_image_is_known_by_every_digest_the_engine_has_for_it() -> None:
    answer = {"Id": "sha256:a", "RepoDigests": ["x@sha256:b"], "Os": "wasi", "Architecture": "wasm"}
    found = parse_image("x", answer)
    assert found.digests == {"sha256:a", "sha256:b"} and found.platform.is_wasm


def test_has_image_compares_digests_not_names(tmp_path: Path) -> None:
    image = hello()
    fake = FakeEngine(tmp_path, {"/v1.45/images/same/": {"Id": str(image.digest)}, "/v1.45/images/other/": {"Id": "x"}})
    docker = Docker(fake.host, {}, answer=ping(fake.host, 1))
    assert [docker.has_image(name, image) for name in ("same", "other", "none")] == [True, False, False]


def test_the_client_gets_the_environment_that_leads_to_the_same_engine(engine: FakeEngine) -> None:
    runner = FakeRunner()
    Docker(engine.host, {"PATH": "/bin"}, runner=runner).cli("version", env={"MORE": "1"})
    assert runner.calls == [("docker", "version")]
    assert runner.environments == [{"PATH": "/bin", "DOCKER_HOST": f"unix://{engine.path}", "MORE": "1"}]


def test_certificates_of_the_environment_do_not_replace_the_engines_own() -> None:
    docker = Docker(Host("tcp://localhost:1", "DOCKER_HOST"), {}, answer=Ping("1.45"))
    assert docker.api.api.trust_env is False


def test_a_client_without_buildx_builds_a_lone_dockerfile_the_old_way(engine: FakeEngine) -> None:
    runner = FakeRunner({("docker", "buildx", "version"): Completed((), 1)})
    dockerfile = b"FROM x\nRUN --mount=type=secret,id=a,target=/b \\\n    make\n"
    Docker(engine.host, {}, runner=runner).build(dockerfile, ["t"], secrets={"a": Path("/s")})
    assert runner.calls[1] == ("docker", "build", "--tag", "t", "-")
    assert runner.stdins[1] == without_mounts(dockerfile) == b"FROM x\nRUN make\n"
    assert runner.environments[1]["DOCKER_BUILDKIT"] == "0"


# docker run as a value


def _words(request: RunRequest | None = None, **more: object) -> list[str]:
    options: dict[str, object] = {"is_wasm": True, "name": "n", **more}
    return list(run_arguments("img", request or RunRequest(), **options).argv)  # type: ignore[arg-type]


def test_a_wasm_image_runs_with_runtime_platform_and_limits() -> None:
    words = _words(RunRequest(args=("a", "b")), runtime="io.containerd.wasmtime.v1", platform="wasi/wasm")
    assert words[:5] == ["docker", "run", "--rm", "--pull=never", "--name=n"]
    assert words[5:7] == ["--runtime=io.containerd.wasmtime.v1", "--platform=wasi/wasm"]
    assert words[7:11] == ["--env", "WASMDOCK_MEMORY=536870912", "--env", "WASMDOCK_TABLES=1000000"]
    assert words[11:] == ["img", "a", "b"]


def test_a_native_image_runs_as_plain_docker_run_would() -> None:
    assert _words(is_wasm=False) == ["docker", "run", "--rm", "--pull=never", "--name=n", "img"]


def test_chosen_limits_reach_the_container_and_the_wasm_runtime() -> None:
    limits = Limits(memory=64 << 20, tables=None, timeout=1.5, fuel=10**12)
    words = _words(RunRequest(limits=limits))
    assert f"--memory={128 << 20}" in words  # the runtime needs some of its own
    assert {"WASMDOCK_MEMORY=67108864", "WASMDOCK_TIMEOUT=1.5", "WASMDOCK_FUEL=1000000000000"} < set(words)
    assert f"--memory={64 << 20}" in _words(RunRequest(limits=limits), is_wasm=False)


def test_no_limit_on_tables_is_one_that_nobody_reaches() -> None:
    """Our runtime has a default of its own for tables, and counts them in 64 bits."""
    words = _words(RunRequest(limits=Limits(tables=None)))
    assert "WASMDOCK_TABLES=18446744073709551615" in words


def test_large_limit_is_written_out() -> None:
    words = _words(RunRequest(limits=Limits(memory=1 << 60)))
    assert "WASMDOCK_MEMORY=1152921504606846976" in words


def test_values_of_variables_are_on_no_command_line() -> None:
    call = run_arguments("img", RunRequest(env={"TOKEN": "s3cret"}), is_wasm=False, name="n")
    assert call.argv[-3:] == ("--env", "TOKEN", "img") and "s3cret" not in " ".join(call.argv)
    assert call.env == {"TOKEN": "s3cret"}


def test_a_guests_path_does_not_become_the_docker_clients() -> None:
    call = run_arguments("img", RunRequest(env={"PATH": "/x", "DOCKER_HOST": "y"}), is_wasm=False, name="n")
    assert call.env == {} and {"PATH=/x", "DOCKER_HOST=y"} < set(call.argv)


def test_a_variable_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match='variable "A=B"'):
        _words(RunRequest(env={"A=B": "c"}))


def test_mounts_take_any_path() -> None:
    words = _words(RunRequest(mounts=(Mount(Path('/a,b/"c":d'), "/data", True),)))
    assert words[words.index("--mount") + 1] == 'type=bind,"source=/a,b/""c"":d",target=/data,readonly'


def test_a_mount_at_the_root_goes_aside_and_the_wasm_runtime_is_told() -> None:
    words = _words(RunRequest(mounts=(Mount(Path("/home"), "/"),)))
    assert "type=bind,source=/home,target=/.wasmdock/root" in words
    assert "WASMDOCK_DIRS=/.wasmdock/root::/" in words


def test_a_native_container_cannot_have_its_root_replaced() -> None:
    with pytest.raises(UsageError, match="cannot replace the root"):
        _words(RunRequest(mounts=(Mount(Path("/home"), "/"),)), is_wasm=False)


def test_stdin_and_a_terminal_are_asked_for_only_when_wanted() -> None:
    assert not {"--interactive", "--tty"} & set(_words())
    assert "--interactive" in _words(RunRequest(stdin=b""))
    assert {"--interactive", "--tty"} < set(_words(RunRequest(interactive=True), tty=True))


# How it ended


def _done(
    code: int, stderr: str = "", stdout: bytes = b"out", *, timed_out: bool = False, truncated: bool = False
) -> Completed:
    argv = ("docker", "run", "--rm", "img")
    return Completed(argv, code, stdout, stderr.encode(), timed_out=timed_out, truncated=truncated)


def test_any_code_of_the_guest_is_its_own() -> None:
    for code in (0, 1, 101, 125, 134, 137, 255):
        result = judge(_done(code, "my own words\n"), Limits(), ours=True)
        assert (result.outcome, result.exit_code, result.stderr) == (Outcome.EXITED, code, b"my own words\n")


@pytest.mark.parametrize(
    ("code", "outcome", "word"),
    [
        (134, Outcome.TRAPPED, "running app: trap\n  0: f"),
        (137, Outcome.OUT_OF_MEMORY, "out of memory: 1 MiB"),
        (124, Outcome.TIMED_OUT, "the time limit is over (WASMDOCK_TIMEOUT)"),
    ],
)
def test_the_wasm_runtimes_last_word_is_the_message_and_not_stderr(code: int, outcome: Outcome, word: str) -> None:
    result = judge(_done(code, f"guest\nwasmdock: {word}\n"), Limits(), ours=True)
    assert (result.outcome, result.exit_code, result.stderr) == (outcome, code, b"guest\n")
    assert result.message == word


def test_the_flag_is_named_where_the_wasm_runtime_names_its_variable() -> None:
    trap = "wasm trap: wasm `unreachable` instruction executed"
    refused = "the guest asked for more than 10 table elements (WASMDOCK_TABLES)"
    result = judge(_done(134, f"wasmdock: running app ({refused}): {trap}\n  0: f\n"), Limits(), ours=True)
    named = refused.replace("WASMDOCK_TABLES", "--tables")
    assert result.message == f"{trap}, {named}\n  0: f"
    said = "docker: Error response from daemon: wasmdock: x: it took more than 1s (WASMDOCK_COMPILE_TIME, 120s)"
    with pytest.raises(ImageError, match=r"more than 1s \(--compile-time, 120s\)"):
        judge(_done(125, said), Limits(), ours=True, started=False)


@pytest.mark.parametrize("code", [1, 125, 126, 127, 255])
@pytest.mark.parametrize(
    "said",
    [
        'time="2026-01-01T00:00:00Z" level=fatal msg="no such file"\n',
        "Cannot connect to the Docker daemon at tcp://x\n",
        "docker: Error response from daemon: no space left on device\n",
        "mine\nwasmdock: hello\n",
    ],
)
def test_what_a_started_guest_prints_never_changes_its_code(code: int, said: str) -> None:
    for ours in (False, True):
        result = judge(_done(code, said), Limits(), ours=ours)
        assert (result.outcome, result.exit_code, result.stderr) == (Outcome.EXITED, code, said.encode())


@pytest.mark.parametrize("ours", [False, True])
def test_a_guest_that_prints_our_name_has_not_run_out_of_memory(ours: bool) -> None:
    result = judge(_done(137, "wasmdock: hello\n"), Limits(), ours=ours)
    assert (result.outcome, result.exit_code, result.stderr) == (Outcome.EXITED, 137, b"wasmdock: hello\n")


def test_another_wasm_runtime_says_nothing_in_our_name() -> None:
    result = judge(_done(126, "wasmdock: no export _start\n"), Limits(), ours=False)
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 126)


def test_an_engine_that_went_away_is_said_where_it_gives_no_answer() -> None:
    said = 'guest\ntime="x" level=error msg="error waiting for container: unexpected EOF"\n'
    with pytest.raises(UnavailableError, match="went away in the middle"):
        judge(_done(125, said), Limits(), ours=True, started=None)


def test_a_program_for_another_machine_is_explained_beside_its_code() -> None:
    result = judge(_done(255, "exec /app: exec format error\n", stdout=b""), Limits(), ours=False)
    assert result.exit_code == 255 and "not for this machine" in result.message


def test_a_guest_the_wasm_runtime_refuses_is_the_guests_fault() -> None:
    with pytest.raises(GuestError, match="no export _start"):
        judge(_done(126, "wasmdock: app.wasm: no export _start\n", stdout=b""), Limits(), ours=True)


def test_a_deadline_is_an_outcome() -> None:
    result = judge(_done(-9, timed_out=True), Limits(timeout=2), ours=False)
    assert (result.outcome, result.exit_code, result.stdout) == (Outcome.TIMED_OUT, 124, b"out")


def test_output_without_end_is_an_outcome() -> None:
    result = judge(_done(137, truncated=True), Limits(output=3), ours=False)
    assert (result.outcome, result.exit_code) == (Outcome.TRAPPED, 134)


def test_an_unknown_failure_of_docker_is_shown_as_it_is() -> None:
    done = _done(125, "docker: Error: the moon is full\nSee 'docker run --help'.\n")
    with pytest.raises(CommandError, match='running "img" in Docker: docker: Error: the moon is full') as caught:
        judge(done, Limits(), ours=True, started=False)
    assert caught.value.code == 125


# Engines' own words, recorded (26.1.5, 28.2, 28.5) or from the sources named in docs of the engines.
@pytest.mark.parametrize(
    ("said", "kind", "cause", "cure"),
    [
        (
            "docker: Error response from daemon: failed to start shim: failed to resolve runtime path: runtime "
            '"io.containerd.wasmtime.v1" binary not installed "containerd-shim-wasmtime-v1": file does not exist',
            UnavailableError,
            'no "containerd-shim-wasmtime-v1" on its PATH',
            "wasmdock engine install",
        ),
        (
            "docker: Error response from daemon: unknown or invalid runtime name: io.containerd.wasmtime.v1.",
            UnavailableError,
            "does not take the runtime",
            "update Docker",
        ),
        (
            "docker: Error response from daemon: failed to create task for container: failed to start shim: "
            "start failed: : fork/exec /usr/local/bin/containerd-shim-wasmtime-v1: no such file or directory",
            UnavailableError,
            'the engine\'s Wasm runtime "/usr/local/bin/containerd-shim-wasmtime-v1" is gone',
            "wasmdock engine install",
        ),
        ("exec /hello.wasm: exec format error", ImageError, "not for this machine", "--platform=wasi/wasm"),
        (
            "docker: Error response from daemon: image with reference x was found but does not match the specified "
            "platform: wanted wasi/wasm, actual: linux/amd64",
            ImageError,
            "another platform: wanted wasi/wasm, actual: linux/amd64",
            "image inspect",
        ),
        (
            'docker: Error response from daemon: image operating system "wasi" cannot be used on this platform',
            UnavailableError,
            "image store cannot hold",
            "containerd-snapshotter",
        ),
        ("docker: Cannot connect to the Docker daemon at unix:///x.", UnavailableError, "no engine", "start Docker"),
        ("docker: failed to connect to the docker API at unix:///x", UnavailableError, "no engine", "start Docker"),
        ('time="x" level=error msg="error waiting for container: unexpected EOF"', UnavailableError, "went away", ""),
        ("docker: permission denied while trying to connect to the", UnavailableError, "may not talk", "usermod"),
        ("docker: Error response from daemon: No such image: x:1", ImageError, "no such image x:1", "docker images"),
        (
            'docker: Error response from daemon: invalid mount config for type "bind": bind source path does not '
            "exist: /gone",
            UsageError,
            'no folder "/gone"',
            "create it",
        ),
        ("the input device is not a TTY", UsageError, "not a terminal", "leave -t out"),
        ("docker: Error response from daemon: Minimum memory limit allowed is 6MB.", UsageError, "6MB", "--memory"),
        (
            'docker: Error response from daemon: failed to create task: exec: "nope": executable file not found in '
            "$PATH: unknown.",
            ImageError,
            "entrypoint is not in the image",
            "inspect",
        ),
        ("docker: Error: wasmtime executor can't handle spec", ImageError, "finds no Wasm", "inspect"),
        ("docker: write /var/lib/x: no space left on device", UnavailableError, "disk is full", "prune"),
    ],
)
def test_known_failures_come_with_their_cure(said: str, kind: type[WasmdockError], cause: str, cure: str) -> None:
    found = find_cause("running", said)
    assert type(found) is kind and found is not None
    assert cause in found.message and cure in found.hint


_STARTED = "docker: Error response from daemon: failed to start shim: start failed: : fork/exec"
_SHIM = "/usr/local/bin/containerd-shim-wasmtime-v1"
_CREATED = (
    "docker: Error response from daemon: failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: "
)
_MOUNTED = (
    f"{_CREATED}runc create failed: unable to start container process: error during container init: error mounting "
    '"/home/u/data" to rootfs at "/data": '
)


@pytest.mark.parametrize(
    ("said", "kind", "cause", "cure"),
    [
        (f"{_STARTED} {_SHIM}: exec format error: unknown", UnavailableError, f'"{_SHIM}" is for another', "engine up"),
        (
            f"{_STARTED} {_SHIM}: permission denied: unknown",
            UnavailableError,
            "may not be executed",
            "doctor` spells it",
        ),
        (f"{_STARTED} /usr/bin/containerd-shim-runc-v2: no such file", UnavailableError, "native", "containerd.io"),
        (
            f"{_CREATED}unable to retrieve OCI runtime error (open /run/containerd/x/log.json: no such file or "
            'directory): exec: "runc": executable file not found in $PATH: unknown.',
            UnavailableError,
            'the engine cannot start its runtime "runc"',
            "apt-get install runc",
        ),
        (
            f"{_CREATED}unable to retrieve OCI runtime error (open /run/x: no such file or directory): fork/exec "
            "/opt/crun: permission denied",
            UnavailableError,
            'the engine cannot start its runtime "/opt/crun"',
            "daemon.json",
        ),
        (
            f"{_MOUNTED}change mount propagation through procfd: open o_path procfd: open /home/u/data: permission "
            "denied: unknown",
            UsageError,
            'mounting "/home/u/data": the engine may not',
            "rootless",
        ),
        (f"{_MOUNTED}stat /home/u/data: no such file or directory", UsageError, "not on the engine's", "create it"),
        (f"{_MOUNTED}not a directory: Are you trying to mount", UsageError, "one side is a file", "folder it lies in"),
        (f'{_CREATED}runc: exec: "/app": permission denied', ImageError, "entrypoint may not be executed", "--chmod"),
    ],
)
def test_what_fails_in_the_engine_is_not_blamed_on_the_image(
    said: str, kind: type[WasmdockError], cause: str, cure: str
) -> None:
    found = find_cause("running", said)
    assert type(found) is kind and found is not None
    assert cause in found.message and cure in found.hint


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("its platform (wasi/wasm) does not match the specified platform (linux/amd64)",
         "the image is for another platform: wanted linux/amd64, actual: wasi/wasm"),
        ("does not provide the specified platform (wasi/wasm)",
         "the image is not for the platform asked for, wasi/wasm"),
    ],
)  # fmt: skip
def test_both_platforms_are_named_where_they_differ(said: str, cause: str) -> None:
    found = find_cause("running", f"docker: Error response from daemon: image with reference x was found but {said}")
    assert found is not None and found.message == f"running: {cause}"


def test_every_cause_has_a_cure_but_the_wasm_runtimes_own_word() -> None:
    assert [cause for _, _, cause, cure in CAUSES if not cure] == ["{0}"]


def test_phases_are_the_spans_between_an_engines_events() -> None:
    events = [("create", 0), ("start", 2 * 10**9), ("die", 3 * 10**9), ("destroy", 4 * 10**9)]
    assert phases_of(events) == {"container start": 2, "guest": 1, "container end": 1}


# DockerRuntime on a fake engine


def _fake_runtime(engine: FakeEngine, run: Completed | BaseException, image: Image) -> tuple[DockerRuntime, FakeRunner]:
    runner = FakeRunner({("docker", "run"): run})
    return DockerRuntime(Docker(engine.host, {}, runner=runner), held={str(image.digest): "held:1"}), runner


def test_the_runtime_runs_a_wasm_image_on_the_wasm_runtime(engine: FakeEngine) -> None:
    image = hello()
    runtime, runner = _fake_runtime(engine, _done(3), image)
    assert runtime.run(image, RunRequest()).exit_code == 3
    assert {"--runtime=io.containerd.wasmtime.v1", "--platform=wasi/wasm", "held:1"} < set(runner.calls[0])


@pytest.mark.parametrize("serves, seconds", [(True, 2.3), (False, 7.0)])
def test_what_serves_has_no_time_to_end_by_itself(engine: FakeEngine, serves: bool, seconds: float) -> None:
    given: list[float] = []

    def attach(argv: Sequence[str], **words: Any) -> Completed:
        given.append(words["timeout"])
        return _done(-9, timed_out=True)

    image = hello()
    docker = Docker(engine.host, {}, runner=FakeRunner(), attacher=attach)
    runtime = DockerRuntime(docker, held={str(image.digest): "held:1"}, serves=serves)
    result = runtime.run(image, RunRequest(stdio=Stdio.INHERIT, limits=Limits(timeout=2)))
    assert (result.exit_code, given) == (124, [seconds])


def test_the_engine_is_asked_whether_a_container_started_before_its_stderr_is_believed(tmp_path: Path) -> None:
    image, said = hello(), "docker: Error response from daemon: no space left on device\n"
    for name, action, started in (("a", "start", True), ("b", "create", False)):
        (tmp_path / name).mkdir()
        clock = {"SystemTime": "2026-01-01T00:00:00.123456789Z"}
        fake = FakeEngine(tmp_path / name, {"/info": clock, "/events": {"Action": action, "timeNano": 1}})
        runtime, _ = _fake_runtime(fake, _done(125, said), image)
        with nullcontext() if started else pytest.raises(UnavailableError, match="disk is full"):
            assert runtime.run(image, RunRequest()).exit_code == 125
        fake.close()


@pytest.mark.parametrize("attributes, action", [({"signal": "9"}, "kill 9"), ({}, "kill")])
def test_kill_is_told_with_its_signal(tmp_path: Path, attributes: dict[str, str], action: str) -> None:
    event = {"Action": "kill", "timeNano": 5, "Actor": {"Attributes": attributes}}
    fake = FakeEngine(tmp_path, {"/events": event})
    assert Docker(fake.host, {}).events("c") == [(action, 5)]
    fake.close()


def test_ctrl_c_leaves_no_container(engine: FakeEngine) -> None:
    image = hello()
    runtime, runner = _fake_runtime(engine, KeyboardInterrupt(), image)
    with pytest.raises(KeyboardInterrupt):
        runtime.run(image, RunRequest())
    name = next(word for word in runner.calls[0] if word.startswith("--name=")).removeprefix("--name=")
    assert runner.calls[1] == ("docker", "rm", "--force", "--volumes", name)


def test_prove_says_why_an_engine_cannot_run_wasm(engine: FakeEngine) -> None:
    said = 'docker: Error: binary not installed "containerd-shim-wasmtime-v1": file does not exist'
    runner = FakeRunner({("docker", "run"): _done(125, said)})
    image = hello()
    engine._answers["/images/"] = {"Id": str(image.digest)}
    proof = prove(Docker(engine.host, {}, runner=runner), image)
    assert not proof.works and "containerd-shim-wasmtime-v1" in proof.cause and proof.hint


# The real engine


@pytest.fixture(scope="session")
def docker() -> Docker:
    require_docker()
    docker = Docker.connect(os.environ)
    if docker.find_image(NATIVE) is None and docker.cli("pull", NATIVE, timeout=120).code != 0:
        pytest.skip(f"no image {NATIVE} and no registry")
    return docker


def _run(docker: Docker, *args: str, **more: object) -> tuple[Outcome, int, bytes, bytes]:
    image = docker.image(NATIVE)
    runtime = DockerRuntime(docker, held={str(image.digest): NATIVE}, options=(f"--label=test={os.getpid()}",))
    result = runtime.run(image, RunRequest(args=args, **more))  # type: ignore[arg-type]
    return result.outcome, result.exit_code, result.stdout, result.stderr


@pytest.mark.docker
def test_a_native_image_gives_its_output_and_its_code(docker: Docker) -> None:
    script = "echo $WORD; cat; echo err >&2; exit 3"
    ended = _run(docker, "sh", "-c", script, env={"WORD": "a b"}, stdin=b"in")
    assert ended == (Outcome.EXITED, 3, b"a b\nin", b"err\n")


@pytest.mark.docker
def test_a_container_past_its_deadline_is_gone(docker: Docker) -> None:
    assert _run(docker, "sleep", "60", limits=Limits(timeout=0.3))[:2] == (Outcome.TIMED_OUT, 124)
    assert docker.cli("ps", "--all", "--quiet", "--filter", f"label=test={os.getpid()}").stdout == b""


@pytest.mark.docker
def test_a_container_the_kernel_ends_is_out_of_memory(docker: Docker) -> None:
    ended = _run(docker, "tail", "/dev/zero", limits=Limits(memory=20 << 20))
    assert ended[:2] == (Outcome.OUT_OF_MEMORY, 137)


@pytest.mark.docker
def test_a_container_that_prints_without_end_is_stopped(docker: Docker) -> None:
    outcome, code, stdout, _ = _run(docker, "yes", limits=Limits(output=1000))
    assert (outcome, code, len(stdout)) == (Outcome.TRAPPED, 134, 1000)


@pytest.mark.docker
def test_read_only_mounts_are_read_only(docker: Docker, tmp_path: Path) -> None:
    ended = _run(docker, "touch", "/data/x", mounts=(Mount(tmp_path, "/data", True),))
    assert ended[1] == 1 and b"Read-only file system" in ended[3]


@pytest.mark.docker
def test_a_missing_program_is_the_images_fault(docker: Docker) -> None:
    with pytest.raises(ImageError, match="entrypoint is not in the image"):
        _run(docker, "no-such-program")


@pytest.mark.docker
def test_an_image_survives_the_way_into_the_engine_and_back(docker: Docker) -> None:
    image, name = hello(), "wasmdock/test:survives"
    try:
        docker.load(image, name)
        assert docker.has_image(name, image)
        assert docker.image(name).digest == image.digest
    finally:
        assert docker.remove(name)
    assert docker.find_image(name) is None and not docker.remove(name)


@pytest.mark.docker
def test_reading_an_image_the_engine_lacks_says_so(docker: Docker) -> None:
    with pytest.raises(ImageError, match='reading image "wasmdock/none:1": the engine has none'):
        docker.image("wasmdock/none:1")


@pytest.mark.docker
def test_on_our_own_terminal_signals_and_code_are_dockers_own(docker: Docker) -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from wasmdock.docker import Docker\n"
        "from wasmdock.docker_run import DockerRuntime\n"
        "from wasmdock.runtime import RunRequest, Stdio\n"
        "docker = Docker.connect(os.environ)\n"
        f"image = docker.image({NATIVE!r})\n"
        f"runtime = DockerRuntime(docker, held={{str(image.digest): {NATIVE!r}}})\n"
        "threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "args = ('sh', '-c', 'trap \"echo ended; exit 9\" TERM; sleep 60 & wait')\n"
        "sys.exit(runtime.run(image, RunRequest(args=args, stdio=Stdio.INHERIT)).exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (9, b"ended\n")


@pytest.mark.docker
def test_phases_come_from_the_engine_when_asked_for(docker: Docker) -> None:
    image = docker.image(NATIVE)
    runtime = DockerRuntime(docker, held={str(image.digest): NATIVE}, timed=True)
    result = runtime.run(image, RunRequest(args=("true",), stdio=Stdio.CAPTURE))
    assert {"run", "container start", "guest", "container end"} == set(result.phases)


@pytest.fixture(scope="session")
def wasm_docker(docker: Docker) -> Docker:
    proof = prove(docker, sample("hello"))
    if not proof.works:
        pytest.skip(f"this engine runs no Wasm: {proof.cause}")
    return docker


@pytest.mark.docker
def test_a_wasm_guest_gives_its_own_streams_and_code(wasm_docker: Docker) -> None:
    result = DockerRuntime(wasm_docker).run(sample("stdout_and_stderr"), RunRequest())
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 0) and result.stdout and result.stderr


@pytest.mark.docker
def test_a_trap_in_a_container_has_its_reason_in_the_message(wasm_docker: Docker) -> None:
    result = DockerRuntime(wasm_docker).run(sample("trap"), RunRequest())
    assert (result.outcome, result.exit_code, result.stderr) == (Outcome.TRAPPED, 134, b"")
    assert result.message.startswith("wasm trap: wasm `unreachable` instruction executed\n")


@pytest.mark.docker
def test_a_limit_reaches_the_wasm_runtime_in_the_container(wasm_docker: Docker) -> None:
    result = DockerRuntime(wasm_docker).run(sample("spin"), RunRequest(limits=Limits(timeout=0.2)))
    assert (result.outcome, result.exit_code) == (Outcome.TIMED_OUT, 124)


@pytest.mark.docker
def test_a_wasm_image_without_the_wasm_runtime_says_what_is_missing(wasm_docker: Docker) -> None:
    result = DockerRuntime(wasm_docker, runtime="runc").run(sample("hello"), RunRequest())
    assert result.exit_code != 0 and "not for this machine" in result.message
    assert "--runtime=io.containerd.wasmtime.v1" in result.message


@pytest.mark.docker
def test_an_engine_tells_what_a_guest_printed_from_what_docker_says(docker: Docker) -> None:
    said = "docker: Error response from daemon: no space left on device"
    image = docker.image(NATIVE)
    script = ("sh", "-c", f"echo '{said}' >&2; exit 125")
    result = DockerRuntime(docker, held={str(image.digest): NATIVE}).run(image, RunRequest(args=script))
    assert (result.exit_code, result.stderr.decode().strip()) == (125, said)
