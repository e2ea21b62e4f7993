"""Cases are measured round by round, fairly, and nothing that was measured is lost."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.fakes import FakeRunner
from wasmdock.bench import GIVEN_UP, Case, ColdRuntime, Plan, measure, overhead, runtime_case
from wasmdock.bench_command import command_run
from wasmdock.errors import UnavailableError
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Image
from wasmdock.pack import pack
from wasmdock.process import Completed
from wasmdock.results import CaseResult
from wasmdock.runtime import Outcome, RunRequest, RunResult
from wasmdock.stats import Sample, summarize_samples

TICK = 1e-6
IMAGE = pack(Artifact("hello", Target.WASIP1, b"\0asm\1\0\0\0"))
FINE = RunResult(Outcome.EXITED, 0, b"hello\n")


class FakeClock:
    """A clock that moves by a tick each time it is read, and by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TICK
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeRuntime:
    """Sleeps and answers; an exception among the answers is raised. The last answer stays."""

    clock: FakeClock
    seconds: float = 0.005
    answers: Sequence[RunResult | BaseException] = (FINE,)
    name: str = "fake"
    log: list[str] = field(default_factory=list)
    runs: int = 0

    def prepare(self, image: Image) -> None:
        self.log.append("prepare")
        self.clock.sleep(1.0)

    def run(self, image: Image, request: RunRequest) -> RunResult:
        self.log.append(self.name)
        self.clock.sleep(self.seconds)
        answer = self.answers[min(self.runs, len(self.answers) - 1)]
        self.runs += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer


def describe(name: str = "case", start: str = "warm") -> CaseResult:
    return CaseResult(name, "wasm", "process", start)


def case_of(runtime: FakeRuntime, repeat: int = 1) -> Case:
    return runtime_case(describe(runtime.name), runtime, IMAGE, RunRequest(), repeat=repeat)


def one(runtime: FakeRuntime, plan: Plan) -> CaseResult:
    return measure([case_of(runtime)], plan, clock=runtime.clock).cases[0]


def test_untimed_runs_come_before_the_timed_ones_of_each_round() -> None:
    runtime = FakeRuntime(FakeClock())
    case = replace(case_of(runtime, repeat=2), lead=3)
    found = measure([case], Plan(rounds=2, warmup=0), clock=runtime.clock).cases[0]
    assert (len(found.samples), runtime.runs) == (4, 10)


def test_runtime_that_sleeps_5_ms_is_measured_as_5_ms_within_the_overhead() -> None:
    clock = FakeClock()
    found = one(FakeRuntime(clock), Plan(rounds=20)).summary
    assert found is not None
    assert found.n == 20
    assert found.minimum >= 0.005
    assert found.maximum <= 0.005 + overhead(clock) + 1e-9


def test_runtime_that_really_sleeps_5_ms_is_measured_as_some_5_ms() -> None:
    def run() -> RunResult:
        time.sleep(0.005)
        return FINE

    found = measure([Case(describe(), run)], Plan(rounds=20, warmup=0)).cases[0].summary
    assert found is not None
    assert found.minimum >= 0.005
    assert found.median <= 0.015  # a busy machine wakes late


def test_overhead_is_what_measuring_nothing_takes() -> None:
    assert overhead(FakeClock()) == pytest.approx(TICK)


def test_loading_and_compiling_are_outside_the_timed_part() -> None:
    runtime = FakeRuntime(FakeClock())
    assert max(sample.seconds for sample in one(runtime, Plan(rounds=3)).samples) < 1.0
    assert runtime.log.count("prepare") == 1


def test_warm_up_rounds_do_not_count() -> None:
    runtime = FakeRuntime(FakeClock())
    found = one(runtime, Plan(rounds=3, warmup=2))
    assert (len(found.samples), runtime.runs) == (3, 5)


def test_every_case_runs_once_in_every_round() -> None:
    log: list[str] = []
    clock = FakeClock()
    cases = [case_of(FakeRuntime(clock, name=name, log=log)) for name in "abc"]
    measure(cases, Plan(rounds=8, warmup=0), clock=clock)
    runs = [name for name in log if name != "prepare"]
    assert [sorted(runs[start : start + 3]) for start in range(0, 24, 3)] == [["a", "b", "c"]] * 8


def test_order_of_cases_is_shuffled_anew_in_each_round_and_repeatable_by_seed() -> None:
    orders = [Plan(seed=7).order(number, 5) for number in range(10)]
    assert orders == [Plan(seed=7).order(number, 5) for number in range(10)]
    assert len({tuple(order) for order in orders}) > 5
    assert orders != [Plan(seed=8).order(number, 5) for number in range(10)]


