"""The phases of a container add up to its whole, and what nobody told is None."""

from pathlib import Path

import pytest

from wasmdock.cli.bench_phases import Listener, phases_of, split_marks

MARKED = b'wasmdock-marks: {"compile":0.5,"map":0.25,"instantiate":0.125,"run":1.0}\n'
SEEN = {"run": 10.0, "container start": 4.0, "guest": 3.0, "container end": 1.0}


def test_marks_are_taken_out_of_stderr() -> None:
    rest, marks = split_marks(b"said\n" + MARKED + b"wasmdock: a trap\n")
    assert rest == b"said\nwasmdock: a trap\n"
    assert marks == {"compile": 0.5, "map": 0.25, "instantiate": 0.125, "run": 1.0}


@pytest.mark.parametrize("stderr", [b"", b"said", b"it says wasmdock-marks: {}", b"wasmdock-marks: no JSON", b"\n[1]"])
def test_stderr_without_marks_stays_as_it_is(stderr: bytes) -> None:
    assert split_marks(stderr) == (stderr, {})


def test_phases_of_a_wasm_container_are_split_by_its_marks_and_add_up() -> None:
    phases = phases_of(SEEN, 2.0, split_marks(MARKED)[1], is_wasm=True)
    assert (phases["create"], phases["start"], phases["run"], phases["teardown"]) == (2.0, 3.5, 1.0, 1.0 + 1.625)
    assert sum(phases.values()) - phases["total"] - phases["first byte"] == 10.0


def test_wasm_runtime_that_says_nothing_leaves_its_steps_unknown() -> None:
    phases = phases_of(SEEN, None, {}, is_wasm=True)
    assert {name for name, value in phases.items() if value is None} == {
        *("compile", "map", "instantiate", "run", "first byte")
    }


def test_run_of_a_native_program_is_unknown_and_part_of_the_teardown() -> None:
    phases = phases_of(SEEN, 2.0, {}, is_wasm=False)
    assert (phases["run"], phases["teardown"]) == (None, 4.0)
    assert not {"compile", "map", "instantiate"} & set(phases)


def test_engine_that_told_no_events_leaves_all_but_the_whole_unknown() -> None:
    phases = phases_of({"run": 10.0}, None, {}, is_wasm=False)
    assert [name for name, value in phases.items() if value is not None] == ["total"]


def test_listener_takes_the_marks_of_docker_run_alone(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\nsleep 0.1; echo said; sleep 0.1; printf '%s' '{MARKED.decode()}' >&2\n")
    docker.chmod(0o755)
    listener = Listener()
    assert listener([str(docker), "logs"], timeout=20.0).stderr == MARKED
    assert (listener.marks, listener.seconds) == ({}, None)
    assert listener([str(docker), "run"], timeout=20.0).stderr == b""
    assert listener.marks["map"] == 0.25
    assert listener.seconds == pytest.approx(0.1, abs=0.09)
