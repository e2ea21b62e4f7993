"""Samples -> Summary -> Comparison: numbers only, and no winner where the noise is larger than the difference."""

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

CONFIDENCE = 0.99  # of the interval: two identical cases are told apart in fewer than 5 of 100 comparisons
RESAMPLES = 2000
FEWEST_ROUNDS = 8  # with 5, identical cases came out as different in 9 of 100 simulated runs; with 8 in 2
SMALLEST = 0.01  # a ratio nearer to 1 than this is no difference, however sure
WIDEST = 0.10  # an interval around 1 that reaches further than this says nothing
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

    paired: the same rounds are drawn for both, so that what slowed a whole round cancels out; give False for
    samples of two different benchmarks. Rounds that one of them sat out tell nothing then and are left away. The same
    seed gives the same interval.
    """
    first, second = _rounds(base), _rounds(other)
    if not first or not second:
        return None
    common = first.keys() & second.keys()
    fewest = min(len(first), len(second))
    if paired and 2 * len(common) > fewest:
        first, second = ({key: group[key] for key in sorted(common)} for group in (first, second))
        ratios = _draw_paired(list(first.values()), list(second.values()), random.Random(seed), resamples)
    else:
        ratios = _draw(list(first.values()), list(second.values()), random.Random(seed), resamples)
    ratio = _ratio(first.values(), second.values())  # of the rounds that the interval is of
    low, high = (quantile(ratios, share) for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    verdict, why = _verdict(ratio, low, high, min(len(first), len(second)))
    return Comparison(ratio, low, high, verdict, why)


def _rounds(samples: Sequence[Sample]) -> dict[int, list[float]]:
    """Seconds by round: runs of one round are not independent of each other, so they are drawn together."""
    rounds: dict[int, list[float]] = {}
    for sample in samples:
        if not sample.failure:
            rounds.setdefault(sample.round, []).append(sample.seconds)
    return rounds


_Groups = Sequence[Sequence[float]]


def _draw_paired(first: _Groups, second: _Groups, chance: random.Random, count: int) -> list[float]:
    places = range(len(first))
    ratios = []
    for _ in range(count):
        drawn = chance.choices(places, k=len(first))
        ratios.append(_ratio((first[place] for place in drawn), (second[place] for place in drawn)))
    return sorted(ratios)


def _draw(first: _Groups, second: _Groups, chance: random.Random, count: int) -> list[float]:
    return sorted(
        _ratio(chance.choices(first, k=len(first)), chance.choices(second, k=len(second))) for _ in range(count)
    )


def _ratio(base: Iterable[Sequence[float]], other: Iterable[Sequence[float]]) -> float:
    below, above = (statistics.median([value for group in groups for value in group]) for groups in (base, other))
    return above / below if below > 0 else math.inf


def _verdict(ratio: float, low: float, high: float, rounds: int) -> tuple[Verdict, str]:
    """The rules in one place; a difference is named only where the whole interval lies on one side of 1."""
    if rounds < FEWEST_ROUNDS:
        return Verdict.TOO_NOISY, f"{rounds} rounds are too few to tell: {FEWEST_ROUNDS} at least"
    if low > 1 and ratio >= 1 + SMALLEST:
        return Verdict.SLOWER, ""
    if high < 1 and ratio <= 1 - SMALLEST:
        return Verdict.FASTER, ""
    if low >= 1 - WIDEST and high <= 1 + WIDEST:
        return Verdict.NO_DIFFERENCE, ""
    return Verdict.TOO_NOISY, f"the ratio may be anything from {low:.2f} to {high:.2f}"