def test_case_may_run_several_times_in_a_row_in_each_round() -> None:
    runtime = FakeRuntime(FakeClock())
    found = measure([case_of(runtime, repeat=4)], Plan(rounds=2, warmup=0), clock=runtime.clock).cases[0]
    assert [sample.round for sample in found.samples] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_costly_case_may_sit_out_rounds_and_the_warm_up() -> None:
    runtime = FakeRuntime(FakeClock())
    case = replace(case_of(runtime), every=3, describe=describe(start="cold"))
    found = measure([case], Plan(rounds=7, warmup=2), clock=runtime.clock).cases[0]
    assert [sample.round for sample in found.samples] == [0, 3, 6]
    assert runtime.runs == 3


def test_time_limit_ends_with_the_round_that_passes_it() -> None:
    runtime = FakeRuntime(FakeClock(), seconds=1.0)
    assert len(one(runtime, Plan(rounds=None, seconds=2.5, warmup=0)).samples) == 3


def test_other_exit_code_is_a_failure_with_the_last_line_of_stderr() -> None:
    answer = RunResult(Outcome.EXITED, 3, stderr=b"first\nno such file\n")
    runtime = FakeRuntime(FakeClock(), answers=[FINE, FINE, answer, FINE])
    found = one(runtime, Plan(rounds=3, warmup=1))
    assert [sample.failure for sample in found.samples] == ["", "exit code 3: no such file", ""]


def test_trap_is_a_failure_with_its_message() -> None:
    answers = [FINE, RunResult(Outcome.TRAPPED, 134, message="wasm trap: unreachable"), FINE]
    found = one(FakeRuntime(FakeClock(), answers=answers), Plan(rounds=3, warmup=0))
    assert found.samples[1].failure == "wasm trap: unreachable"


def test_run_that_prints_something_else_than_the_first_is_a_failure() -> None:
    answers = [FINE, RunResult(Outcome.EXITED, 0, b"bye\n"), FINE]
    found = one(FakeRuntime(FakeClock(), answers=answers), Plan(rounds=3, warmup=0))
    assert [bool(sample.failure) for sample in found.samples] == [False, True, False]


def test_runtime_that_raises_is_a_failure_and_the_others_go_on() -> None:
    clock = FakeClock()
    broken = FakeRuntime(clock, answers=[FINE, UnavailableError("the engine went away"), FINE], name="broken")
    cases = [case_of(broken), case_of(FakeRuntime(clock, name="sound"))]
    found = measure(cases, Plan(rounds=3, warmup=0), clock=clock).cases
    assert [sum(1 for sample in case.samples if sample.failure) for case in found] == [1, 0]
    assert not found[0].dropped


def test_fault_of_our_own_in_one_case_is_a_failure_too() -> None:
    runtime = FakeRuntime(FakeClock(), answers=[FINE, ZeroDivisionError("division by zero"), FINE])
    found = one(runtime, Plan(rounds=3, warmup=0))
    assert [sample.failure for sample in found.samples] == ["", "ZeroDivisionError: division by zero", ""]


def test_case_that_never_succeeds_is_given_up_with_the_reason() -> None:
    clock = FakeClock()
    broken = FakeRuntime(clock, answers=[UnavailableError("no shim")], name="broken")
    sound = FakeRuntime(clock, name="sound")
    found = measure([case_of(broken), case_of(sound)], Plan(rounds=10, warmup=0), clock=clock).cases
    assert (found[0].dropped, broken.runs) == ("no shim", GIVEN_UP)
    assert len(found[1].samples) == 10


def test_case_that_cannot_be_prepared_is_given_up_with_the_reason() -> None:
    def prepare() -> None:
        raise UnavailableError("no such image")

    found = measure([Case(describe(), lambda: FINE, prepare)], Plan(rounds=3), clock=FakeClock())
    assert (found.cases[0].dropped, found.cases[0].samples) == ("no such image", ())


def test_ctrl_c_keeps_what_was_measured_before() -> None:
    runtime = FakeRuntime(FakeClock(), answers=[FINE, FINE, KeyboardInterrupt()])
    found = measure([case_of(runtime)], Plan(rounds=10, warmup=0), clock=runtime.clock)
    assert found.interrupted
    assert len(found.cases[0].samples) == 2


