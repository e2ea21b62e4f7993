"""Results -> curves: how much memory how many take, how many run per second, and medians over several benchmarks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wasmdock.plot_canvas import New, Plot, drawing, fitting, size_axis, time_axis, to_svg
from wasmdock.plot_theme import SERIES
from wasmdock.report_tables import HELD, size
from wasmdock.results import Results
from wasmdock.stats import quantile, seconds_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = "os^Dv"
_BELOW, _ROW = 3.2, 0.16  # inches of height: of the curves, and of a row of the legend


def _look(place: int) -> Any:
    """Colour and mark of a line; where the colours begin again, another mark."""
    turn, colour = divmod(place, len(SERIES))
    return {"color": SERIES[colour], "marker": _MARKS[turn % len(_MARKS)], "markersize": 3}


def draw_history(many: Sequence[Results]) -> Plot | None:
    """The medians of each case over several benchmarks, oldest first; None for fewer than two."""
    keys = list(dict.fromkeys(case.key for results in many for case in results.cases if case.summary))
    if len(many) < 2 or not keys:
        return None
    with drawing() as new:
        figure, axes = new(_BELOW + _ROW * len(keys))
        for place, key in enumerate(keys):
            _history_line(axes, many, key, place)
        axes.set_yscale("log")
        time_axis(axes.yaxis)
        axes.set_xticks(range(len(many)), [results.created[:10] for results in many], rotation=30, ha="right")
        figure.legend(loc="outside lower left")
        alt = f"Medians of {len(keys)} cases over {len(many)} benchmarks, from {many[0].created} to {many[-1].created}."
        note = "Lines join medians; bars reach from the 5th to the 95th percentile."
        return Plot("History", alt, to_svg(figure, "history"), "History", note)


def draw_density(results: Results, new: New) -> Plot | None:
    """Memory against instances held, a line per case; None without any that logarithmic axes have a place for."""
    curves = [[(count, used) for count, used, _ in each.curve if count and used] for each in results.density]
    if not any(curves):
        return None
    figure, axes = new(_BELOW + _ROW * len(curves))
    for place, (each, points) in enumerate(zip(results.density, curves, strict=True)):
        counts, used = [point[0] for point in points], [point[1] for point in points]
        axes.plot(counts, used, label=fitting(each.name), **_look(place))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:,g}")
    axes.set_xlabel("held at once")
    axes.set_ylabel("memory")
    size_axis(axes.yaxis)
    figure.legend(loc="outside upper left")
    told = ", ".join(f"{each.name} {size(each.per_instance)} each" for each in results.density)
    return Plot("Density", f"Memory in use against instances held: {told}.", to_svg(figure, "density"), "Density", HELD)


def draw_throughput(results: Results, new: New) -> Plot | None:
    """Runs per second against how many at once, a line per case; None where none succeeded."""
    names = list(dict.fromkeys(each.name for each in results.throughput))
    if not any(each.per_second for each in results.throughput):
        return None
    figure, axes = new(_BELOW + _ROW * len(names))
    for place, name in enumerate(names):
        found = [each for each in results.throughput if each.name == name and each.per_second]
        counts, rates = [each.concurrency for each in found], [each.per_second for each in found]
        axes.plot(counts, rates, label=fitting(name), **_look(place))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    tried = sorted({each.concurrency for each in results.throughput})
    axes.set_xticks(tried, [str(count) for count in tried])
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,g}")
    axes.set_xlabel("at once")
    axes.set_ylabel("per second")
    figure.legend(loc="outside upper left")
    told = ", ".join(f"{each.name} {each.per_second:,.0f} at {each.concurrency}" for each in results.throughput)
    return Plot("Throughput", f"Runs per second: {told}.", to_svg(figure, "throughput"), "Throughput")


def _history_line(axes: "Axes", many: Sequence[Results], key: tuple[str, str], number: int) -> None:
    places, medians, below, above = [], [], [], []
    for place, results in enumerate(many):
        case = results.case(*key)
        ordered = sorted(seconds_of(case.samples)) if case else []
        if ordered:
            middle = quantile(ordered, 0.5)
            places.append(place)
            medians.append(middle)
            below.append(middle - quantile(ordered, 0.05))
            above.append(quantile(ordered, 0.95) - middle)
    label = fitting(f"{key[0]} ({key[1]})")
    axes.errorbar(places, medians, (below, above), label=label, linewidth=1, **_look(number))
