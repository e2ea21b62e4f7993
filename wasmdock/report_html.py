"""Results -> one HTML page that needs nothing else: plots, a table under each, readable in the dark and on a phone."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from wasmdock.escaping import visible
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
@media print { :root { color-scheme: light; --paper: #ffffff; --soft: #ffffff; LIGHT }
  details::details-content { content-visibility: visible; block-size: auto } summary { display: none }
  svg, .wide { break-inside: avoid } svg { max-height: 20cm } .again { display: none }
  h2 { break-after: avoid } body { max-width: none; padding: 0 } }
body { margin: 0 auto; max-width: 54rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem }
figure { margin: 0 } svg { width: 100%; max-width: 32rem; height: auto; display: block }
figcaption, footer { font-size: .85rem }
.wide { overflow-x: auto; margin: .5rem 0; background:
  linear-gradient(to left, var(--paper) 1rem, transparent) right / 2rem 100% no-repeat local,
  linear-gradient(to left, var(--grid), transparent) right / .6rem 100% no-repeat }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap }
th:first-child { text-align: left; white-space: normal; min-width: 7.5rem; max-width: 20rem }
@media (max-width: 40rem) { th:first-child { max-width: 9rem }
  th, td { padding: .25rem .35rem } h1 { font-size: 1.25rem } ul { padding-left: 1.2rem } }
@media print { .wide { overflow: visible; background: none } table { font-size: .65rem }
  th, td { padding: .15rem .25rem } th { white-space: normal } }
thead { background: var(--soft) } summary { cursor: pointer }
li { margin: .2rem 0 } code { background: var(--soft); padding: .1rem .3rem; overflow-wrap: anywhere }
"""


def render_html(many: Sequence[Results], base: str = "") -> str:
    """The newest of these benchmarks as a page, with the history of all. Raises UnavailableError without matplotlib."""
    now = many[-1]
    overview, *others = tables(now, base) or [Table("nothing measured", ("case",), ())]
    found, plots = {table.title: table for table in others}, draw_all(now)
    drawn = {plot.table for plot in plots}
    history, title = draw_history(many), _title(now)
    parts = [
        f"<h1>{_safe(title)}</h1>",
        f"<p>Measured {_moment(now.created)} by wasmdock bench.</p>",
        _table(overview),
        f"<ul>{_items(sentences(now, base))}</ul>",
        *_figures(plots, {**found, "": overview}),
        *([_figure(history, history_table(many))] if history else []),
        *(f"<h2>{_safe(table.title)}</h2>\n{_numbers(table)}" for table in others if table.title not in drawn),
        f"<footer><h2>What this rests on</h2><ul>{_items(_facts(now))}</ul></footer>",
    ]
    return _page(title, "\n".join(parts))


def _title(results: Results) -> str:
    programs = {case.program for case in results.cases}
    names = [name for program, name in (("wasm", "Wasm"), ("native", "native")) if program in programs]
    return ": ".join([results.subject, " and ".join(names)] if names else [results.subject]) + ", measured"


def _moment(created: str) -> str:
    """RFC 3339 for programs, and for people: `2026-01-02 03:04 UTC`."""
    text = f"{created[:16].replace('T', ' ')} UTC" if created.endswith("+00:00") else created
    return f'<time datetime="{_safe(created)}">{_safe(text)}</time>'


def _safe(text: str) -> str:
    """Text for a page, with what is no character of a page written out."""
    return escape(visible(text))


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
    return [*machine, *(line for line in footing(results) if not line.startswith("machine: "))]


def _figures(plots: Sequence[Plot], found: Mapping[str, Table]) -> list[str]:
    """Each plot with its table; where there is none of that title, with the one that is named by nothing."""
    titles = [plot.table if plot.table in found else "" for plot in plots]
    return [
        _figure(plot, found[title], again=title in titles[:place])
        for place, (plot, title) in enumerate(zip(plots, titles, strict=True))
    ]


def _figure(plot: Plot, table: Table, *, again: bool = False) -> str:
    """With its table, which is printed once where two plots share it."""
    svg = plot.svg.replace("<svg", f'<svg role="img" aria-label="{_safe(plot.alt)}"', 1)
    note = f"<figcaption>{_safe(plot.note)}</figcaption>" if plot.note else ""
    return f"<h2>{_safe(plot.title)}</h2>\n<figure>{svg}{note}{_numbers(table, again)}</figure>"


def _numbers(table: Table, again: bool = False) -> str:
    marked = ' class="again"' if again else ""
    return f"<details{marked}><summary>The numbers</summary>{_table(table)}</details>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_safe(name)}</th>' for name in table.columns)
    body = "\n".join(f"<tr>{_cells(row)}</tr>" for row in table.rows)
    note = f"<p><small>{_safe(table.note)}</small></p>" if table.note else ""
    caption = f"<caption hidden>{_safe(table.title)}</caption>"
    inner = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{_safe(table.title)}">{inner}</div>{note}'


def _cells(row: Sequence[str]) -> str:
    first, *rest = (_safe(cell) for cell in row)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest)


def _items(lines: Iterable[str]) -> str:
    """A list; the command that repeats it all is set as code."""
    texts = (line.partition("again: ") for line in lines)
    words = (
        f"{label}<code>{_safe(rest)}</code>" if label and not first else _safe(first + label + rest)
        for first, label, rest in texts
    )
    return "\n".join(f"<li>{text}</li>" for text in words)


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
<title>{_safe(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
