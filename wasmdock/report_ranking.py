"""Several results of the same cases -> whether they rank them alike; a pair too close to call breaks no ranking."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from wasmdock.report_tables import label
from wasmdock.results import CaseResult, Results
from wasmdock.stats import Verdict, compare

_Key = tuple[str, str]


def ranking(many: Sequence[Results]) -> list[str]:
    """What there is to say of the order of the medians in these results, in which a case is ranked among its app's."""
    pairs = list(_pairs(many))
    cases = len({key for pair in pairs for key in pair})
    moved = [pair for pair in pairs if len({_is_faster(results, *pair) for results in many}) > 1]
    against = [pair for pair in moved if _contradict(many, *pair)]
    said = [f"ranked otherwise: {_names(many[-1], pair)}" for pair in against]
    said += [f"too close to rank: {_names(many[-1], pair)}" for pair in moved if pair not in against]
    if pairs and not against:
        said.insert(0, f"the same ranking of {cases} cases in {len(many)} benchmarks")
    return said


def _pairs(many: Sequence[Results]) -> Iterator[tuple[_Key, _Key]]:
    """Every two cases of one app that all of the results have."""
    common = [case for case in many[-1].cases if all(_median(results, case.key) is not None for results in many)]
    for one, other in combinations(common, 2):
        if one.subject == other.subject:
            yield one.key, other.key


def _median(results: Results, key: _Key) -> float | None:
    case = results.case(*key)
    return case.summary.median if case and case.summary else None


def _is_faster(results: Results, one: _Key, other: _Key) -> bool:
    return (_median(results, one) or 0.0) < (_median(results, other) or 0.0)


def _contradict(many: Sequence[Results], one: _Key, other: _Key) -> bool:
    """Whether one benchmark is sure of what another is sure that it is not."""
    verdicts = set()
    for results in many:
        comparison = compare(_case(results, one).samples, _case(results, other).samples, seed=results.seed)
        verdicts |= {comparison.verdict} if comparison else set()
    return {Verdict.FASTER, Verdict.SLOWER} <= verdicts


def _case(results: Results, key: _Key) -> CaseResult:
    return next(case for case in results.cases if case.key == key)


def _names(results: Results, pair: tuple[_Key, _Key]) -> str:
    return " and ".join(label(_case(results, key)) for key in pair)
