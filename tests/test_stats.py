"""Numbers are summed up without losing any, and a winner is named only where the noise allows it."""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from wasmdock.cli.bench import ROUNDS
from wasmdock.stats import (
    BAND,
    FEWEST_ROUNDS,
    Comparison,
    Sample,
    Verdict,
    compare,
    quantile,
    summarize,
    summarize_samples,
)


def _lognormal(chance: random.Random, spread: float) -> float:
    """Skewed, and one in twenty two or three times too long: a busy machine."""
    return chance.lognormvariate(0, spread) * (chance.uniform(1.5, 3) if chance.random() < 0.05 else 1.0)


def _heavy(chance: random.Random, spread: float) -> float:
    """Student's t with two degrees of freedom, whose variance is infinite, as a factor."""
    return math.exp(spread * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(1, 1)))


NOISE: Mapping[str, Callable[[random.Random, float], float]] = {
    "normal": lambda chance, spread: max(0.01, chance.gauss(1, spread)),
    "lognormal": _lognormal,
    "heavy-tailed": _heavy,
}


def noisy(seed: int, rounds: int, centre: float = 1.0, spread: float = 0.05, shape: str = "lognormal") -> list[Sample]:
    """Samples of one case, one a round."""
    chance = random.Random(seed)
    return [Sample(number, centre * NOISE[shape](chance, spread)) for number in range(rounds)]


def steady(rounds: int, *values: float) -> list[Sample]:
    return [Sample(number, value) for number in range(rounds) for value in values]


def compared(base: list[Sample], other: list[Sample], **more: int | bool) -> Comparison:
    found = compare(base, other, resamples=200, **more)  # type: ignore[arg-type]  # seed and paired
    assert found is not None
    return found


def verdicts(effect: float, rounds: int, spread: float = 0.05, shape: str = "lognormal") -> Counter[Verdict]:
    """What 100 simulated benchmarks say of a case and one that takes `effect` times as long."""
    pairs = (
        [noisy(2 * seed + place, rounds, centre, spread, shape) for place, centre in enumerate((1.0, effect))]
        for seed in range(100)
    )
    return Counter(compared(*pair, seed=seed).verdict for seed, pair in enumerate(pairs))


def test_summary_holds_every_number_of_a_known_sample() -> None:
    found = summarize([5, 1, 3, 2, 4])
    assert (found.n, found.minimum, found.median, found.maximum, found.mean) == (5, 1, 3, 5, 3)
    assert (found.p25, found.p75, found.mad) == (2, 4, 1)
    assert found.stdev == pytest.approx(1.5811, abs=1e-4)


def test_summary_of_one_value_is_that_value() -> None:
    found = summarize([7.0])
    assert (found.minimum, found.median, found.p99, found.stdev, found.outliers) == (7.0, 7.0, 7.0, 0.0, ())


def test_summary_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        summarize([])


def test_outlier_is_marked_and_kept() -> None:
    found = summarize([1.0, 1.1, 1.2, 1.3, 1.4, 50.0])
    assert found.outliers == (50.0,)
    assert (found.n, found.maximum) == (6, 50.0)


def test_failed_runs_are_counted_and_not_timed() -> None:
    found = summarize_samples([Sample(0, 1.0), Sample(1, 99.0, failure="exit code 1"), Sample(2, 3.0)])
    assert found is not None
    assert (found.n, found.failures, found.median) == (2, 1, 2.0)


def test_case_that_only_failed_has_no_summary() -> None:
    assert summarize_samples([Sample(0, 1.0, failure="trap")]) is None


def test_quantile_lies_between_its_neighbours() -> None:
    assert quantile([0.0, 10.0], 0.25) == 2.5


def test_twice_as_slow_is_slower_by_two() -> None:
    found = compared(noisy(1, 30), noisy(2, 30, 2.0))
    assert found.verdict is Verdict.SLOWER
    assert found.low < 2 < found.high


def test_half_the_time_is_faster() -> None:
    assert compared(noisy(1, 30), noisy(2, 30, 0.5)).verdict is Verdict.FASTER


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize("rounds", [FEWEST_ROUNDS, 9, 10, 15, 20, 30, 40])
def test_identical_cases_have_a_winner_in_at_most_5_of_100_noisy_benchmarks(rounds: int, shape: str) -> None:
    found = verdicts(1.0, rounds, shape=shape)
    assert found[Verdict.SLOWER] + found[Verdict.FASTER] <= 5


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize(("spread", "rounds"), [(0.02, ROUNDS), (0.05, ROUNDS), (0.05, 100)])
def test_identical_cases_come_out_as_no_difference_in_95_of_100(spread: float, rounds: int, shape: str) -> None:
    enough = max(rounds, 40) if shape == "heavy-tailed" else rounds
    assert verdicts(1.0, enough, spread, shape)[Verdict.NO_DIFFERENCE] >= 95


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize(("effect", "rounds"), [(1.05, 20), (1.05, ROUNDS), (1.1, ROUNDS), (1.05, 100)])
def test_no_difference_is_hardly_ever_said_of_one_beyond_the_interval(effect: float, rounds: int, shape: str) -> None:
    pairs = [
        (noisy(2 * seed, rounds, shape=shape), noisy(2 * seed + 1, rounds, effect, shape=shape)) for seed in range(100)
    ]
    found = [each for each in (compared(*pair) for pair in pairs) if each.verdict is Verdict.NO_DIFFERENCE]
    assert sum(1 for each in found if not each.low <= effect <= each.high) <= 3
    assert effect < 1 + BAND or len(found) <= 3


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize(("effect", "rounds"), [(1.2, 20), (1.1, 40), (1.05, 100)])
def test_smaller_difference_is_found_with_more_rounds(effect: float, rounds: int, shape: str) -> None:
    assert verdicts(effect, rounds, shape=shape)[Verdict.SLOWER] >= 95


