"""wasmdock bench as users meet it: what is printed, exported, resumed, and when it fails."""

import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine, guest
from tests.requirements import require_docker
from wasmdock.bench import Case, Plan
from wasmdock.cli.bench import COLD_ROUNDS, rarely
from wasmdock.cli.bench_cases import HOT_RUNS
from wasmdock.cli.bench_output import cannot_write
from wasmdock.docker import Docker
from wasmdock.results import CaseResult
from wasmdock.runtime import Outcome, RunResult

QUICK = ("--case", "a=true", "--case", "b=true", "--warmup", "0")


def bench(wasmdock: CommandLine, path: Path, *args: str | Path, code: int = 0) -> Any:
    """Run a benchmark and give its JSON."""
    done = wasmdock("bench", *args, "--export", path)
    assert done.code == code, done.stderr
    return json.loads(path.read_text())


def test_commands_are_measured_side_by_side(wasmdock: CommandLine, tmp_path: Path) -> None:
    document = bench(wasmdock, tmp_path / "r.json", *QUICK, "--rounds", "4", "--seed", "5")
    assert [(case["name"], len(case["samples"])) for case in document["cases"]] == [("a", 4), ("b", 4)]
    assert document["seed"] == 5
    assert document["environment"]["cores"]


def test_guest_is_measured_cold_warm_and_hot_in_process(wasmdock: CommandLine, tmp_path: Path) -> None:
    document = bench(wasmdock, tmp_path / "r.json", guest("hello"), "--roads", "process", "--rounds", "2")
    found = {case["start"]: case for case in document["cases"]}
    assert set(found) == {"cold", "warm", "hot"}
    assert len(found["hot"]["samples"]) == 2 * HOT_RUNS
    assert not [sample["failure"] for case in found.values() for sample in case["samples"] if sample["failure"]]
    assert {"packed", "program", "compiled code"} <= set(found["hot"]["sizes"])
    phases = found["cold"]["samples"][0]["phases"]
    assert {"load", "compile", "instantiate", "run"} <= set(phases)


