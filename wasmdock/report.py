"""Results -> sentences and whole reports: text for a terminal, Markdown for a pull request, CSV for a spreadsheet."""

import csv
import io
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from wasmdock.escaping import visible
from wasmdock.report_tables import Table, asked_tables, base_name, label, phase_names, seconds, tables, times
from wasmdock.results import CaseResult, Results
from wasmdock.stats import CONFIDENCE, FEWEST_ROUNDS, Comparison, Verdict, compare, rounds_of


@dataclass(frozen=True, slots=True)
class Contrast:
    """One case against the base case of the same benchmark, or against itself in an earlier one."""

    case: CaseResult
    base: CaseResult
    comparison: Comparison


def contrasts(results: Results, base: str = "") -> list[Contrast]:
    """Every case against the base of the same start; a start that the base lacks is held against its warm one."""
    found = []
    for case in results.cases:
        name = base_name(results, base, case.subject)
        fallback = results.case(name, "warm") or next((each for each in results.cases if each.name == name), None)
        against = results.case(name, case.start) or fallback
        if case.name == name or against is None:
            continue
        comparison = compare(against.samples, case.samples, seed=results.seed)
        if comparison:
            found.append(Contrast(case, against, comparison))
    return found


def regressions(earlier: Results, now: Results, allowed: float) -> tuple[list[Contrast], list[Contrast]]:
    """Every case against itself in an earlier benchmark: all, and those slower by more than `allowed` (0.1 is 10 %).

    One counts as slower only where its whole interval lies beyond the allowance: noise does not.
    """
    found = []
    for case in now.cases:
        before = earlier.case(case.name, case.start)
        comparison = compare(before.samples, case.samples, seed=now.seed, paired=False) if before else None
        if before and comparison:
            found.append(Contrast(case, before, comparison))
    slower = [each for each in found if each.comparison.verdict is Verdict.SLOWER]
    return found, [each for each in slower if each.comparison.low > 1 + allowed]


def unjudged(earlier: Results, now: Results) -> list[str]:
    """A sentence for every case of both that no verdict can be given for: too few rounds, here or there."""
    said = []
    for case in now.cases:
        before = earlier.case(*case.key)
        counts = [rounds_of(each.samples) for each in (before, case) if each and each.summary]
        if len(counts) == 2 and min(counts) < FEWEST_ROUNDS:
            where = "before" if counts[0] < counts[1] else "now"
            said.append(f"{label(case)} has {min(counts)} rounds {where}, and a verdict needs {FEWEST_ROUNDS} at least")
    return list(map(visible, said))


def failures(earlier: Results, now: Results) -> list[str]:
    """A sentence for every case of an earlier benchmark that has gone, or that fails now more than twice as often."""
    said = [(before, _why_no_longer(before, now)) for before in earlier.cases if before.summary]
    return [visible(f"{label(before)} {why}") for before, why in said if why]


def _why_no_longer(before: CaseResult, now: Results) -> str:
    case = now.case(*before.key)
    if case is None:
        why = next((each.why for each in now.left_out if each.what == before.name), "")
        return f"is no longer measured: {why or 'there is no case of that name'}"
    if case.dropped:
        return f"is given up now: {case.dropped}"
    failed = [sample.failure for sample in case.samples if sample.failure]
    once = sum(1 for sample in before.samples if sample.failure)
    if case.summary and len(failed) * len(before.samples) <= 2 * once * len(case.samples):
        return ""
    told = f", before in {once} of {len(before.samples)}" if once else ""
    return f"fails now in {len(failed)} of {len(case.samples)} runs{told}: {failed[-1] if failed else 'there was none'}"


def sentence(contrast: Contrast) -> str:
    """What a comparison allows to say, in one line."""
    comparison, case, base = contrast.comparison, *(visible(label(each)) for each in (contrast.case, contrast.base))
    base = "before" if base == case else base
    if comparison.verdict is Verdict.TOO_NOISY:
        return (
            f"{case} and {base} cannot be told apart{comparison.why and ': '}{comparison.why or _between(comparison)}"
        )
    if comparison.verdict is Verdict.NO_DIFFERENCE:
        pair = case if base == "before" else f"{case} and {base}"
        return f"{pair}: no difference beyond {_reach(comparison)} %{_between(comparison)}"
    return f"{case} is {_how_much(comparison)} than {base}"


def _how_much(comparison: Comparison) -> str:
    if comparison.verdict is Verdict.FASTER:
        low, high = (_inverse(value) for value in (comparison.high, comparison.low))
        return f"{times(_inverse(comparison.ratio))} times faster ({times(low)} to {times(high)})"
    return f"{times(comparison.ratio)} times slower ({times(comparison.low)} to {times(comparison.high)})"


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else float("inf")


def _reach(comparison: Comparison) -> int:
    """Whole per cent that hold the interval on both sides."""
    return max(1, math.ceil(100 * max(1 - comparison.low, comparison.high - 1)))


def _between(comparison: Comparison) -> str:
    """The interval as what is added to the base: ` (between -1.2 % and +3.4 %)`."""
    low, high = (100 * (value - 1) for value in (comparison.low, comparison.high))
    return f" (between {low:+,.1f} % and {high:+,.1f} %)"


def sentences(results: Results, base: str = "") -> list[str]:
    """Everything there is to say: comparisons, what was dropped or left out, what interrupted."""
    said = _compared(contrasts(results, base))
    said += _busy(results)
    said += [f"{label(case)} was given up: {case.dropped}" for case in results.cases if case.dropped]
    said += [why for case in results.cases if (why := _failed(case))]
    said += [f"left out: {each.what}: {each.why}" for each in results.left_out]
    said += ["interrupted: these are the results so far"] if results.interrupted else []
    return list(map(visible, said))


