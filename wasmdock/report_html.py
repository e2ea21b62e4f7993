"""Results -> one HTML page that needs nothing else: plots, a table under each, readable in the dark and on a phone."""

from collections.abc import Iterable, Sequence
from html import escape

from wasmdock.plot_canvas import Plot
from wasmdock.plot_curves import draw_history
from wasmdock.plot_theme import DARK, LIGHT
from wasmdock.plots import draw_all
from wasmdock.report import footing, sentences
from wasmdock.report_tables import Table, seconds, tables
from wasmdock.results import Results

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --soft: #f3f5f7; LIGHT }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --soft: #1f242a; DARK } }
@media print { :root { --paper: #ffffff; --soft: #ffffff; LIGHT } figure { break-inside: avoid } }
body { margin: 0 auto; max-width: 54rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem }
figure { margin: 0 } svg { width: 100%; height: auto; display: block }
figcaption, footer { font-size: .85rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .5rem 0 }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
@media (max-width: 40rem) { th:first-child { white-space: normal; min-width: 7.5rem; max-width: 9rem }
  th, td { padding: .25rem .35rem } h1 { font-size: 1.25rem } ul { padding-left: 1.2rem } }
thead { background: var(--soft) } summary { cursor: pointer }
li { margin: .2rem 0 } code { background: var(--soft); padding: .1rem .3rem; overflow-wrap: anywhere }
"""


def render_html(many: Sequence[Results], base: str = "") -> str:
    """The newest of these benchmarks as a page, with the history of all. Raises UnavailableError without matplotlib."""
    now = many[-1]
    found = {table.title: table for table in tables(now, base)}
    overview, *_ = [*found.values(), Table("nothing measured", ("case",), ())]
    history = draw_history(many)
    parts = [
        f"<h1>{escape(now.subject)}: Wasm and native, measured</h1>",
        f'<p>Measured <time datetime="{escape(now.created)}">{escape(now.created)}</time> by wasmdock bench.</p>',
        _table(overview),
        f"<ul>{_items(sentences(now, base))}</ul>",
        *(_figure(plot, found.get(plot.table)) for plot in draw_all(now)),
        *([_figure(history, history_table(many))] if history else []),
        f"<footer><h2>What this rests on</h2><ul>{_items(_facts(now))}</ul></footer>",
    ]
    return _page(f"{now.subject}: Wasm and native, measured", "\n".join(parts))


def history_table(many: Sequence[Results]) -> Table:
    """The medians of each case, a column per benchmark."""
    keys = dict.fromkeys(case.key for results in many for case in results.cases)
    rows = []
    for key in keys:
        cases = [results.case(*key) for results in many]
        medians = [case.summary.median if case and case.summary else None for case in cases]
        rows.append((f"{key[0]} ({key[1]})", *("-" if value is None else seconds(value) for value in medians)))
    return Table("History", ("case", *(results.created[:16] for results in many)), tuple(rows))


def _facts(results: Results) -> list[str]:
    machine = [f"{key}: {value}" for key, value in results.environment.items() if value]
    return [*machine, *footing(results)[1:]]


def _figure(plot: Plot, table: Table | None) -> str:
    svg = plot.svg.replace("<svg", f'<svg role="img" aria-label="{escape(plot.alt)}"', 1)
    shown = f"<details><summary>The numbers</summary>{_table(table)}</details>" if table else ""
    note = f"<figcaption>{escape(plot.note)}</figcaption>" if plot.note else ""
    return f"<h2>{escape(plot.title)}</h2>\n<figure>{svg}{note}{shown}</figure>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    body = "\n".join(f"<tr>{_cells(row)}</tr>" for row in table.rows)
    note = f"<p><small>{escape(table.note)}</small></p>" if table.note else ""
    caption = f"<caption hidden>{escape(table.title)}</caption>"
    inner = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title)}">{inner}</div>{note}'


def _cells(row: Sequence[str]) -> str:
    first, *rest = (escape(cell) for cell in row)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest)


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"<li>{escape(line)}</li>" for line in lines)


def _page(title: str, body: str) -> str:
    style = _STYLE
    for name, colours in (("LIGHT", LIGHT), ("DARK", DARK)):
        style = style.replace(name, " ".join(f"{variable}: {colour};" for variable, colour in colours.items()))
    # No page can be asked for anything, whatever a case is called: the policy forbids every request.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