def test_resuming_goes_on_after_the_last_round() -> None:
    runtime = FakeRuntime(FakeClock())
    known = CaseResult(runtime.name, "wasm", "process", "warm", samples=(Sample(0, 0.1), Sample(1, 0.2)))
    plan = Plan(rounds=5, warmup=0)
    found = measure([case_of(runtime)], plan, earlier={known.key: known}, clock=runtime.clock).cases[0]
    assert [sample.round for sample in found.samples] == [0, 1, 2, 3, 4]
    assert [sample.seconds for sample in found.samples[:2]] == [0.1, 0.2]


def test_resuming_finishes_the_round_that_ctrl_c_cut_short() -> None:
    clock, log = FakeClock(), list[str]()
    stopped = FakeRuntime(clock, answers=[FINE, FINE, KeyboardInterrupt(), FINE], name="stopped", log=log)
    cases = [case_of(FakeRuntime(clock, name="first", log=log), repeat=2), case_of(stopped, repeat=2)]
    plan = Plan(rounds=3, warmup=0, seed=3)
    cut = measure(cases, plan, clock=clock)
    whole = measure(cases, plan, earlier={case.key: case for case in cut.cases}, clock=clock).cases
    assert cut.interrupted
    assert [[sample.round for sample in case.samples] for case in whole] == [[0, 0, 1, 1, 2, 2]] * 2


def test_resuming_measures_a_case_that_is_new_in_all_rounds() -> None:
    clock = FakeClock()
    known = CaseResult("known", "wasm", "process", "warm", samples=(Sample(0, 0.1), Sample(1, 0.2)))
    cases = [case_of(FakeRuntime(clock, name=name)) for name in ("known", "new")]
    found = measure(cases, Plan(rounds=2, warmup=0), earlier={known.key: known}, clock=clock).cases
    assert [[sample.round for sample in case.samples] for case in found] == [[0, 1], [0, 1]]


def test_samples_and_rounds_are_told_as_they_come() -> None:
    samples: list[Sample] = []
    rounds: list[tuple[int, int]] = []
    runtime = FakeRuntime(FakeClock())
    measure(
        [case_of(runtime)],
        Plan(rounds=3),
        on_sample=lambda _case, sample: samples.append(sample),
        on_round=lambda done, cases: rounds.append((done, len(cases[0].samples))),
        clock=runtime.clock,
    )
    assert len(samples) == 3
    assert rounds == [(1, 1), (2, 2), (3, 3)]


def test_cold_runtime_starts_from_nothing_each_time_and_counts_the_preparation() -> None:
    clock, made = FakeClock(), []

    def make() -> FakeRuntime:
        made.append(FakeRuntime(clock))
        return made[-1]

    def renew(image: Image) -> Image:
        clock.sleep(30.0)
        return image

    cold = ColdRuntime(make, "compile", renew, clock)
    case = Case(describe(start="cold"), lambda: cold.run(IMAGE, RunRequest()), clocked_by="total")
    (found,) = measure([case], Plan(rounds=2, warmup=0), clock=clock).cases
    assert len(made) == 2
    for sample in found.samples:
        assert sample.seconds == pytest.approx(1.005, abs=1e-4)
        assert sample.phases["compile"] == pytest.approx(1.0, abs=1e-4)


def test_stopwatch_of_the_case_itself_is_taken_where_it_has_one() -> None:
    answer = RunResult(Outcome.EXITED, 0, phases={"run": 0.25, "start": 0.1})
    case = Case(describe(), lambda: answer, clocked_by="run")
    (found,) = measure([case], Plan(rounds=1), clock=FakeClock()).cases
    assert found.samples[0].seconds == 0.25
    assert found.samples[0].phases == {"run": 0.25, "start": 0.1}


def command(code: int, seconds: float = 0.5, timed_out: bool = False) -> Callable[[], RunResult]:
    answer = Completed(("tool",), code, b"out", b"", timed_out=timed_out, seconds=seconds)
    return command_run(["tool", "--flag"], runner=FakeRunner({("tool",): answer}))


def test_command_is_timed_from_its_start_to_its_end() -> None:
    result = command(7)()
    assert (result.exit_code, result.stdout, result.phases["total"]) == (7, b"out", 0.5)


def test_command_that_does_not_end_is_timed_out() -> None:
    assert command(-9, timed_out=True)().outcome is Outcome.TIMED_OUT


def test_failed_runs_stay_out_of_the_median() -> None:
    answers = [FINE, RunResult(Outcome.EXITED, 1), FINE]
    samples = one(FakeRuntime(FakeClock(), answers=answers), Plan(rounds=3, warmup=0)).samples
    found = summarize_samples(samples)
    assert found is not None
    assert (found.n, found.failures) == (2, 1)
