"""Results -> tables: medians, distributions, phases, sizes, memory, density, throughput; amounts written for people."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wasmdock.results import CaseResult, Results

STARTS = ("cold", "warm", "hot")
UNKNOWN = "unknown"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; the first column names the row, the rest are amounts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def seconds(value: float | None) -> str:
    """Seconds for people, three digits: `58.2 us`, `4.31 ms`, `1.23 s`."""
    if value is None:
        return UNKNOWN
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(value) >= 0.9995 * factor:
            return f"{_three(value / factor)} {unit}"
    return f"{value * 1e9:.0f} ns"


def size(value: int | None) -> str:
    """Bytes for people, in powers of 1000: `19.1 kB`, `30 MB`."""
    if value is None:
        return _NONE
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if value >= factor:
            return f"{_three(value / factor)} {unit}"
    return f"{value} B"


def times(ratio: float) -> str:
    """A ratio for people: `4,310`, `12.3`, `1.05`."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def base_name(results: Results, wanted: str = "", subject: str = "") -> str:
    """The case that the cases of a subject are compared with.

    It is the one named, else the subject's first native one, else its first; a case of no subject takes the first of
    all.
    """
    names = [case.name for case in results.cases]
    if wanted in names:
        return wanted
    own = [case for case in results.cases if case.subject == subject] if subject else list(results.cases)
    native = [case.name for case in own if case.program == "native" and case.summary]
    return (native or [case.name for case in own] or [""])[0]


def label(case: CaseResult) -> str:
    """A case as people know it: `wasm, in-process (hot)`."""
    return f"{case.name} ({case.start})"


def tables(results: Results, base: str = "") -> list[Table]:
    """Every table there is something to say in, the main one first."""
    made = [
        _overview(results, base),
        _details(results),
        _phases(results),
        _sizes(results),
        _parts(results),
        _memory(results),
    ]
    return [*(table for table in made if table.rows), *asked_tables(results)]


def asked_tables(results: Results) -> list[Table]:
    """The tables of what is measured only where it was asked for."""
    return [table for table in (_density(results), _throughput(results)) if table.rows]


def _overview(results: Results, wanted: str) -> Table:
    """One row per case with size and median of each start."""
    starts = [start for start in STARTS if any(case.start == start for case in results.cases)]
    subjects = {case.name: case.subject for case in results.cases}
    digests = {case.name: case.digest for case in results.cases}
    rows = []
    for name in _names(results):
        base = base_name(results, wanted, subjects[name])
        against = _first_size(results, base, "packed")
        packed = _first_size(results, name, "packed")
        is_base = name == base or (packed == against and digests[name] and digests[name] == digests.get(base))
        smaller = _share(packed, against) if against and packed and not is_base else _NONE
        cells = [_median(results.case(name, start)) for start in starts]
        rows.append((name, size(packed), smaller, *cells))
    only_commands = all(case.road == "command" for case in results.cases)
    columns = ("case", "image", "of base", *("median" if only_commands else f"{start} start" for start in starts))
    has_sizes = any(row[1] != _NONE for row in rows)
    if not has_sizes:
        columns, rows = (columns[0], *columns[3:]), [(row[0], *row[3:]) for row in rows]
    return Table(f"{results.subject}: medians", columns, tuple(rows), "" if only_commands else _explain(starts))


def _share(packed: int, against: int) -> str:
    """`1/1,460` of the base, `2.50 x` where it is larger, or `the same`."""
    if packed == against:
        return "the same"
    return f"1/{times(against / packed)}" if packed <= against else f"{times(packed / against)} x"


def _explain(starts: Sequence[str]) -> str:
    words = {
        "cold": "cold: image not loaded, code not compiled",
        "warm": "warm: image loaded, compiled code kept",
        "hot": "hot: a fresh instance in a running process",
    }
    return "; ".join(words[start] for start in starts)


def _names(results: Results) -> list[str]:
    return list(dict.fromkeys(case.name for case in results.cases))


def _first_size(results: Results, name: str, what: str) -> int | None:
    return next((case.sizes[what] for case in results.cases if case.name == name and what in case.sizes), None)


def _median(case: CaseResult | None) -> str:
    if case is None:
        return _NONE
    if case.summary:
        return seconds(case.summary.median)
    return "failed" if case.samples or case.dropped else "not measured"


def _details(results: Results) -> Table:
    rows = []
    for case in results.cases:
        found = case.summary
        if found is None:
            continue
        marks = (str(found.n), str(found.failures), str(len(found.outliers)))
        spread = (found.minimum, found.p5, found.median, found.p95, found.p99, found.maximum, found.mad)
        rows.append((label(case), *(seconds(value) for value in spread), *marks))
    columns = ("case", "min", "5 %", "median", "95 %", "99 %", "max", "mad", "runs", "failed", "outliers")
    return Table("Distributions", columns, tuple(rows), "outliers are marked and kept in every number")


# In the order they happen; the last one is a moment, counted from the beginning.
PHASES = ("load", "create", "compile", "start", "map", "instantiate", "run", "teardown", "first byte")


