"""Cases -> samples: round by round, every case in every round, in an order shuffled by a seed."""

import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from wasmdock.errors import WasmdockError
from wasmdock.oci.image import Image
from wasmdock.results import CaseResult, Weight
from wasmdock.runtime import Outcome, RunRequest, RunResult, Runtime
from wasmdock.stats import Sample, summarize

Clock = Callable[[], float]
OnSample = Callable[["Case", Sample], None]
OnRound = Callable[[int, Sequence[CaseResult]], None]
GIVEN_UP = 3  # failures in a row, without one success, after which a case is dropped
_OVERHEAD_RUNS = 2000
# A collection before each round made a `sleep 0.1` measure 5 ms longer on a busy machine: the scheduler lets a process
# wait that has just used its share.
_COLLECT_EVERY = 32
_REST = 0.02  # seconds


def _nothing() -> None:
    """The preparation of a case that needs none."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure, `repeat` times in a row in one of `every` rounds; `describe` is its result, empty yet.

    `lead` untimed runs come before these, for what is measured in a process that is at it already.

    run does one whole run from a fresh start and says how it ended; it counts where it EXITED with `exit_code`
    and printed what its first run printed. clocked_by names the phase that is the case's own stopwatch, for a
    runtime that does more than run; empty takes the wall time around `run`. weigh does one run that is not timed, to
    see its memory.
    """

    describe: CaseResult
    run: Callable[[], RunResult]
    prepare: Callable[[], None] = _nothing
    repeat: int = 1
    lead: int = 0
    every: int = 1
    exit_code: int = 0
    clocked_by: str = ""
    stable_output: bool = True
    weigh: Callable[[], Weight] | None = None


def runtime_case(
    describe: CaseResult,
    runtime: Runtime,
    image: Image,
    request: RunRequest,
    *,
    repeat: int = 1,
    lead: int = 0,
    exit_code: int = 0,
    clocked_by: str = "",
) -> Case:
    """The case of an image on a runtime: loaded or compiled beforehand, then run from a fresh start."""
    run, prepare = (lambda: runtime.run(image, request)), (lambda: runtime.prepare(image))
    return Case(describe, run, prepare, repeat=repeat, lead=lead, exit_code=exit_code, clocked_by=clocked_by)


