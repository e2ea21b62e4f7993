"""The samples as they come: a live table on a terminal, silence elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wasmdock.bench import Case, Plan
from wasmdock.cli.context import Context
from wasmdock.report_tables import seconds
from wasmdock.results import Results
from wasmdock.stats import Sample, quantile

Show = Callable[[Case, Sample], None]
_PER_SECOND = 4


@contextmanager
def live(results: Results, cases: Sequence[Case], plan: Plan, context: Context) -> Iterator[Show]:
    """Show samples while they come: by rich where it is installed, else a line that is written over."""
    if not context.is_terminal or context.quiet:
        yield lambda _case, _sample: None
        return
    board = Board(results.subject, cases, plan)
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        with _line(board) as show:
            yield show
        return
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as display:
        yield _slowly(board, lambda: display.update(_table(board), refresh=True))


class Board:
    """What has come so far."""

    def __init__(self, subject: str, cases: Sequence[Case], plan: Plan) -> None:
        """Start with a row per case."""
        self.subject, self.plan, self.round = subject, plan, 0
        self.values: dict[tuple[str, str], list[float]] = {case.describe.key: [] for case in cases}
        self.failures = dict.fromkeys(self.values, 0)

    def add(self, case: Case, sample: Sample) -> None:
        """Take one sample."""
        self.round = sample.round + 1
        if sample.failure:
            self.failures[case.describe.key] += 1
        else:
            self.values[case.describe.key].append(sample.seconds)

    def progress(self) -> str:
        """`round 3 of 20`."""
        return f"round {self.round}" + (f" of {self.plan.rounds}" if self.plan.rounds else "")

    def rows(self) -> list[tuple[str, ...]]:
        """Case, median, 5 % and 95 %, runs, failures."""
        made = []
        for key, values in self.values.items():
            ordered = sorted(values)
            cells = [seconds(quantile(ordered, share)) if ordered else "" for share in (0.5, 0.05, 0.95)]
            made.append((f"{key[0]} ({key[1]})", *cells, str(len(values)), str(self.failures[key] or "")))
        return made


def _slowly(board: Board, draw: Callable[[], None]) -> Show:
    """Draw a few times a second: drawing between samples costs time and warms the wrong caches."""
    drawn = 0.0

    def show(case: Case, sample: Sample) -> None:
        nonlocal drawn
        board.add(case, sample)
        if time.monotonic() - drawn > 1 / _PER_SECOND:
            draw()
            drawn = time.monotonic()

    return show


def _table(board: Board) -> Any:
    from rich.table import Table

    table = Table(title=f"{board.subject}: {board.progress()}")
    for place, name in enumerate(("case", "median", "5 %", "95 %", "runs", "failed")):
        table.add_column(name, justify="right" if place else "left")
    for row in board.rows():
        table.add_row(*row)
    return table


@contextmanager
def _line(board: Board) -> Iterator[Show]:
    def draw() -> None:
        print(f"\r{board.subject}: {board.progress()}\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        yield _slowly(board, draw)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