def phase_names(results: Results) -> list[str]:
    """Every phase that any case saw, in the order they happen."""
    seen = dict.fromkeys(name for case in results.cases for sample in case.samples[:50] for name in sample.phases)
    return [*(name for name in PHASES if name in seen), *(name for name in seen if name not in PHASES)]


def phase_median(case: CaseResult, phase: str) -> float | None:
    """The median seconds of one phase; None where it cannot be seen."""
    found = [sample.phases.get(phase) for sample in case.samples if not sample.failure]
    values = [value for value in found if value is not None]
    return statistics.median(values) if values else None


def _phases(results: Results) -> Table:
    names = phase_names(results)
    rows = tuple((label(case), *(_phase_cell(case, name) for name in names)) for case in results.cases if case.summary)
    note = "unknown: this road does not show it; -: no part of this start"
    return Table("Phases, medians", ("case", *names), rows if names else (), note)


def _phase_cell(case: CaseResult, phase: str) -> str:
    found = phase_median(case, phase)
    return _NONE if found is None and not _takes_part(case, phase) else seconds(found)


def _takes_part(case: CaseResult, phase: str) -> bool:
    """Whether a start goes through a phase at all, as far as can be known without having seen it."""
    if phase in ("load", "create", "start", "teardown"):
        return any(phase in sample.phases for sample in case.samples)
    if phase in ("compile", "map"):
        return case.program == "wasm" and case.start == ("cold" if phase == "compile" else "warm")
    return phase != "instantiate" or case.program == "wasm"


def _sizes(results: Results) -> Table:
    names = list(dict.fromkeys(what for case in results.cases for what in case.sizes))
    rows = []
    for name in _names(results):
        sizes = [_first_size(results, name, what) for what in names]
        if any(value is not None for value in sizes):
            packed = _first_size(results, name, "packed")
            rows.append((name, *(size(value) for value in sizes), *_pull_times(packed)))
    columns = ("case", *names, *(f"over {speed}" for speed, _ in _LINKS))
    return Table("Sizes", columns, tuple(rows), "times over a link are computed from the packed size, not measured")


def _parts(results: Results) -> Table:
    rows = []
    seen: list[Mapping[str, int]] = []  # the same image on another road
    for case in results.cases:
        if case.parts not in seen:
            seen.append(case.parts)
            rows += [(f"{case.name}: {part}", size(value)) for part, value in case.parts.items()]
    return Table("Layers and sections", ("part", "bytes"), tuple(rows), "layers as they are sent, sections as they are")


_LINKS = (("10 Mbit/s", 10e6 / 8), ("100 Mbit/s", 100e6 / 8), ("1 Gbit/s", 1e9 / 8))


def _pull_times(packed: int | None) -> list[str]:
    return [seconds(packed / speed) if packed is not None else _NONE for _, speed in _LINKS]


LINEAR = "linear memory"


def peaks(case: CaseResult) -> list[int]:
    """Peak bytes of its runs, lowest first: of those that were weighed, else the linear memory of each."""
    weighed = [weight.peak for weight in case.weights]
    seen = weighed or [sample.memory for sample in case.samples if not sample.failure]
    return sorted(value for value in seen if value is not None)


def peak_median(case: CaseResult) -> int | None:
    """The median of its peaks, one of them: of two the lower; None where none was seen."""
    values = peaks(case)
    return statistics.median_low(values) if values else None


def _memory(results: Results) -> Table:
    rows, notes = [], []
    shown: set[str] = set()  # linear memory is the same however warm the start
    for case in results.cases:
        values = [] if case.name in shown else peaks(case)
        shown |= {case.name} if values and not case.weights else set()
        steady = sorted(weight.steady for weight in case.weights if weight.steady is not None)
        if values:
            by, _, meaning = (case.weighed_by or LINEAR).partition(": ")
            rest = size(statistics.median_low(steady)) if steady else _NONE
            rows.append((label(case), size(peak_median(case)), size(values[-1]), rest, by))
            notes += [f"{by}: {meaning}"] if meaning else []
    rested = ["at rest: once it has answered its first request"] if any(row[3] != _NONE for row in rows) else []
    note = "; ".join([*rested, *dict.fromkeys(notes)])
    return Table("Memory", ("case", "peak, median", "highest", "at rest", "counted by"), tuple(rows), note)


HELD = (
    "held, in-process: instances that are kept, with all their memory, after their command has ended; "
    "in containers: programs that wait for input or serve"
)


def _density(results: Results) -> Table:
    rows = []
    for each in results.density:
        # Results of earlier versions may end with a point beyond the limit.
        within = [point for point in each.curve if point[1] <= each.limit] or [(0, 0, 0.0)]
        count, used, took = within[-1]
        rows.append((each.name, f"{count:,}", size(used), size(each.per_instance), seconds(took), each.ended))
    columns = ("case", "held at once", "memory", "each", "to start them", "ended by")
    return Table("Density", columns, tuple(rows), HELD)


def _throughput(results: Results) -> Table:
    rows = tuple(
        (
            f"{each.name}, {each.concurrency} at once",
            f"{each.per_second:,.1f}",
            *(seconds(value) for value in (each.p50, each.p95, each.p99)),
            str(each.failures),
        )
        for each in results.throughput
    )
    return Table("Throughput", ("case", "per second", "50 %", "95 %", "99 %", "failed"), rows)
