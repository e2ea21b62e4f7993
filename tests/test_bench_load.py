"""Throughput counts what ended well in the time it took; density starts until memory is used, and ends them all."""

import argparse
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from wasmdock.bench import Case
from wasmdock.bench_load import Stop, density, per_instance, throughput
from wasmdock.cli import bench
from wasmdock.cli.bench_list import Cases
from wasmdock.cli.context import Context
from wasmdock.cli.parser import build_parser
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.results import CaseResult, Results, Throughput, Weight, read_results
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
    assert (crowd.highest, crowd.alive) == (33, 0)  # the last one passed it


class CountedCrowd(FakeCrowd):
    """Of so many bytes each, looked at so often."""

    looks = 0

    def __init__(self, each: int, most: int = 100_000) -> None:
        super().__init__(most)
        self.each = each

    def used(self) -> int:
        self.looks += 1
        return 5000 + self.each * self.alive


@pytest.mark.parametrize("each", [7, 100, 1300])
def test_density_keeps_within_the_limit_and_tells_the_most_that_fit(each: int) -> None:
    crowd = CountedCrowd(each)
    found = density(crowd, limit=67_100)
    assert (found.curve[-1][:2], found.ended) == ((67_100 // each, 67_100 // each * each), "the memory limit")
    assert crowd.looks < 80


def test_density_of_which_one_alone_is_too_large_says_so() -> None:
    found = density(CountedCrowd(2000), limit=1000)
    assert (found.curve, found.ended) == (((0, 0, 0.0),), "one alone takes 2.00 kB, more than 1.00 kB")


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
    code = bench.bench(build_parser(argv).parse_args(argv), Context(os.environ))
    found = read_results(path)
    assert (code, found.interrupted, never.highest) == (130, True, 0)
    assert [each.curve[-1][:2] for each in found.density] == [(7, 700)]


def test_density_keeps_the_curve_where_what_held_them_is_gone() -> None:
    class Mortal(FakeCrowd):
        def used(self) -> int:
            if self.alive == self.fails:
                raise UnavailableError("nobody there")
            return super().used()

    found = density(Mortal(fails=9), limit=10_000)
    assert (found.curve[-1][:2], found.ended) == ((8, 800), "no address space left")


@pytest.mark.parametrize(("error", "ended"), [(KeyboardInterrupt(), "interrupted"), (UnavailableError("gone"), None)])
def test_density_ends_the_others_where_ending_one_fails(error: BaseException, ended: str | None) -> None:
    class Stubborn(FakeCrowd):
        def stop(self) -> None:
            super().stop()
            if self.alive == 3:
                raise error

    crowd = Stubborn(most=5)
    if ended:
        assert density(crowd, limit=10_000).ended == ended
    else:
        with pytest.raises(UnavailableError, match="gone"):
            density(crowd, limit=10_000)
    assert (crowd.highest, crowd.alive) == (5, 0)


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


def test_quantiles_are_unknown_where_nothing_succeeded() -> None:
    found = throughput(Case(DESCRIBE, lambda: RunResult(Outcome.EXITED, 1)), 1, 0.1, SteppingClock())
    assert (found.p50, found.p95, found.p99) == (None, None, None)


def test_throughput_counts_a_fault_of_any_kind_and_goes_on() -> None:
    ran: list[RunResult] = []

    def run() -> RunResult:
        if not ran:
            ran.append(RunResult(Outcome.EXITED, 0))
            raise OSError("too many open files")
        return ran[0]

    found = throughput(Case(DESCRIBE, run), 1, 1.0, SteppingClock())
    assert found.failures == 1
    assert found.per_second > 0


def test_ctrl_c_during_throughput_leaves_nothing_running() -> None:
    began, ended = list[int](), list[int]()

    def run() -> RunResult:
        began.append(1)
        time.sleep(0.1)  # until it is waited for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.2)
        ended.append(1)
        return RunResult(Outcome.EXITED, 0)

    with pytest.raises(KeyboardInterrupt):
        throughput(Case(DESCRIBE, run), 1, 60.0)
    assert (len(began), len(ended)) == (1, 1)


class Service:
    """Runs until it is stopped, and answers at once."""

    url = "http://fake:1/"
    running = False

    def start(self) -> Stop:
        self.running = True
        return self.stop

    def stop(self) -> None:
        self.running = False

    def answers(self) -> bool:
        return True

    def steps(self) -> dict[str, float]:
        return {}

    def weigh(self) -> Weight:
        return Weight()


def loaded(tmp_path: Path, cases: Cases) -> Results:
    """What `bench` finds of many at once, as it was written last."""
    options = argparse.Namespace(throughput=True, density=100, load_time=1.0, export=[], resume=None)
    results, last = Results("x", "2026-01-01T00:00:00+00:00", 0, ()), tmp_path / "last.json"
    found = bench._load(results, cases, options, bench._Keeper(results, options, last), Context({}, quiet=True))
    assert replace(found, interrupted=False) == read_results(last)
    return found


@pytest.mark.parametrize("error", [CommandError("loading: out of ports"), KeyboardInterrupt()])
def test_what_was_found_before_a_load_tool_failed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def load_test(_service: Service, name: str, count: int, _seconds: float) -> Throughput:
        if count == 8:
            raise error
        return Throughput(name, count, 10.0, None, None, None)

    monkeypatch.setattr(bench, "load_test", load_test)
    service = Service()
    case = Case(DESCRIBE, lambda: RunResult(Outcome.EXITED, 0))
    found = loaded(tmp_path, Cases(services=[(case, service)], folder=tmp_path / "made"))
    assert [each.concurrency for each in found.throughput] == [1, 2]
    assert found.interrupted == isinstance(error, KeyboardInterrupt)
    assert not service.running


def test_what_cannot_be_run_at_once_is_left_out_with_its_reason_and_the_others_follow(tmp_path: Path) -> None:
    def fail() -> None:
        raise UnavailableError("no room")

    def no_crowd() -> FakeCrowd:
        raise UnavailableError("no engine")

    broken = Case(DESCRIBE, lambda: RunResult(Outcome.EXITED, 0), prepare=fail)
    found = loaded(tmp_path, Cases(loads=[broken], crowds=[no_crowd, FakeCrowd], folder=tmp_path / "made"))
    assert [(each.what, each.why) for each in found.left_out] == [
        ("case: throughput", "no room"),
        ("density", "no engine"),
    ]
    assert [each.name for each in found.density] == ["crowd"]
