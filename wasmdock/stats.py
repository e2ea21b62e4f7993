"""Samples -> Summary -> Comparison: numbers only, and no winner where the noise is larger than the difference."""

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

CONFIDENCE = 0.99  # of the interval: two identical cases are told apart in fewer than 5 of 100 comparisons
RESAMPLES = 2000
FEWEST_ROUNDS = 8  # that a verdict is given for
SMALLEST = 0.01  # a ratio nearer to 1 than this names no winner, however sure
BAND = 0.1  # "no difference" is said only where the whole interval lies within this share of 1
_MOST_GROUPS = 400  # of rounds that are drawn: of more, neighbours are drawn together
_FENCE = 3.0  # Tukey's outer fence, in interquartile ranges beyond the quartiles


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run: seconds of wall time in the round numbered `round`, from 0.

    phases are seconds by name, None where a phase cannot be seen; memory is peak bytes; `failure` is empty or
    says why the run does not count, and then seconds is what passed until it failed.
    """

    round: int
    seconds: float
    phases: Mapping[str, float | None] = field(default_factory=dict)
    memory: int | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What `n` values say; all but n and failures are in the values' own unit.

    mad is the median absolute deviation. Outliers lie three interquartile ranges beyond the quartiles; they
    are marked and stay part of every other number.
    """

    n: int
    failures: int
    minimum: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    p99: float
    maximum: float
    mean: float
    stdev: float
    mad: float
    outliers: tuple[float, ...]


class Verdict(Enum):
    """What a comparison found, with the word used in JSON."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no difference"
    TOO_NOISY = "too noisy"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case against another: median over median (2 is twice as slow), its interval, and what that allows to say."""

    ratio: float
    low: float
    high: float
    verdict: Verdict
    why: str = ""


def seconds_of(samples: Iterable[Sample]) -> list[float]:
    """The seconds of the runs that count."""
    return [sample.seconds for sample in samples if not sample.failure]


def summarize_samples(samples: Sequence[Sample]) -> Summary | None:
    """The summary of the runs' seconds; None where none succeeded."""
    values = seconds_of(samples)
    return summarize(values, len(samples) - len(values)) if values else None


def summarize(values: Sequence[float], failures: int = 0) -> Summary:
    """The summary of at least one value. Raises ValueError for none."""
    if not values:
        raise ValueError("no values to summarize")
    ordered = sorted(values)
    median = statistics.median(ordered)
    low, high = quantile(ordered, 0.25), quantile(ordered, 0.75)
    reach = _FENCE * (high - low)
    return Summary(
        n=len(ordered),
        failures=failures,
        minimum=ordered[0],
        p5=quantile(ordered, 0.05),
        p25=low,
        median=median,
        p75=high,
        p95=quantile(ordered, 0.95),
        p99=quantile(ordered, 0.99),
        maximum=ordered[-1],
        mean=statistics.fmean(ordered),
        stdev=statistics.stdev(ordered) if len(ordered) > 1 else 0.0,
        mad=statistics.median([abs(value - median) for value in ordered]),
        outliers=tuple(value for value in values if value < low - reach or value > high + reach),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, interpolated (Hyndman and Fan's type 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def compare(
    base: Sequence[Sample],
    other: Sequence[Sample],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    paired: bool = True,
) -> Comparison | None:
    """Compare `other` with `base` by a bootstrap over rounds; None where one has no run that counts.

    Runs of one round depend on each other: a round counts by its median, and the ratio is that of the medians of the
    rounds. Bootstrap intervals of few rounds are too narrow, so the interval is widened by what Student's t is wider
    than the normal distribution (by a third with 8 rounds, by a tenth with 20).

    paired: the same rounds are drawn for both, so that what slowed a whole round cancels out; give False for
    samples of two different benchmarks. Rounds that one of them sat out tell nothing then and are left away. The same
    seed gives the same interval.
    """
    first, second = _rounds(base), _rounds(other)
    if not first or not second:
        return None
    common = first.keys() & second.keys()
    together = paired and 2 * len(common) > min(len(first), len(second))
    if together:
        first, second = ({key: group[key] for key in sorted(common)} for group in (first, second))
    fewest = min(len(first), len(second))
    medians = [_medians(list(group.values())) for group in (first, second)]
    draw = _draw_paired if together else _draw
    ratios = sorted(draw(medians[0], medians[1], random.Random(seed), resamples))
    ratio = _ratio(*medians)  # of the rounds that the interval is of
    bounds = (quantile(ratios, share) for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    low, high = (_widened(ratio, bound, _student(confidence, fewest)) for bound in bounds)
    verdict, why = _verdict(ratio, low, high, fewest)
    return Comparison(ratio, low, high, verdict, why)


def rounds_of(samples: Sequence[Sample]) -> int:
    """In how many rounds a run succeeded."""
    return len(_rounds(samples))


def _rounds(samples: Sequence[Sample]) -> dict[int, list[float]]:
    """Seconds by round: runs of one round are not independent of each other, so they are drawn together."""
    rounds: dict[int, list[float]] = {}
    for sample in samples:
        if not sample.failure:
            rounds.setdefault(sample.round, []).append(sample.seconds)
    return rounds


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median of each round; of very many, those of neighbours together."""
    step = -(-len(rounds) // _MOST_GROUPS)
    return [
        statistics.median([value for group in rounds[place : place + step] for value in group])
        for place in range(0, len(rounds), step)
    ]


def _draw_paired(first: Sequence[float], second: Sequence[float], chance: random.Random, count: int) -> list[float]:
    pairs = list(zip(first, second, strict=True))
    return [_ratio(*zip(*chance.choices(pairs, k=len(pairs)), strict=True)) for _ in range(count)]


def _draw(first: Sequence[float], second: Sequence[float], chance: random.Random, count: int) -> list[float]:
    return [_ratio(chance.choices(first, k=len(first)), chance.choices(second, k=len(second))) for _ in range(count)]


def _ratio(base: Sequence[float], other: Sequence[float]) -> float:
    below, above = statistics.median(base), statistics.median(other)
    if below > 0:
        return above / below
    return math.inf if above > 0 else 1.0


def _student(confidence: float, rounds: int) -> float:
    """How much wider Student's t is than the normal distribution (Abramowitz and Stegun, 26.7.5), of so many rounds."""
    square, freedom = statistics.NormalDist().inv_cdf((1 + confidence) / 2) ** 2, max(1, rounds - 1)
    return 1 + (square + 1) / (4 * freedom) + (5 * square**2 + 16 * square + 3) / (96 * freedom**2)


def _widened(ratio: float, bound: float, factor: float) -> float:
    """A bound of an interval, so many times further from the ratio, as a factor: 2 is as far from 1 as 1/2."""
    if not 0 < ratio < math.inf or not 0 < bound < math.inf:
        return bound
    return ratio * math.exp(min(factor * math.log(bound / ratio), 700 - math.log(max(ratio, 1))))


def _verdict(ratio: float, low: float, high: float, rounds: int) -> tuple[Verdict, str]:
    """The rules in one place; a difference is named only where the whole interval lies on one side of 1."""
    if rounds < FEWEST_ROUNDS:
        return Verdict.TOO_NOISY, f"{rounds} rounds are too few to tell: {FEWEST_ROUNDS} at least"
    if low > 1 and ratio >= 1 + SMALLEST:
        return Verdict.SLOWER, ""
    if high < 1 and ratio <= 1 - SMALLEST:
        return Verdict.FASTER, ""
    if low >= 1 - BAND and high <= 1 + BAND:
        return Verdict.NO_DIFFERENCE, ""
    return Verdict.TOO_NOISY, ""