def test_whole_program_is_measured_too(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = (guest("hello"), "--roads", "cli", "--rounds", "1", "--no-cold")
    (case,) = bench(wasmdock, tmp_path / "r.json", *args)["cases"]
    assert (case["name"], case["start"], case["samples"][0]["failure"]) == ("wasm, wasmdock run", "warm", "")


def test_several_apps_are_measured_each_as_itself(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = (guest("hello"), guest("args"), "--roads", "process,cli", "--rounds", "1", "--no-cold")
    cases = bench(wasmdock, tmp_path / "r.json", *args)["cases"]
    assert {case["subject"] for case in cases} == {"hello", "args"}
    assert not [each["failure"] for case in cases for each in case["samples"] if each["failure"]]


def test_without_an_engine_containers_are_left_out_with_the_reason(wasmdock: CommandLine) -> None:
    done = wasmdock("bench", guest("hello"), "--roads", "process,docker", "--rounds", "1", "--no-cold")
    assert done.code == 0
    assert "left out: wasm, docker: asking the Docker engine at" in done.text


def test_guest_that_fails_is_given_up_with_its_own_words(wasmdock: CommandLine) -> None:
    done = wasmdock("bench", guest("trap"), "--roads", "process", "--rounds", "5", "--no-cold")
    assert "wasm, in-process (hot) was given up: wasm trap" in done.text


def test_exit_code_may_be_another_than_0(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = ("--case", "a=sh -c 'exit 3'", "--rounds", "1", "--exit-code", "3")
    (case,) = bench(wasmdock, tmp_path / "r.json", *args)["cases"]
    assert case["samples"][0]["failure"] == ""


def test_baseline_may_be_the_file_that_is_written(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    bench(wasmdock, path, "--case", "a=true", "--case", "gone=true", "--rounds", "8")
    done = wasmdock("bench", "--case", "a=true", "--rounds", "8", "--export", path, "--baseline", path, "--ci")
    assert done.code == 1
    assert "not as before: gone (warm) is no longer measured" in done.stderr


def test_gate_of_too_few_rounds_is_refused_before_measuring(wasmdock: CommandLine, tmp_path: Path) -> None:
    few, path = tmp_path / "few.json", tmp_path / "r.json"
    for each, rounds in ((few, "7"), (path, "8")):
        bench(wasmdock, each, "--case", "a=true", "--rounds", rounds)
    slow = ("bench", "--case", "a=sleep 60")
    for args, why in (
        (("--rounds", "5", "--baseline", path, "--ci"), "a gate of 5 rounds"),
        (("--rounds", "8", "--baseline", few, "--ci"), f'a gate against "{few}" of 7 rounds'),
    ):
        done = wasmdock(*slow, *args)
        assert done.code == 2
        assert f"wasmdock: {why}: a verdict needs 8 at least" in done.stderr


def test_every_form_is_written(wasmdock: CommandLine, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install '.[bench]'")
    files = [tmp_path / f"r.{ending}" for ending in ("json", "csv", "md", "html", "png")]
    done = wasmdock("bench", *QUICK, "--rounds", "1", "--export", ",".join(map(str, files)))
    assert done.code == 0, done.stderr
    assert all(file.stat().st_size > 100 for file in files)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ((), "benchmarking nothing"),
        (("--case", "nameless"), "not NAME=WHAT"),
        (("--case", "a=true", "--case", "a=false"), 'adding case "a (warm)": there is one of that name'),
        (("--case", "a=true", "--export", "r.pdf"), "no such form"),
        (("--case", "a=true", "--export", "nowhere/r.json"), 'there is no folder "nowhere"'),
        (("--case", "a=true", "--fail-above", "10%"), "nothing to compare with"),
        (("--case", "a=true", "--export", "folder.json"), 'exporting "folder.json": that is a folder'),
        (("--case", "a=true", "--ci", "--format", "json"), "printing json with --ci"),
        (("--case", "a=true", "--case", "b=true", "--base", "c"), "--base one of: a; b"),
        (("--case", "a=true", "--call", "add"), 'calling "add" of nothing'),
        (("--case", "a=true", "--warmup", "-1"), 'reading number "-1": not a count from 0 to 1000000'),
        (("--case", "a=true", "--http", "0"), 'reading number "0": not a count from 1 to 65535'),
        (("--case", "a=true", "--http-path", "slow"), 'reading path "slow": it does not begin with a slash'),
        ((str(guest("hello")), "--call", "add"), "it is a WASI preview 1 command, and only a library"),
        (("--case", "a=true", "--rounds", "0"), "not a count"),
        (("--case", "a=true", "--roads", "moon"), 'there is no "moon"'),
        ((str(guest("hello")), "--against", "slim,bogus"), 'there is no "bogus"'),
        ((str(guest("hello")), "--against", "bogus"), "use slim, debian, distroless, scratch, alpine"),
        (("--case", "a=true", "--plot", "--format", "json"), "printing json with --plot"),
        (("--case", "a=true", "--plot", "--ci"), "printing md with --plot"),
        (("--case", "a=true", "--full", "--format", "csv"), "printing csv with --full"),
        (("--case", "a=true", "--budget", "a is fast"), "reading budget"),
        (("--resume", "nowhere.json"), "no such file"),
    ],
)
def test_senseless_wish_is_refused_before_anything_is_measured(
    wasmdock: CommandLine, tmp_path: Path, args: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "folder.json").mkdir()
    done = wasmdock("bench", *args, cwd=tmp_path)
    assert (done.code, done.text) == (2, "")
    assert complaint in done.stderr


@pytest.mark.parametrize("rounds", [3, 8, 11, 12, 14, 19, 20, 21, 99])
def test_ten_rounds_or_more_are_cold_where_there_are_as_many(rounds: int) -> None:
    cold = Case(CaseResult("a", "wasm", "process", "cold"), lambda: RunResult(Outcome.EXITED, 0))
    taken = [number for number in range(rounds) if Plan().takes(rarely(cold, rounds), number)]
    assert min(rounds, COLD_ROUNDS) <= len(taken) < 2 * COLD_ROUNDS


def test_ctrl_c_keeps_what_was_measured_and_resume_goes_on(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    args = ("bench", "--case", "a=sleep 0.05", "--rounds", "1000", "--export", path)
    process = wasmdock.start(*args)
    while not path.exists() and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    stdout, _ = process.communicate(timeout=30)
    before = json.loads(path.read_text())
    assert (process.returncode, before["interrupted"]) == (130, True)
    assert b"these are the results so far" in stdout
    done = len(before["cases"][0]["samples"])
    after = bench(wasmdock, path, "--resume", path, "--rounds", str(done + 2))
    assert [each["round"] for each in after["cases"][0]["samples"]] == list(range(done + 2))
    assert after["cases"][0]["samples"][:done] == before["cases"][0]["samples"]


def test_benchmark_resumed_from_a_file_is_finished_in_it(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**bench(wasmdock, path, *QUICK, "--rounds", "2"), "interrupted": True}))
    done = wasmdock("bench", "--resume", path, "--rounds", "4")
    after = json.loads(path.read_text())
    assert (done.code, after["interrupted"], len(after["cases"][0]["samples"])) == (0, False, 4)
    assert done.stderr.count(f"wasmdock: wrote the results back to {path}\n") == 1


def test_benchmark_exported_elsewhere_leaves_the_file_it_was_resumed_from(
    wasmdock: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    before = bench(wasmdock, path, *QUICK, "--rounds", "2")
    bench(wasmdock, tmp_path / "other.json", "--resume", path, "--rounds", "3")
    assert json.loads(path.read_text()) == before


def test_ctrl_c_in_the_warm_up_makes_no_case_a_failure(wasmdock: CommandLine, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install '.[bench]'")
    files = [tmp_path / "r.png", tmp_path / "r.html"]
    process = wasmdock.start("bench", "--case", "a=sleep 30", "--export", ",".join(map(str, files)))
    assert process.stderr
    process.stderr.readline()  # it begins
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    page = files[1].read_bytes()
    assert (process.returncode, b"failed" in stdout + page) == (130, False)
    assert b"not measured" in stdout
    assert b"not measured" in page
    assert b"drawing the start-up plot: nothing was measured" in stderr


def test_full_disk_costs_the_file_and_not_the_table(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    case = "a=sh -c 'exit 0'"
    done = wasmdock.shell(f'ulimit -f 1; wasmdock bench --case "{case}" --rounds 9 --export {path}')
    assert (done.code, done.text.startswith("commands: medians")) == (1, True)
    assert f'wasmdock: writing "{path}": File too large' in done.stderr
    assert list(tmp_path.glob("*r.json*")) == []


def test_results_that_cannot_be_kept_are_said_with_a_cure(tmp_path: Path) -> None:
    error = cannot_write(tmp_path / "r.json", OSError(errno.ENOSPC, "No space left on device"))
    assert (error.exit_code, error.hint) == (1, "make room there, or choose another folder")


def test_bases_of_what_has_no_source_are_left_out_with_the_reason(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = (guest("hello"), "--roads", "process", "--rounds", "1", "--no-cold")
    assert bench(wasmdock, tmp_path / "r.json", *args)["left_out"] == []
    (found,) = bench(wasmdock, tmp_path / "r.json", *args, "--against", "slim,process")["left_out"]
    assert found["what"] == "native"
    assert "has no source to build natively (try: name the guest's folder, or --case mine=image:" in found["why"]


def test_interrupted_benchmark_is_resumed_without_naming_it(wasmdock: CommandLine) -> None:
    assert wasmdock("bench", *QUICK, "--rounds", "2").code == 0
    assert "3 rounds" in wasmdock("bench", "--resume", "--rounds", "3").text


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (("--case", "a=echo"), 'detail of "a" was "true", and now is "echo"'),
        (("--case", "a=true", "--stdin", "/dev/null"), 'what a run is given was "", and now is "--stdin=/dev/null"'),
    ],
)
def test_resuming_with_something_else_is_refused(
    wasmdock: CommandLine, tmp_path: Path, changed: tuple[str, ...], complaint: str
) -> None:
    path = tmp_path / "r.json"
    before = bench(wasmdock, path, "--case", "a=true", "--rounds", "2")
    done = wasmdock("bench", *changed, "--rounds", "3", "--resume", path, "--export", path)
    assert (done.code, json.loads(path.read_text())) == (2, before)
    assert complaint in done.stderr


def test_resuming_on_another_machine_is_refused(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    before = bench(wasmdock, path, "--case", "a=true", "--rounds", "1")
    path.write_text(json.dumps({**before, "environment": {**before["environment"], "cpu": "Abacus", "load": "9"}}))
    done = wasmdock("bench", "--resume", path)
    assert (done.code, done.text) == (2, "")
    assert 'cpu was "Abacus", and now is "' in done.stderr


def test_resuming_with_a_rebuilt_guest_is_refused(wasmdock: CommandLine, tmp_path: Path) -> None:
    path, copied = tmp_path / "r.json", tmp_path / "copied.wat"
    copied.write_bytes(guest("hello").read_bytes())
    args = (copied, "--roads", "process", "--no-cold")
    assert bench(wasmdock, path, *args, "--rounds", "1")["cases"][0]["digest"]
    copied.write_bytes(guest("hello").read_bytes().replace(b"ello", b"ullo"))
    done = wasmdock("bench", *args, "--rounds", "2", "--resume", path)
    assert done.code == 2
    assert 'program of "wasm, in-process" was "' in done.stderr


def test_case_that_is_not_found_again_is_kept_when_resuming(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    bench(wasmdock, path, *QUICK, "--rounds", "2")
    after = bench(wasmdock, path, "--case", "c=true", "--rounds", "2", "--resume", path)["cases"]
    assert {case["name"]: len(case["samples"]) for case in after} == {"c": 2, "a": 2, "b": 2}


def test_command_that_is_kept_can_be_given_again(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    args = (guest("hello"), "--arg=--env", "--http-path", "/slow", "--roads", "process", "--no-cold", "--rounds", "1")
    before = bench(wasmdock, path, *args)["command"]
    assert {"--arg=--env", "--http-path=/slow"} <= set(before)
    assert bench(wasmdock, path, "--resume", path, "--rounds", "1")["command"] == before


def test_length_given_when_resuming_takes_the_place_of_the_earlier_one(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    bench(wasmdock, path, "--case", "a=true", "--time", "50ms")
    before = bench(wasmdock, path, "--resume", path, "--rounds", "200")
    assert (len(before["cases"][0]["samples"]), "--time" in before["command"]) == (200, False)


def test_benchmark_in_which_nothing_succeeds_is_a_failure(wasmdock: CommandLine) -> None:
    done = wasmdock("bench", "--case", "a=false", "--case", "n=nosuchprogram", "--rounds", "4")
    assert (done.code, "a (warm) was given up: exit code 1" in done.text) == (1, True)
    assert "benchmarking: no case succeeded" in done.stderr


def test_budget_that_is_not_met_is_a_failure(wasmdock: CommandLine) -> None:
    done = wasmdock("bench", *QUICK, "--rounds", "1", "--budget", "a <= 1us", "--budget", "a <= 60s")
    assert done.code == 1
    assert done.text.count("NOT MET") == 1
    assert "budget not met: a <= 1us" in done.stderr


def test_command_is_run_as_often_as_possible_and_never_counted(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = ("--case", "a=true", "--rounds", "1", "--throughput", "--load-time", "50ms", "--density", "10m")
    found = bench(wasmdock, tmp_path / "r.json", *args)
    assert {(each["name"], each["failures"]) for each in found["throughput"]} == {("a (warm)", 0)}
    assert found["left_out"] == [{"what": "a: density", "why": "it ends by itself, and what has ended uses no memory"}]


def test_base_that_is_left_out_here_is_no_mistake(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = ("--case", "a=true", "--case", "mine=image:debian", "--base", "mine", "--rounds", "1")
    assert [each["what"] for each in bench(wasmdock, tmp_path / "r.json", *args)["left_out"]] == ["mine"]


def test_instances_are_counted_until_memory_is_used(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = (guest("hello"), "--roads", "process", "--rounds", "1", "--no-cold", "--density", "20m")
    (found,) = bench(wasmdock, tmp_path / "r.json", *args)["density"]
    assert found["ended"] == "the memory limit"
    assert found["curve"][-1][0] > 10
    assert 19 << 20 < found["curve"][-1][1] <= 20 << 20


@pytest.mark.docker
def test_image_of_the_users_own_is_a_case_with_its_phases(wasmdock: CommandLine, tmp_path: Path) -> None:
    engine = require_docker()
    docker = Docker.connect({**os.environ, "DOCKER_HOST": engine})
    native = "debian:trixie-slim"
    if docker.find_image(native) is None:
        pytest.skip(f"the engine has no {native}")
    path, case = tmp_path / "r.json", f"mine=image:{native}"
    done = wasmdock("bench", "--case", case, "--rounds", "2", "--arg", "true", "--export", path, DOCKER_HOST=engine)
    assert done.code == 0, done.stderr
    warm, cold = json.loads(path.read_text())["cases"]
    assert (warm["program"], warm["road"], cold["start"]) == ("native", "docker", "cold")
    assert {"create", "start", "run", "teardown"} <= set(warm["samples"][0]["phases"])
    assert "load" in cold["samples"][0]["phases"]
    assert docker.find_image(native) is not None


@pytest.mark.docker
def test_wasm_container_tells_its_own_steps_and_its_memory(wasmdock: CommandLine, tmp_path: Path) -> None:
    engine, path = require_docker(), tmp_path / "r.json"
    done = wasmdock("bench", guest("hello"), "--roads", "docker", "--rounds", "2", "--export", path, DOCKER_HOST=engine)
    document = json.loads(path.read_text())
    if not document["cases"]:
        pytest.skip(f"the engine runs no Wasm: {document['left_out']}")
    assert done.code == 0, done.stderr
    warm, cold = document["cases"]
    assert [each["failure"] for case in (warm, cold) for each in case["samples"]] == [""] * 4
    phases = warm["samples"][0]["phases"]
    assert {"compile", "map", "instantiate", "run"} <= {name for name, value in phases.items() if value is not None}
    assert cold["samples"][0]["phases"]["compile"] > 3 * phases["compile"]  # made, not kept


def test_library_without_an_export_to_call_is_left_out(wasmdock: CommandLine) -> None:
    done = wasmdock("bench", guest("add"), "--case", "a=true", "--rounds", "1")
    assert "left out: wasm, in-process: add is a library: give --call EXPORT" in done.text


def test_calls_of_a_library_are_measured_cold_warm_and_hot(wasmdock: CommandLine, tmp_path: Path) -> None:
    args = (guest("add"), "--call", "add", "--arg", "2", "--arg", "3", "--roads", "process", "--rounds", "2")
    found = {case["start"]: case for case in bench(wasmdock, tmp_path / "r.json", *args)["cases"]}
    assert {start: len(case["samples"]) for start, case in found.items()} == {"hot": 2 * HOT_RUNS, "warm": 2, "cold": 2}
    assert "load" in found["cold"]["samples"][0]["phases"]
    assert not [each["failure"] for case in found.values() for each in case["samples"] if each["failure"]]


def test_call_of_an_export_that_is_not_there_names_those_that_are(wasmdock: CommandLine) -> None:
    done = wasmdock("bench", guest("add"), "--call", "ad", "--roads", "process", "--rounds", "1")
    assert done.code == 1
    assert "did you mean add?" in done.stderr
