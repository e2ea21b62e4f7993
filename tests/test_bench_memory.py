"""Memory is that of the program or container alone, read while it runs; what cannot be seen is not guessed."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from wasmdock.bench import Case
from wasmdock.bench_memory import cgroup_of, group_weight, resident, weigh, weigh_container, weigh_program
from wasmdock.errors import UnavailableError
from wasmdock.results import CaseResult, Weight
from wasmdock.runtime import Outcome, RunResult

MIB = 1 << 20
ID = "4d1c" * 16


def group(folder: Path, **files: int) -> Path:
    """A cgroup's folder with these files; `__` stands for a dot."""
    folder.mkdir(parents=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")
    return folder


def weighed(how: Callable[[], Weight] | None) -> Case:
    return Case(CaseResult("a", "wasm", "docker", "warm"), lambda: RunResult(Outcome.EXITED, 0), weigh=how)


def test_peak_of_a_program_is_its_own_and_not_ours() -> None:
    words = (sys.executable, "-S", "-c", "import time; held = bytearray(32 << 20); time.sleep(0.1)")
    small, large = weigh_program([sys.executable, "-S", "-c", "import time; time.sleep(0.1)"]), weigh_program(words)
    assert small.peak and large.peak
    assert 30 * MIB < large.peak - small.peak < 36 * MIB


def test_program_that_reads_its_input_is_given_it() -> None:
    words = (sys.executable, "-S", "-c", "import sys, time; sys.stdin.read(); time.sleep(0.05)")
    assert weigh_program(words, stdin=b"x" * MIB).peak


def test_cgroup_is_found_by_the_containers_id_wherever_the_engine_keeps_it(tmp_path: Path) -> None:
    v1 = group(tmp_path / "v1/memory/engine" / ID, memory__usage_in_bytes=5, memory__max_usage_in_bytes=9)
    v2 = group(tmp_path / f"v2/system.slice/docker-{ID}.scope", memory__current=6, memory__peak=8)
    assert cgroup_of(ID, tmp_path / "v1") == v1
    assert cgroup_of(ID, tmp_path / "v2") == v2
    assert (group_weight(v1), group_weight(v2)) == (Weight(9, 5), Weight(8, 6))


def test_container_whose_cgroup_cannot_be_seen_has_no_weight(tmp_path: Path) -> None:
    assert weigh_container(lambda file: file.write_text(ID), tmp_path, tmp_path / "nothing") == Weight()
    assert cgroup_of("", tmp_path) is None


def test_last_peak_before_a_container_goes_is_taken(tmp_path: Path) -> None:
    pause = threading.Event()

    def run(file: Path) -> None:
        there = group(tmp_path / "groups" / ID, memory__current=1, memory__peak=100)
        file.write_text(ID)
        pause.wait(0.05)
        (there / "memory.peak").write_text("200")
        pause.wait(0.05)
        for each in there.iterdir():
            each.unlink()

    assert weigh_container(run, tmp_path, tmp_path / "groups") == Weight(200)


def test_ended_process_has_no_weight() -> None:
    assert resident(1 << 30) == Weight()


def test_case_is_weighed_a_few_times_and_one_that_cannot_be_not_at_all() -> None:
    def fail() -> Weight:
        raise UnavailableError("no")

    weights = [Weight(3), Weight(), Weight(2, 1)]
    assert weigh(weighed(weights.pop)) == (Weight(2, 1), Weight(3))
    assert weigh(weighed(fail)) == ()
    assert weigh(weighed(None)) == ()
