"""Throughput counts what ended well in the time it took; density starts until memory is used, and ends them all."""

import os
import threading
from pathlib import Path

import pytest

from wasmdock.bench import Case
from wasmdock.bench_load import Stop, density, per_instance, throughput
from wasmdock.cli.bench import bench
from wasmdock.cli.bench_list import Cases
from wasmdock.cli.context import Context
from wasmdock.cli.parser import build_parser
from wasmdock.errors import UnavailableError
from wasmdock.results import CaseResult, read_results
from wasmdock.runtime import Outcome, RunResult

DESCRIBE = CaseResult("case", "wasm", "process", "hot")


class FakeCrowd:
    """Instances of 100 bytes each; the one numbered `fails` cannot be had."""

    name = "crowd"

    def __init__(self, most: int = 1000, fails: int | None = None, by: BaseException | None = None) -> None:
        self.most, self.fails, self.alive, self.highest = most, fails, 0, 0
        self.by = by or UnavailableError("no address space left")

    def start(self) -> Stop:
        if self.alive == self.fails:
            raise self.by
        self.alive += 1
        self.highest = max(self.highest, self.alive)
        return self.stop

    def stop(self) -> None:
        self.alive -= 1

    def used(self) -> int:
        return 5000 + 100 * self.alive


def test_density_stops_at_the_memory_limit_and_ends_them_all() -> None:
    crowd = FakeCrowd()
    found = density(crowd, limit=3200)
    assert (found.curve[-1][:2], found.ended) == ((32, 3200), "the memory limit")
    assert (crowd.highest, crowd.alive) == (32, 0)


def test_density_is_the_slope_without_what_was_there_before() -> None:
    assert density(FakeCrowd(), limit=3200).per_instance == 100


def test_density_stops_at_the_most_that_are_tried() -> None:
    assert density(FakeCrowd(most=5), limit=10_000).curve[-1][0] == 5


def test_density_says_what_ended_it_early_and_keeps_the_curve() -> None:
    crowd = FakeCrowd(fails=7)
    found = density(crowd, limit=10_000)
    assert (found.curve[-1][:2], found.ended, crowd.alive) == ((7, 700), "no address space left", 0)


def test_ctrl_c_during_density_keeps_the_curve_and_measures_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, never = tmp_path / "r.json", FakeCrowd()
    argv = ["bench", "--case", "a=true", "--density", "1m", "--export", str(path)]
    cases = Cases(crowds=[lambda: FakeCrowd(fails=7, by=KeyboardInterrupt()), lambda: never])
    monkeypatch.setattr("wasmdock.cli.bench.find_cases", lambda _options, _context: cases)
    code = bench(build_parser(argv).parse_args(argv), Context(os.environ))
    found = read_results(path)
    assert (code, found.interrupted, never.highest) == (130, True, 0)
    assert [each.curve[-1][:2] for each in found.density] == [(7, 700)]


def test_density_of_nothing_has_no_point_but_the_first() -> None:
    assert density(FakeCrowd(fails=0), limit=10_000).curve == ((0, 0, 0.0),)


def test_slope_of_a_single_point_is_zero() -> None:
    assert per_instance([(3, 300, 0.1)]) == 0


class SteppingClock:
    """Moves by 10 ms each time any thread reads it."""

    def __init__(self) -> None:
        self._now, self._lock = 0.0, threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            self._now += 0.01
            return self._now


@pytest.mark.parametrize("concurrency", [1, 4])
def test_throughput_is_runs_by_the_time_they_took(concurrency: int) -> None:
    ran: list[RunResult] = []

    def run() -> RunResult:
        ran.append(RunResult(Outcome.EXITED, 0))
        return ran[-1]

    clock = SteppingClock()
    found = throughput(Case(DESCRIBE, run), concurrency, 1.0, clock)
    assert (found.name, found.concurrency, found.failures) == ("case (hot)", concurrency, 0)
    assert found.per_second == pytest.approx(len(ran) / clock(), rel=0.1)


def test_throughput_counts_failures_apart() -> None:
    found = throughput(Case(DESCRIBE, lambda: RunResult(Outcome.EXITED, 1)), 1, 0.1, SteppingClock())
    assert found.per_second == 0
    assert found.failures > 0
