"""Looking at a machine: what each look makes of what it finds, and that none of them does harm."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.fakes import FakeEngine, FakeRunner
from tests.machines import engine, machine
from tests.requirements import require_docker
from wasmdock.cli import run_cli
from wasmdock.cure import Cure
from wasmdock.docker import Docker
from wasmdock.docker_host import Host
from wasmdock.docker_run import own_name
from wasmdock.doctor import fix, fixes, judge, to_json
from wasmdock.doctor_facts import Cargo, Facts, Shim, ShimKind, Tool
from wasmdock.doctor_findings import findings
from wasmdock.doctor_probes import TINY, disk, gather, hidden_images, in_time, proxies, tiny_image, tool
from wasmdock.engine_files import find_program, find_root, find_shim
from wasmdock.errors import UnavailableError
from wasmdock.inprocess import InProcessRuntime
from wasmdock.process import Completed
from wasmdock.runtime import RunRequest
from wasmdock.wasm_sniff import Form, World, sniff

INFO = {
    "ServerVersion": "26.1.5",
    "OSType": "linux",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
}
ADD = "rustup target add wasm32-wasip1"
NOTHING = FakeRunner({(program,): UnavailableError(f"no {program}") for program in ("docker", "crun", "rustc")})


def look(tmp_path: Path, host: Host | None = None) -> Facts:
    """The facts of a machine with nothing but this engine, whatever the one we run on has."""

    def connect(environment: Mapping[str, str], timeout: float) -> Docker:
        if host is None:
            raise UnavailableError("nothing listens there", "start Docker")
        return Docker(host, environment, timeout=timeout)

    return gather({"PATH": ""}, tmp_path / "cache", tmp_path / "home", runner=NOTHING, connect=connect)


def test_tiny_module_is_a_command_that_ends_with_0() -> None:
    assert sniff(TINY) == (Form.MODULE, World.COMMAND)
    assert InProcessRuntime().run(tiny_image(), RunRequest()).exit_code == 0


def test_bare_machine_still_runs_wasm_in_this_process(tmp_path: Path) -> None:
    facts = look(tmp_path)
    assert facts.process.works
    assert judge(facts).works
    assert facts.engine_trouble == Tool(trouble="nothing listens there", hint="start Docker")
    assert facts.cargo.trouble == "there is no cargo on PATH"


def test_engine_is_asked_what_it_is_and_not_tried_without_a_client(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path, {"/info": INFO, "/version": {"ApiVersion": "1.45"}})
    facts = look(tmp_path, engine.host)
    engine.close()
    assert facts.engine is not None and facts.engine.version == "26.1.5"
    assert (facts.docker.works, facts.docker.cause) == (None, "there is no docker client")


@pytest.mark.parametrize("info", [{"DriverStatus": [None]}, {"Images": "many"}, [], "<html>", {"Runtimes": 5}])
def test_engine_whose_answers_make_no_sense_is_a_fact_with_a_cure(tmp_path: Path, info: object) -> None:
    engine = FakeEngine(tmp_path, {"/info": info, "/version": {"ApiVersion": "1.45"}})
    examination = judge(look(tmp_path, engine.host))
    engine.close()
    assert examination.works
    found = next(each for each in examination.findings if each.subject == "engine")
    assert found.text.startswith("asking") and "docker context ls" in found.cure


def test_engine_whose_answers_are_null_is_looked_at_all_the_same(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path, {"/info": dict.fromkeys(INFO), "/version": {"ApiVersion": None}})
    examination = judge(look(tmp_path, engine.host))
    engine.close()
    assert examination.works and examination.facts.engine is not None


def test_look_that_hangs_is_left_behind() -> None:
    never = threading.Event()
    assert in_time(never.wait, 0.1, False) is False
    never.set()
    assert in_time(lambda: 5, 30, 0) == 5


def test_engine_that_goes_away_is_a_fact(tmp_path: Path) -> None:
    facts = look(tmp_path, Host(f"unix://{tmp_path}/gone.sock", "DOCKER_HOST"))
    assert facts.engine is None
    assert "there is no such socket" in facts.engine_trouble.trouble


def test_facts_are_json(tmp_path: Path) -> None:
    form = json.loads(json.dumps(to_json(judge(look(tmp_path)))))
    assert form["works"] is True
    assert {"subject", "severity", "text", "cure", "fix"} == set(form["findings"][0])


# The shim on the engine's PATH


def shim_in(root: Path, content: bytes, *, ours: bool = False) -> Shim:
    (root / "usr/local/bin").mkdir(parents=True)
    name = root / "usr/local/bin/containerd-shim-wasmtime-v1"
    if ours:
        home = root / "usr/local/libexec/wasmdock"
        home.mkdir(parents=True)
        (home / "wasmdock-shim").write_bytes(b"")
        (home / "wasmdock-host").write_bytes(content)
        name.symlink_to("../libexec/wasmdock/wasmdock-shim")
    else:
        name.write_bytes(content)
    return find_shim(root)


def test_our_shim_is_known_by_where_its_name_leads(tmp_path: Path) -> None:
    shim = shim_in(tmp_path, b"\x7fELF ... /index/wasmtime-48.0.8/src/lib.rs ...", ours=True)
    assert shim == Shim(ShimKind.OURS, "/usr/local/bin/containerd-shim-wasmtime-v1", "48.0.8")


def test_foreign_shim_tells_its_wasmtime_without_being_run(tmp_path: Path) -> None:
    shim = shim_in(tmp_path, b"/registry/src/wasmtime-36.0.6/src/runtime.rs")
    assert (shim.kind, shim.wasmtime) == (ShimKind.FOREIGN, "36.0.6")


def test_shim_without_a_version_is_still_foreign(tmp_path: Path) -> None:
    assert shim_in(tmp_path, b"#!/bin/sh\n").wasmtime == ""


def test_links_are_followed_inside_the_engines_root(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/shim").write_bytes(b"wasmtime-40.0.0")
    (tmp_path / "usr/bin/containerd-shim-wasmtime-v1").symlink_to("/opt/shim")
    assert find_shim(tmp_path).wasmtime == "40.0.0"


def test_circle_of_links_is_no_shim(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/containerd-shim-wasmtime-v1").symlink_to("containerd-shim-wasmtime-v1")
    assert find_shim(tmp_path) == Shim(ShimKind.ABSENT)


def test_shim_is_first_looked_for_on_the_engines_own_path(tmp_path: Path) -> None:
    shim_in(tmp_path, b"wasmtime-36.0.6")
    (tmp_path / "snap/bin").mkdir(parents=True)
    (tmp_path / "snap/bin/containerd-shim-wasmtime-v1").write_bytes(b"wasmtime-40.0.0")
    assert find_shim(tmp_path, ("/nothing", "/snap/bin")).path == "/snap/bin/containerd-shim-wasmtime-v1"
    assert find_shim(tmp_path, ("/nothing",)).path == "/usr/local/bin/containerd-shim-wasmtime-v1"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_engines_own_path_is_that_of_the_process_that_listens(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tests.fakes import FakeEngine
from wasmdock.engine_files import find_root
print(find_root(FakeEngine(Path({str(tmp_path)!r})).host).folders)"""
    root = Path(__file__).parent.parent
    env = {"PATH": "/snap/bin:relative::/usr/bin", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "('/snap/bin', '/usr/bin')\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_engine_of_this_machine_has_this_machines_root(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    root = find_root(engine.host)
    engine.close()
    assert root is not None and (str(root.path), root.prefix) == ("/", "/usr/local")


def test_engine_behind_tcp_shows_no_files() -> None:
    assert find_root(Host("tcp://far:2376", "DOCKER_HOST")) is None


# Programs, disks, proxies


def test_tool_tells_the_first_line_of_its_version() -> None:
    runner = FakeRunner({("crun",): Completed(("crun",), 0, b"crun version 1.21\ncommit: x\n")})
    assert tool(["crun", "--version"], {}, runner) == Tool("1.21")


def test_tool_that_fails_has_no_version() -> None:
    runner = FakeRunner({("docker",): Completed(("docker",), 1, b"", b"not a docker command")})
    found = Tool(trouble="docker buildx version: not a docker command", fails=True)
    assert tool(["docker", "buildx", "version"], {}, runner) == found


def test_client_that_hangs_is_told_so(tmp_path: Path) -> None:
    runner = FakeRunner({("docker",): Completed(("docker",), -15, timed_out=True)})
    found = tool(["docker", "--version"], {}, runner)
    assert (found.trouble, found.fails) == ("docker --version: no answer within 10 s", True)
    told = {each.subject: each for each in findings(machine(buildx=found, compose=found))}
    assert "no answer within 10 s" in told["buildx"].text and "no answer within 10 s" in told["compose"].text
    assert "hangs" in told["buildx"].cure and "hangs" in told["compose"].cure


# Rust


def rust(folder: Path, rustc: str) -> Mapping[str, str]:
    """An environment with only this rustc and a cargo."""
    for name in ("cargo", "rustc"):
        (folder / name).write_text(f"#!/bin/sh\n{rustc}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def no_engine(_environment: Mapping[str, str], _timeout: float) -> Docker:
    raise UnavailableError("nothing listens there", "start Docker")


def test_rustc_that_gives_no_answer_is_a_finding_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasmdock.doctor_probes._ASK", 1.0)
    began = time.monotonic()
    facts = gather(rust(tmp_path, "exec sleep 100"), tmp_path / "cache", tmp_path, connect=no_engine)
    assert time.monotonic() - began < 20
    found = next(each for each in findings(facts) if each.subject == "cargo")
    assert found.text.startswith("building on this machine: rustc gives no answer within 1 s")
    assert found.cure == "rustup may be fetching a toolchain: run `rustc -vV` and see" and found.fix == ()


def test_rustc_outside_rustup_is_cured_by_a_choice_that_is_only_shown(tmp_path: Path) -> None:
    environment = rust(tmp_path, 'test "$1" = -vV && echo "rustc 1.85.0" || echo /usr')
    facts = gather(environment, tmp_path / "cache", tmp_path, connect=no_engine)
    assert facts.cargo.cure == Cure(("apt install libstd-rust-dev-wasm32",), "rustup target add wasm32-wasip1")
    found = next(each for each in findings(facts) if each.subject == "cargo")
    assert found.cure == "`apt install libstd-rust-dev-wasm32` or `rustup target add wasm32-wasip1`"
    assert found.fix == () and not list(fixes([found]))


def test_cure_that_is_one_command_can_be_run_and_no_other() -> None:
    cures = (Cure((ADD,)), Cure(("rustup default stable", ADD)), Cure((ADD,), "apt install x"), Cure((ADD,), words="y"))
    tried = [findings(machine(cargo=Cargo("rustc 1.85", "no target", (), cure))) for cure in cures]
    assert [argv for found in tried for _, argv in fixes(found)] == [("rustup", "target", "add", "wasm32-wasip1")]
    assert all(each.cure.count("`") % 2 == 0 for found in tried for each in found)


def test_folder_that_others_may_write_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code").chmod(0o777)
    assert "others may write" in disk(tmp_path).trouble


def test_folder_that_cannot_be_written_to_names_the_variable_that_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert disk(tmp_path, "WASMDOCK_HOME").hint == "set WASMDOCK_HOME to a folder of yours"


def test_folder_that_may_not_be_looked_into_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, **_: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert disk(Path("/closed/x/y")).trouble == '"/" cannot be written to'


def test_folder_of_a_name_that_no_disk_takes_is_a_fact() -> None:
    assert disk(Path("/tmp") / ("x" * 300)).trouble == "cannot be used: File name too long"


def test_folder_yet_to_be_made_has_the_room_of_its_disk(tmp_path: Path) -> None:
    assert (disk(tmp_path / "a" / "b").free or 0) > 0


def test_proxies_are_shown_without_passwords() -> None:
    given = {"https_proxy": "http://me:secret@proxy:3128", "NO_PROXY": "localhost", "HTTP_PROXY": ""}
    assert proxies(given) == (("HTTPS_PROXY", "http://***@proxy:3128"), ("NO_PROXY", "localhost"))


@pytest.mark.parametrize("url", ["http://[bad", "http://me:secret@[bad", "me:secret@proxy:3128", "http://me:se/cret@x"])
def test_proxy_that_is_no_url_is_shown_and_its_password_is_not(url: str) -> None:
    ((_, shown),) = proxies({"HTTP_PROXY": url})
    assert "cret" not in shown and shown.endswith(url.rpartition("@")[2])


# Cures


def test_only_safe_cures_are_run_and_each_once() -> None:
    facts = machine(shim=Shim(ShimKind.FOREIGN, "/x", "36.0.6"), buildx=Tool())
    cures = [argv for _, argv in fixes(findings(facts))]
    assert cures == [(sys.executable, "-m", "wasmdock", "engine", "install", "--prefix", "/usr/local")]


def test_cure_that_needs_a_clone_is_only_shown() -> None:
    assert list(fixes(findings(machine(shim=Shim(ShimKind.ABSENT), has_runtime=False)))) == []


def test_user_without_root_is_only_shown_the_cure() -> None:
    assert list(fixes(findings(machine(shim=Shim(ShimKind.ABSENT), is_root=False)))) == []


def test_cure_that_fails_says_its_last_line() -> None:
    runner = FakeRunner({("rustup",): Completed(("rustup",), 1, b"", b"info: x\nerror: no network\n")})
    assert fix(("rustup", "target", "add", "x"), {}, runner) == "error: no network"
    assert fix(("true",), {}, FakeRunner()) == ""


def test_cure_of_ours_that_fails_says_why_and_not_what_to_try() -> None:
    said = b"wasmdock: finding it: there is none\n    try: one\n         two\n"
    runner = FakeRunner({("wasmdock",): Completed(("wasmdock",), 1, b"", said)})
    assert fix(("wasmdock", "engine", "install"), {}, runner) == "finding it: there is none"


# The verb


def test_doctor_ends_with_0_where_only_this_process_runs_wasm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("WASMDOCK_CACHE", str(tmp_path / "cache"))
    assert run_cli(["doctor"]) == 0
    page = capsys.readouterr().out
    assert "PROBLEM: asking the Docker engine" in page
    assert page.endswith("Wasm guests run in this process.\n")


def test_doctor_without_a_home_says_what_to_set(wasmdock: CommandLine) -> None:
    nowhere = dict.fromkeys(("HOME", "WASMDOCK_HOME", "WASMDOCK_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME"), "")
    done = CommandLine({**wasmdock.environment, **nowhere})("doctor")
    assert (done.code, done.stderr) == (1, "")
    assert "PROBLEM: neither WASMDOCK_CACHE nor HOME is set" in done.text
    assert "try: set WASMDOCK_HOME to a folder of yours" in done.text
    assert done.text.splitlines()[-1].startswith("Wasm guests run nowhere here yet")


def test_images_in_dockers_own_store_are_counted_by_their_digests(tmp_path: Path) -> None:
    assert hidden_images(tmp_path, machine()) == 0
    store = tmp_path / "var/lib/docker/image/overlay2/repositories.json"
    store.parent.mkdir(parents=True)
    tags = {"a": {"a:1": "sha256:1", "a:latest": "sha256:1"}, "b": {"b:1": "sha256:2"}}
    store.write_text(json.dumps({"Repositories": tags}))
    assert hidden_images(tmp_path, machine()) == 2
    store.write_text("{")
    assert hidden_images(tmp_path, machine()) is None


def test_images_in_containerds_store_are_counted_by_their_manifests(tmp_path: Path) -> None:
    classic = machine(engine=engine(containerd_store=False, storage_driver="overlay2"))
    assert hidden_images(tmp_path, classic) is None
    blobs = tmp_path / "var/lib/docker/containerd/daemon/io.containerd.content.v1.content/blobs/sha256"
    blobs.mkdir(parents=True)
    manifest = {"config": {}, "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar"}]}
    attestation = {"config": {}, "layers": [{"mediaType": "application/vnd.in-toto+json"}]}
    for number, content in enumerate((manifest, attestation, {"manifests": []}, {"rootfs": {}})):
        (blobs / str(number)).write_text(json.dumps(content))
    (blobs / "layer").write_bytes(b"\x1f\x8b")
    assert hidden_images(tmp_path, classic) == 1


def test_crun_is_looked_for_on_the_engines_path(tmp_path: Path) -> None:
    assert find_program(tmp_path, "crun") == ""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/crun").touch()
    assert find_program(tmp_path, "crun") == "/usr/bin/crun"


@pytest.mark.docker
def test_doctor_proves_the_docker_road_and_remembers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_docker()
    monkeypatch.setenv("WASMDOCK_CACHE", str(tmp_path / "cache"))
    assert run_cli(["doctor", "--format", "json"]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["facts"]["docker"]["works"] is (form["facts"]["shim"]["kind"] == "ours")
    assert any((tmp_path / "cache" / "proven-engines").iterdir()) is form["facts"]["docker"]["works"]
    assert Docker.connect(os.environ).find_image(own_name(tiny_image())) is None
    assert os.environ.get("DOCKER_HOST", form["facts"]["address"]) == form["facts"]["address"]