def _failed(case: CaseResult) -> str:
    """What is said of runs that failed, of a case that was not given up for them; empty where none did."""
    why = [sample.failure for sample in case.samples if sample.failure]
    if not why or case.dropped:
        return ""
    return f"{label(case)}: {len(why)} of {len(case.samples)} runs failed and are not timed: {why[-1]}"


def _compared(found: list[Contrast]) -> list[str]:
    """A sentence per contrast; those without a winner for one and the same reason share one."""
    reasons = [each.comparison.why for each in found if each.comparison.why]
    shared = [why for why in dict.fromkeys(reasons) if reasons.count(why) > 2]
    said = [sentence(each) for each in found if each.comparison.why not in shared]
    return said + [f"{reasons.count(why)} comparisons name no winner: {why}" for why in shared]


def _busy(results: Results) -> list[str]:
    """A warning where more than half of the machine was used in the minute before the first sample."""
    try:
        load, cores = float(results.environment.get("load", "")), int(results.environment.get("cores", ""))
    except ValueError:
        return []
    if load <= cores / 2:  # to build the cases is some of it
        return []
    return [f"warning: the machine was busy (load {load:g} on {cores} cores): run it again when it is quiet"]


def footing(results: Results) -> list[str]:
    """What the numbers rest on: machine, seed, overhead."""
    machine = ", ".join(f"{key} {value}" for key, value in results.environment.items() if value and key != "page cache")
    rounds = max((sample.round + 1 for case in results.cases for sample in case.samples), default=0)
    order = f"{rounds} rounds, the cases of each in an order shuffled by seed {results.seed}"
    said = [
        *([f"machine: {machine}"] if machine else []),
        f"{order}; measuring adds {seconds(results.overhead)} to each run",
        f"intervals: {CONFIDENCE * 100:g} %, by bootstrap over the rounds",
        *(f"{label(case)}: {case.detail}" for case in results.cases if case.detail and case.start == "cold"),
        *([f"again: {shlex.join(results.command)}"] if results.command else []),
    ]
    return list(map(visible, said))


def render_text(results: Results, base: str = "", *, full: bool = False) -> str:
    """What a terminal shows: the overview, what was asked for, what it means and rests on; with `full` every table."""
    chosen = tables(results, base) if full else [*tables(results, base)[:1], *asked_tables(results)]
    blocks = [text_table(table) for table in chosen]
    blocks += ["\n".join(lines) for lines in (sentences(results, base), footing(results))]
    return "\n\n".join(block for block in blocks if block)


def text_bars(results: Results, width: int = 50) -> str:
    """Bars of the medians on a logarithmic scale, for a terminal."""
    medians = [(label(case), case.summary.median) for case in results.cases if case.summary]
    found = [(visible(name), median) for name, median in medians if median]  # a logarithmic scale has no place for 0
    if not found:
        return ""
    shortest, longest = min(value for _, value in found) / 2, max(value for _, value in found)
    widest = max(len(name) for name, _ in found)
    lines = ["Medians, logarithmic"]
    for name, value in sorted(found, key=lambda pair: pair[1]):
        share = math.log(value / shortest) / math.log(longest / shortest)
        lines.append(f"{name:<{widest}}  {'#' * max(1, round(share * width))} {seconds(value)}")
    return "\n".join(lines)


def text_table(table: Table) -> str:
    """Aligned columns, the amounts to the right."""
    lines = [tuple(map(visible, line)) for line in (table.columns, *table.rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.columns))]
    text = [visible(table.title)] if table.title else []
    for line in lines:
        first, *rest = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text.append("  ".join([first, *rest]).rstrip())
    return "\n".join([*text, *([f"({visible(table.note)})"] if table.note else [])])


def render_markdown(results: Results, base: str = "", *, full: bool = True) -> str:
    """Markdown for a README or a pull request; the tables after the first are folded away."""
    first, *rest = tables(results, base) or [Table("nothing measured", ("case",), ())]
    parts = [f"### {escape_markdown(first.title)}", markdown_table(first)]
    parts.append("\n".join(f"- {escape_markdown(line)}" for line in sentences(results, base)))
    if full:
        folded = [(escape_markdown(table.title), markdown_table(table)) for table in rest]
        parts += [f"<details><summary>{title}</summary>\n\n{table}\n\n</details>" for title, table in folded]
    parts.append("\n".join(f"<sub>{escape_markdown(line)}</sub><br>" for line in footing(results)))
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(table: Table) -> str:
    """A table of GitHub's Markdown, amounts to the right."""
    marks = [":--", *("--:" for _ in table.columns[1:])]
    first, *rest = (_row(map(escape_markdown, row)) for row in (table.columns, *table.rows))
    lines = [first, _row(marks), *rest]
    return "\n".join([*lines, *([f"\n{escape_markdown(table.note)}"] if table.note else [])])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Without what would be a tag, a link, a picture or the end of a cell; a page is anybody's to read."""
    text = visible(text)
    for char in "\\|[":
        text = text.replace(char, f"\\{char}")
    return text.replace("<", "&lt;")


def render_csv(results: Results) -> str:
    """A line per sample: case, start, program, road, round, seconds, memory, failure, and a column per phase."""
    names = phase_names(results)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fixed = ("case", "start", "program", "road", "round", "seconds", "memory", "failure")
    writer.writerow([*fixed, *(f"phase {visible(name)}" for name in names)])
    for case in results.cases:
        for sample in case.samples:
            own = [*map(visible, (case.name, case.start, case.program, case.road)), sample.round, sample.seconds]
            phases = [sample.phases.get(name) for name in names]
            cells = [*own, sample.memory, visible(sample.failure), *phases]
            writer.writerow(["" if cell is None else cell for cell in cells])
    return out.getvalue()