class ColdRuntime:
    """A Runtime that starts from nothing each time: a new runtime, prepared and run within the timed part."""

    def __init__(
        self,
        make: Callable[[], Runtime],
        phase: str,
        renew: Callable[[Image], Image] = lambda image: image,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Take what makes a runtime, and the name of its preparation as a phase.

        renew, untimed, drops all traces of earlier runs and gives the image to run: the same or its like.
        """
        self._make, self._phase, self._renew, self._clock = make, phase, renew, clock
        self.name = "cold"

    def prepare(self, image: Image) -> None:
        """Nothing: preparing belongs to the run."""

    def run(self, image: Image, request: RunRequest) -> RunResult:
        """Make, prepare, run; the phase `total` is the seconds these took."""
        image = self._renew(image)
        began = self._clock()
        runtime = self._make()
        runtime.prepare(image)
        prepared = self._clock()
        result = runtime.run(image, request)
        ended = self._clock()
        inner = result.phases.get("total", ended - prepared)
        phases = {self._phase: prepared - began, **result.phases, "total": prepared - began + inner}
        first = phases.get("first byte")
        moment = {} if first is None else {"first byte": prepared - began + first}
        return result._replace(phases={**phases, **moment})


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure: so many rounds, or as many as begin within `seconds`; warm-up rounds do not count."""

    rounds: int | None = 30
    seconds: float | None = None
    warmup: int = 1
    seed: int = 0

    def order(self, number: int, count: int) -> list[int]:
        """The order of the cases in one round: the same seed and number give the same order."""
        places = list(range(count))
        random.Random(f"{self.seed}/{number}").shuffle(places)
        return places

    def takes(self, case: Case, number: int) -> bool:
        """Whether a case runs in a round; those below zero warm up, which a cold start has no use for."""
        return number % case.every == 0 if number >= 0 else case.describe.start != "cold"

    def goes_on(self, done: int, elapsed: float) -> bool:
        """Whether another round begins."""
        if self.seconds is not None and elapsed >= self.seconds:
            return False
        return self.rounds is None or done < self.rounds


@dataclass(slots=True)
class _Track:
    """A case under way."""

    case: Case
    samples: list[Sample] = field(default_factory=list)
    dropped: str = ""
    output: bytes | None = None
    in_a_row: int = 0
    had: Counter[int] = field(default_factory=Counter)  # runs of each round in earlier results

    def go_on(self, known: CaseResult) -> None:
        """Take over what was measured earlier."""
        self.samples.extend(known.samples)
        self.had.update(sample.round for sample in known.samples)

    def left(self, plan: Plan, number: int) -> int:
        """How many runs a round has for it: none, all, or the rest of a round that Ctrl-C cut short."""
        if self.dropped or not plan.takes(self.case, number):
            return 0
        return max(0, self.case.repeat - self.had[number])

    def result(self) -> CaseResult:
        return replace(self.case.describe, samples=tuple(self.samples), dropped=self.dropped)


@dataclass(frozen=True, slots=True)
class Measured:
    """The cases with all their samples; interrupted where Ctrl-C ended it early."""

    cases: tuple[CaseResult, ...]
    interrupted: bool = False


def measure(
    cases: Sequence[Case],
    plan: Plan,
    *,
    earlier: Mapping[tuple[str, str], CaseResult] | None = None,
    on_sample: OnSample | None = None,
    on_round: OnRound | None = None,
    clock: Clock = time.perf_counter,
) -> Measured:
    """Measure the cases, interleaved. Nothing is lost: failures are samples, Ctrl-C keeps what came before.

    earlier are results to go on from, by case key: each case does the rounds that it lacks, a new one all of them. A
    case that cannot be prepared, or that fails three times in a row without one success, is dropped with the reason.
    """
    tracks = [_Track(case) for case in cases]
    for track in tracks:
        if known := (earlier or {}).get(track.case.describe.key):
            track.go_on(known)
    done = _first_open(tracks, plan)
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of one sample and not of the next is noise of ours
    try:
        _prepare(tracks)
        gc.collect()
        gc.freeze()  # what is there now is not looked at again
        for number in range(plan.warmup):
            _round(tracks, plan, -1 - number, clock)
        began = clock()
        while plan.goes_on(done, clock() - began) and any(not track.dropped for track in tracks):
            _round(tracks, plan, done, clock, on_sample)
            done += 1
            if on_round:
                on_round(done, [track.result() for track in tracks])
    except KeyboardInterrupt:
        return Measured(tuple(track.result() for track in tracks), interrupted=True)
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    return Measured(tuple(track.result() for track in tracks))


def overhead(clock: Clock = time.perf_counter, runs: int = _OVERHEAD_RUNS) -> float:
    """Seconds that measuring adds to each sample: the median over a case that does nothing."""
    result = RunResult(Outcome.EXITED, 0)
    track = _Track(Case(CaseResult("nothing", "", "", ""), lambda: result))
    return summarize([_sample(track, 0, clock).seconds for _ in range(runs)]).median


def _prepare(tracks: Sequence[_Track]) -> None:
    for track in tracks:
        try:
            track.case.prepare()
        except WasmdockError as error:
            track.dropped = error.message


def _first_open(tracks: Sequence[_Track], plan: Plan) -> int:
    """The first round that has a run for any of them."""
    after = max((number + 1 for track in tracks for number in track.had), default=0)
    return next((number for number in range(after) if any(track.left(plan, number) for track in tracks)), after)


def _round(tracks: Sequence[_Track], plan: Plan, number: int, clock: Clock, on_sample: OnSample | None = None) -> None:
    if number % _COLLECT_EVERY == 0:
        gc.collect()
        time.sleep(_REST)
    for place in plan.order(number, len(tracks)):
        track = tracks[place]
        if left := track.left(plan, number):
            _lead(track.case)
        for _ in range(left):
            if track.dropped:
                break
            sample = _sample(track, number, clock)
            _judge(track, sample)
            if number >= 0:
                track.samples.append(sample)
                if on_sample:
                    on_sample(track.case, sample)


def _lead(case: Case) -> None:
    """Untimed runs first; what fails in them fails again where it counts."""
    for _ in range(case.lead):
        with suppress(Exception):
            case.run()


def _sample(track: _Track, number: int, clock: Clock) -> Sample:
    run = track.case.run
    began = clock()
    try:
        result = run()
    except WasmdockError as error:
        return Sample(number, clock() - began, failure=error.message)
    except Exception as error:  # a fault of ours in one case must not cost the others what they measured
        return Sample(number, clock() - began, failure=f"{type(error).__name__}: {error}")
    seconds = clock() - began
    # One that seems to end before it began, by two clocks that differ, is not known.
    phases = {name: None if value is None or value < 0 else value for name, value in result.phases.items()}
    own = phases.pop("total", None)
    if track.case.clocked_by:
        named = phases.get(track.case.clocked_by)
        seconds = next((value for value in (own, named) if value is not None), seconds)
    return Sample(number, seconds, phases, result.peak_memory, _failure(track, result))


def _failure(track: _Track, result: RunResult) -> str:
    if result.outcome is not Outcome.EXITED:
        return result.message or result.outcome.value
    if result.exit_code != track.case.exit_code:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return ": ".join([f"exit code {result.exit_code}", *last])
    if not track.case.stable_output:
        return ""
    if track.output is None:
        track.output = result.stdout
    return "" if result.stdout == track.output else "it printed something else than the first time"


def _judge(track: _Track, sample: Sample) -> None:
    track.in_a_row = track.in_a_row + 1 if sample.failure else 0
    if track.in_a_row >= GIVEN_UP and all(each.failure for each in track.samples):
        track.dropped = sample.failure
