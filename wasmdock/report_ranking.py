"""Several results of the same cases -> whether they rank them alike; a pair too close to call breaks no ranking."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from wasmdock.escaping import visible
from wasmdock.report_tables import label
from wasmdock.results import CaseResult, Results
from wasmdock.stats import FEWEST_ROUNDS, Verdict, compare, rounds_of

_Key = tuple[str, str]
_Cases = Mapping[_Key, CaseResult]


def ranking(many: Sequence[Results]) -> list[str]:
    """What there is to say of the order of the medians in these results, in which a case is ranked among its app's.

    It begins with `the same ranking of ...` only where no benchmark is sure of what another denies. A case that is
    missing somewhere, or has too few rounds for a verdict, is named and not ranked.
    """
    every = [{case.key: case for case in results.cases} for results in many]
    left_out = _left_out(every)
    pairs = _pairs([case for key, case in every[-1].items() if key not in left_out])
    if not pairs:
        return ["no ranking can be compared: no two cases of one app can be ranked", *left_out.values()]
    moved = _moved(pairs, every)
    seeds = [results.seed for results in many]
    against = [pair for pair in moved if _contradict(pair, every, seeds)]
    said = [f"ranked otherwise: {_names(pair, every)}" for pair in against]
    said += [f"too close to rank: {_names(pair, every)}" for pair in moved if pair not in against]
    if not against:
        said.insert(
            0, f"the same ranking of {len({key for pair in pairs for key in pair})} cases in {len(many)} benchmarks"
        )
    return [*said, *left_out.values()]


def _left_out(every: Sequence[_Cases]) -> dict[_Key, str]:
    """A line for every case that cannot be ranked in all of the results."""
    said = {}
    for key in dict.fromkeys(key for cases in every for key in cases):
        found = [cases.get(key) for cases in every]
        counts = [rounds_of(case.samples) if case else 0 for case in found]
        name = visible(next(label(case) for case in found if case))
        if missing := counts.count(0):
            said[key] = f"not ranked: {name}: it was not measured in {missing} of {len(every)} benchmarks"
        elif min(counts) < FEWEST_ROUNDS:
            said[key] = f"not ranked: {name}: {min(counts)} rounds are too few to tell: {FEWEST_ROUNDS} at least"
    return said


def _pairs(ranked: Sequence[CaseResult]) -> list[tuple[_Key, _Key]]:
    """Every two cases of one app."""
    return [(one.key, other.key) for one, other in combinations(ranked, 2) if one.subject == other.subject]


def _moved(pairs: Sequence[tuple[_Key, _Key]], every: Sequence[_Cases]) -> list[tuple[_Key, _Key]]:
    """The pairs whose medians are not in the same order everywhere."""
    medians = [{key: case.summary.median if case.summary else 0.0 for key, case in cases.items()} for cases in every]
    return [(one, other) for one, other in pairs if len({each[one] < each[other] for each in medians}) > 1]


def _contradict(pair: tuple[_Key, _Key], every: Sequence[_Cases], seeds: Sequence[int]) -> bool:
    """Whether one benchmark is sure of what another is sure that it is not."""
    found = [
        compare(*(cases[key].samples for key in pair), seed=seed) for cases, seed in zip(every, seeds, strict=True)
    ]
    return {Verdict.FASTER, Verdict.SLOWER} <= {comparison.verdict for comparison in found if comparison}


def _names(pair: tuple[_Key, _Key], every: Sequence[_Cases]) -> str:
    return visible(" and ".join(label(every[-1][key]) for key in pair))
