"""Results -> plots as SVG that takes its colours from the page around it, or as PNG; drawn by matplotlib."""

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from wasmdock.errors import UnavailableError
from wasmdock.escaping import visible
from wasmdock.plot_canvas import New, Plot, drawing, fitting, plain, recolour, size_axis, time_axis, to_svg
from wasmdock.plot_curves import draw_density, draw_throughput
from wasmdock.plot_theme import INK, LIGHT, SERIES, VARIABLES
from wasmdock.report_tables import label, peak_median, phase_median, phase_names, seconds, size
from wasmdock.results import CaseResult, Results
from wasmdock.stats import seconds_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = ("first byte",)  # phases that are moments counted from the beginning, not parts of the whole
_PROGRAMS = {"wasm": SERIES[0], "native": SERIES[1], "command": SERIES[6]}
# Of SERIES; 6 is grey, for what is not told apart.
_PHASES = {"load": 0, "compile": 1, "map": 2, "instantiate": 3, "run": 4, "start": 5, "create": 7, "teardown": 8}
_MANY = 16
_DOTS = 200  # per case: each is an element of the page
_TITLE = 44  # characters in a line of a title


def draw_all(results: Results) -> list[Plot]:
    """Every plot there is something to show in. Raises UnavailableError where matplotlib is missing."""
    with drawing() as new:
        makers: Sequence[Callable[[Results, New], Plot | None]] = (
            _startup_log,
            _startup_linear,
            _distributions,
            _sizes,
            _memory,
            draw_density,
            draw_throughput,
        )
        return [plot for make in makers if (plot := make(results, new))]


def check_library() -> None:
    """Raise UnavailableError where matplotlib is missing."""
    with drawing():
        pass


def draw_png(results: Results) -> bytes:
    """The start-up plot as a PNG for a README, of many cases without the cold ones.

    Raises UnavailableError where no case succeeded, or matplotlib is missing.
    """
    if not _measured(results):
        has_run = any(case.samples or case.dropped for case in results.cases)
        hint = "to see why each failed, --export a FILE.json and show it by wasmdock report" if has_run else ""
        cause = "no case succeeded" if has_run else "nothing was measured"
        raise UnavailableError(f"drawing the start-up plot: {cause}, so there is nothing to draw", hint)
    warm = results.with_cases([case for case in results.cases if case.start != "cold"])
    title = textwrap.fill(f"{visible(results.subject)}: start-up", _TITLE, break_on_hyphens=False)
    with drawing() as new:
        figure = _bars(warm if len(_measured(results)) > _MANY and _measured(warm) else results, new, log=True)
        figure.suptitle(plain(title), fontsize=9, color=INK)
        recolour(figure, {colour: LIGHT[variable] for colour, variable in VARIABLES.items()})
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=300, facecolor="white", metadata={"Software": "wasmdock"})
        return out.getvalue()


def _measured(results: Results) -> list[CaseResult]:
    """The cases that succeeded, slowest first."""
    found = [(case.summary.median, case) for case in results.cases if case.summary]
    return [case for _, case in sorted(found, key=lambda pair: -pair[0])]


def _startup_log(results: Results, new: New) -> Plot | None:
    if not _measured(results):
        return None
    note = "Logarithmic: the same step to the right is the same factor, so parts of a bar cannot be compared by length."
    return _startup("Start-up, logarithmic", _bars(results, new, log=True), results, note)


def _startup_linear(results: Results, new: New) -> Plot | None:
    if not _measured(results):
        return None
    note = "Linear: lengths can be compared, and parts add up. Grey is time whose phase this road does not show."
    return _startup("Start-up, linear", _bars(results, new, log=False), results, note)


def _startup(title: str, figure: "Figure", results: Results, note: str) -> Plot:
    cases = _measured(results)
    told = ", ".join(f"{label(case)} {seconds(_median(case))}" for case in cases)
    alt = f"Bars of the median start-up time by phase: {told}."
    return Plot(title, alt, to_svg(figure, title), "Phases, medians", note)


def _median(case: CaseResult) -> float:
    found = case.summary
    return found.median if found else 0.0


def _bars(results: Results, new: New, *, log: bool) -> "Figure":
    """Stacked bars, the name of each above it, so that the plot fits a phone."""
    cases = _measured(results)
    names = [name for name in phase_names(results) if name not in MARKS]
    figure, axes = new(0.7 + 0.42 * len(cases))
    log = log and any(map(_median, cases))  # a logarithmic scale has no place for 0
    shortest = min(filter(None, map(_median, cases)), default=1e-9)
    start = shortest / 10 if log else 0.0
    longest = max(shortest, *map(_median, cases))
    for place, case in enumerate(cases):
        for left, right, colour in _segments(case, names):
            axes.barh(place, right - max(left, start), left=max(left, start), height=0.36, color=colour)
        _name(axes, place, label(case))
        _value(axes, _median(case), place, seconds(_median(case)))
    axes.set_xscale("log" if log else "linear")
    axes.set_xlim(start, longest * (4 if log else 1.2))
    axes.set_ylim(-0.5, len(cases) - 0.2)
    axes.set_yticks([])
    time_axis(axes.xaxis)
    _phase_legend(axes, [name for name in names if any(phase_median(case, name) for case in cases)])
    return figure