@pytest.mark.parametrize("shape", NOISE)
def test_interval_of_few_rounds_holds_the_true_ratio(shape: str) -> None:
    pairs = [(noisy(2 * seed, 8, shape=shape), noisy(2 * seed + 1, 8, 1.5, shape=shape)) for seed in range(200)]
    held = [found.low <= 1.5 <= found.high for found in (compared(*pair) for pair in pairs)]
    assert sum(held) >= 0.98 * len(held)


def test_many_runs_in_many_rounds_are_compared_in_a_moment() -> None:
    chance = random.Random(1)
    base, other = ([Sample(place, chance.gauss(1, 0.05)) for place in range(300) for _ in range(100)] for _ in range(2))
    began = time.process_time()
    assert compare(base, other) is not None
    assert time.process_time() - began < 3  # to draw and sort all of them took 10 s


def test_thousands_of_rounds_are_drawn_by_neighbours() -> None:
    base, other = noisy(1, 20_001), noisy(2, 20_001, 1.01)
    found = compared(base, other)
    assert found.low < 1.01 < found.high
    assert found.high - found.low < 0.02


def test_no_winner_is_named_where_the_noise_is_larger_than_the_difference() -> None:
    found = compared(noisy(1, 10, spread=0.5), noisy(2, 10, 1.05, spread=0.5))
    assert found.verdict is Verdict.TOO_NOISY
    assert found.low < 1 < found.high


def test_too_few_rounds_name_no_winner() -> None:
    found = compared(steady(FEWEST_ROUNDS - 1, 1.0), steady(FEWEST_ROUNDS - 1, 2.0))
    assert found.verdict is Verdict.TOO_NOISY
    assert "too few" in found.why


def test_difference_below_one_percent_is_none() -> None:
    assert compared(steady(20, 1.0), steady(20, 1.005)).verdict is Verdict.NO_DIFFERENCE


def test_many_runs_in_few_rounds_are_still_few_rounds() -> None:
    assert compared(steady(3, *[1.0] * 50), steady(3, *[2.0] * 50)).verdict is Verdict.TOO_NOISY


def test_round_that_slowed_both_cases_cancels_out() -> None:
    chance = random.Random(3)
    waves = [chance.uniform(1, 4) for _ in range(40)]
    base = [Sample(number, wave) for number, wave in enumerate(waves)]
    other = [Sample(number, wave * 1.2) for number, wave in enumerate(waves)]
    assert compared(base, other).verdict is Verdict.SLOWER
    assert compared(base, other, paired=False).verdict is Verdict.TOO_NOISY


def drifting(seed: int, rounds: int) -> list[Sample]:
    """Samples that vary by 5 % in waves: each is like the one before it."""
    chance = random.Random(seed)
    state, samples = chance.gauss(0, 0.05), []
    for number in range(rounds):
        state = 0.8 * state + 0.6 * chance.gauss(0, 0.05)
        samples.append(Sample(number, math.exp(state)))
    return samples


def test_two_runs_that_drift_apart_are_rarely_5_percent_apart() -> None:
    pairs = [(drifting(2 * seed, 20), drifting(2 * seed + 1, 20)) for seed in range(100)]
    lows = [compared(before, now, paired=False).low for before, now in pairs]
    assert sum(low > 1 for low in lows) > 5
    assert sum(low > 1.05 for low in lows) <= 2


def test_ratio_is_of_the_rounds_that_its_interval_is_of() -> None:
    base = [Sample(number, 1.0 if number % 2 == 0 else 10.0) for number in range(20)]
    other = [Sample(number, 2.0 + number / 1000) for number in range(0, 20, 2)]
    found = compared(base, other)
    assert found.low <= found.ratio <= found.high
    assert found.ratio == pytest.approx(2.009)


def test_same_seed_gives_the_same_interval() -> None:
    base, other = noisy(1, 20), noisy(2, 20)
    assert compared(base, other, seed=4) == compared(base, other, seed=4)
    assert compared(base, other, seed=4) != compared(base, other, seed=5)


def test_comparison_with_nothing_is_none() -> None:
    assert compare([], [Sample(0, 1.0)]) is None
