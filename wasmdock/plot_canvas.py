"""What every plot is drawn on: matplotlib set up for the page, its axes, and the figure as SVG; and what a plot is."""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wasmdock.errors import UnavailableError
from wasmdock.escaping import visible
from wasmdock.plot_theme import GRID, INK, themed
from wasmdock.report_tables import seconds, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches and points: on a phone, where the plot is some 360 CSS pixels wide, TEXT is more than 10 of them high.
_WIDTH = 3.5
TEXT = 7.5
_LONGEST = 50  # characters of TEXT that fit the width
_FEW = 5  # labels of an axis that stand beside one another


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture with the text that stands for it, and the title of the table that says the same."""

    title: str
    alt: str
    svg: str
    table: str
    note: str = ""


New = Callable[[float], "tuple[Figure, Axes]"]


@contextmanager
def drawing() -> Iterator[New]:
    """What makes a figure with axes, of so many inches of height. Raises UnavailableError without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        cure = "in a clone of wasmdock: pip install '.[bench]'; anywhere: pip install matplotlib"
        raise UnavailableError("drawing plots: matplotlib is not installed", cure) from error
    style: Any = {  # matplotlib types its keys as a list of some 300 literals
        "svg.fonttype": "none",
        "svg.hashsalt": "wasmdock",
        "font.size": TEXT,
        "legend.fontsize": TEXT,
        "legend.frameon": False,
        "legend.handlelength": 1.2,
        "legend.columnspacing": 1.2,
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.minor.visible": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.labelcolor": INK,
    }

    def new(height: float) -> "tuple[Figure, Axes]":
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.grid(True, color=GRID, linewidth=0.5)
        axes.set_axisbelow(True)
        return figure, axes

    with matplotlib.rc_context(style):
        yield new


def time_axis(axis: Any) -> None:
    """Write seconds for people."""
    _few_ticks(axis)
    axis.set_major_formatter(lambda value, _place: "0" if value == 0 else _short(seconds(value)))


def size_axis(axis: Any) -> None:
    """Write bytes for people."""
    _few_ticks(axis)
    axis.set_major_formatter(lambda value, _place: _short(size(round(value))))


def fitting(text: str) -> str:
    """A name that is no wider than the plot."""
    text = visible(text)
    return plain(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026")


def plain(text: str) -> str:
    """A text that matplotlib takes as it is: between dollar signs it sees a formula, and `_` hides a legend's entry."""
    return text.replace("$", r"\$") if not text.startswith("_") else plain(f" {text}")


def _few_ticks(axis: Any) -> None:
    """So few that labels do not run into one another; and never a single one, which would tell no scale."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if axis.get_scale() == "log" else 0.0
    axis.set_minor_formatter(NullFormatter())
    if decades < 1:
        axis.set_major_locator(MaxNLocator(_FEW))
        axis.set_minor_locator(NullLocator())
    elif decades < _FEW / 2:
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))


def _short(text: str) -> str:
    """`10.0 ms` -> `10 ms`: ticks are round numbers."""
    number, _, unit = text.partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def recolour(figure: "Figure", colours: Mapping[str, str]) -> None:
    """Give every artist its real colour, for pictures that have no style sheet."""
    from matplotlib.colors import to_hex

    for artist in figure.findobj():
        for kind in ("color", "facecolor", "edgecolor"):
            getter, setter = getattr(artist, f"get_{kind}", None), getattr(artist, f"set_{kind}", None)
            if getter is None or setter is None:
                continue
            try:
                found = colours.get(to_hex(getter()))
            except (ValueError, TypeError):
                continue
            if found:
                setter(found)


def to_svg(figure: "Figure", name: str) -> str:
    """The figure as an SVG element for a page: see `themed`."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return themed(out.getvalue(), name)