def _name(axes: "Axes", place: float, text: str) -> None:
    """Above a row, at the left edge."""
    axes.text(0.01, place + 0.24, fitting(text), transform=axes.get_yaxis_transform(), va="bottom").set_in_layout(False)


def _value(axes: "Axes", at: float, place: float, text: str) -> None:
    """Right of a bar's end."""
    axes.annotate(text, (at, place), (3, 0), textcoords="offset points", va="center")


def _segments(case: CaseResult, names: Sequence[str]) -> Iterable[tuple[float, float, str]]:
    """The parts of one bar; they are scaled to the median of the whole, and what no phase covers is grey."""
    whole = _median(case)
    parts = [(name, phase_median(case, name) or 0.0) for name in names]
    known = sum(value for _, value in parts)
    scale = whole / known if known > whole else 1.0
    at = 0.0
    for name, value in parts:
        if value:
            yield at, at + value * scale, _phase_colour(name)
            at += value * scale
    if whole - at > 0.001 * whole:
        yield at, whole, SERIES[6]


def _phase_colour(name: str) -> str:
    """The same in every plot, whichever phases it shows."""
    return SERIES[_PHASES.get(name, 8)]


def _phase_legend(axes: "Axes", names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=_phase_colour(name), label=name) for name in names]
    handles += [Patch(color=SERIES[6], label="not told apart")] if handles else []
    if handles:
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


def _distributions(results: Results, new: New) -> Plot | None:
    cases = _measured(results)
    if not cases:
        return None
    figure, axes = new(0.6 + 0.42 * len(cases))
    for place, case in enumerate(cases):
        _dots(axes, place, case)
    axes.use_sticky_edges = False  # a box would begin at the axis
    axes.set_xscale("log" if any(map(_median, cases)) else "linear")
    axes.set_yticks([])
    axes.set_ylim(-0.5, len(cases) - 0.2)
    time_axis(axes.xaxis)
    told = ", ".join(f"{label(case)} {_spread(case)}" for case in cases)
    note = f"A dot per run (at most {_DOTS}), the box from the 25th to the 75th percentile, a line at the median."
    return Plot(
        "Distributions", f"Runs as dots, logarithmic: {told}.", to_svg(figure, "distributions"), "Distributions", note
    )


def _spread(case: CaseResult) -> str:
    found = case.summary
    return f"from {seconds(found.p5)} to {seconds(found.p95)}" if found else ""


def _dots(axes: "Axes", place: int, case: CaseResult) -> None:
    found, values = case.summary, seconds_of(case.samples)
    if found is None:
        return
    colour = _PROGRAMS.get(case.program, SERIES[6])
    few = values[:: -(-len(values) // _DOTS)]
    spots = [place + 0.16 * ((number * 7919 % 100) / 50 - 1) for number in range(len(few))]
    axes.scatter(few, spots, s=6, color=colour, alpha=0.6, linewidths=0)
    axes.barh(place, found.p75 - found.p25, left=found.p25, height=0.36, fill=False, edgecolor=INK, linewidth=0.8)
    axes.plot([found.median] * 2, [place - 0.18, place + 0.18], color=INK, linewidth=1.6)
    _name(axes, place, label(case))


def _sizes(results: Results, new: New) -> Plot | None:
    names: dict[tuple[int, str], list[str]] = {}
    for case in results.cases:
        known = names.setdefault((case.sizes.get("packed", 0), case.program), [])
        known += [case.name] if case.name not in known else []
    rows = [
        (found[0] if len(found) == 1 else f"{program} ({len(found)} cases)", value, program)
        for (value, program), found in names.items()
    ]
    return _amounts("Image sizes", "Sizes", rows, new, "Packed: what is pulled and stored. Logarithmic scale.")


def _memory(results: Results, new: New) -> Plot | None:
    rows = []
    for case in results.cases:
        peak = peak_median(case)
        if peak is not None and (case.weights or case.start == "hot"):
            rows.append((label(case), peak, case.program))
    note = "The table says who counted: hot instances show their linear memory alone. Logarithmic scale."
    return _amounts("Peak memory", "Memory", rows, new, note)


def _amounts(title: str, table: str, rows: Sequence[tuple[str, int, str]], new: New, note: str) -> Plot | None:
    """Horizontal bars of bytes."""
    rows = sorted((row for row in rows if row[1] > 0), key=lambda row: -row[1])
    if not rows:
        return None
    figure, axes = new(0.5 + 0.4 * len(rows))
    start = min(row[1] for row in rows) / 10
    for place, (name, value, program) in enumerate(rows):
        axes.barh(place, value - start, left=start, height=0.36, color=_PROGRAMS.get(program, SERIES[6]))
        _name(axes, place, name)
        _value(axes, value, place, size(value))
    axes.set_xscale("log")
    axes.set_xlim(start, max(row[1] for row in rows) * 5)
    axes.set_ylim(-0.5, len(rows) - 0.2)
    axes.set_yticks([])
    size_axis(axes.xaxis)
    told = ", ".join(f"{name} {size(value)}" for name, value, _ in rows)
    return Plot(title, f"Bars: {told}.", to_svg(figure, title), table, note)
