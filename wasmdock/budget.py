"""What a benchmark must reach: `native, slim / wasm, in-process >= 1000` -> a figure, and whether it is met."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wasmdock.errors import UsageError
from wasmdock.report_tables import PHASES, phase_median, seconds, size, times
from wasmdock.results import CaseResult, Results

_FORM = re.compile(r"(?P<figure>.+?)\s*(?P<sign><=|>=)\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z%]*)")
_SIZES: Mapping[str, str] = {"size": "packed", "unpacked size": "unpacked", "program size": "program"}
_TERM = re.compile(rf"(?:(?P<what>{'|'.join([*_SIZES, *PHASES])}) of )?(?P<name>.+?)(?: \((?P<start>cold|warm|hot)\))?")
_TIME, _BYTES, _RATIO = "a time", "a size", "a ratio"
_UNITS: Mapping[str, Mapping[str, float]] = {
    _RATIO: {"": 1.0, "%": 0.01},
    _TIME: {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0},
    _BYTES: {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
}
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}
_HINT = "write --budget 'wasm, in-process (hot) <= 100us' or --budget 'size of A / size of B >= 500'"


@dataclass(frozen=True, slots=True)
class Term:
    """What of a case: a size by its name in CaseResult.sizes, a phase's median seconds, or, empty, those of the whole.

    An empty start takes the hottest there is.
    """

    name: str
    start: str
    what: str = ""

    @property
    def is_size(self) -> bool:
        """Whether it is bytes."""
        return self.what in _SIZES.values()

    @property
    def kind(self) -> str:
        """What it may be held against: `a size` or `a time`."""
        return _BYTES if self.is_size else _TIME


@dataclass(frozen=True, slots=True)
class Budget:
    """One line: a figure (a term, or two joined by `/` or `-`) and the limit it must keep to."""

    text: str
    first: Term
    join: str
    second: Term | None
    sign: str
    limit: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A budget held against results: the figure for people, and whether it is met; None where it is unknown."""

    budget: Budget
    figure: str
    met: bool | None


def parse_budget(text: str) -> Budget:
    """Read one budget. Raises UsageError, also where figure and limit are of different kinds."""
    doing, match = f'reading budget "{text}"', _FORM.fullmatch(text.strip())
    kind = next((kind for kind, units in _UNITS.items() if match and match["unit"] in units), None)
    if match is None or kind is None:
        raise UsageError(f"{doing}: not FIGURE <= LIMIT or FIGURE >= LIMIT", _HINT)
    parts = re.split(r" ([/-]) ", match["figure"])
    if len(parts) not in (1, 3):
        raise UsageError(f"{doing}: more than two terms", _HINT)
    first, second = _term(parts[0]), _term(parts[2]) if len(parts) == 3 else None
    join = parts[1] if second else ""
    if second and first.kind != second.kind:
        raise UsageError(f"{doing}: {first.kind} and {second.kind} have nothing in common", _HINT)
    figure = _RATIO if join == "/" else first.kind
    if figure != kind:
        units = ", ".join(unit or "no unit" for unit in _UNITS[figure])
        raise UsageError(f"{doing}: the figure is {figure}, the limit is {kind}", f"write a limit in one of: {units}")
    return Budget(text.strip(), first, join, second, match["sign"], float(match["limit"]) * _UNITS[kind][match["unit"]])


def judge(budget: Budget, results: Results) -> Judged:
    """Hold one budget against the medians and sizes of a benchmark."""
    first = _value(budget.first, results)
    second = _value(budget.second, results) if budget.second else None
    if first is None or (budget.second and not second):
        return Judged(budget, "unknown", None)
    if budget.join == "/" and second:
        figure, shown = first / second, times(first / second)
    else:
        figure = first - (second or 0.0)
        shown = size(round(figure)) if budget.first.is_size else seconds(figure)
    return Judged(budget, shown, _SIGNS[budget.sign](figure, budget.limit))


def render(judged: Judged) -> tuple[str, str, str]:
    """Its row: the budget, the figure, and `met`, `NOT MET` or `unknown`."""
    word = {True: "met", False: "NOT MET", None: "unknown"}[judged.met]
    return (judged.budget.text, judged.figure, word)


def _term(text: str) -> Term:
    match = _TERM.fullmatch(text.strip())
    if match is None:
        raise UsageError(f'reading budget: "{text}" names no case', _HINT)
    what = match["what"] or ""
    return Term(match["name"], match["start"] or "", _SIZES.get(what, what))


def _value(term: Term, results: Results) -> float | None:
    for start in (term.start,) if term.start else ("hot", "warm", "cold"):
        case = results.case(term.name, start)
        value = _of(case, term) if case else None
        if value is not None:
            return value
    return None


def _of(case: CaseResult, term: Term) -> float | None:
    if term.is_size:
        return case.sizes.get(term.what)
    if term.what:
        return phase_median(case, term.what)
    return case.summary.median if case.summary else None
