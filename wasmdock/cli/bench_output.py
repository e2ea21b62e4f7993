"""Results -> stdout, files and the exit code, for bench and report alike."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from wasmdock import claims
from wasmdock.aside import write_output
from wasmdock.budget import judge, render
from wasmdock.cli import complain
from wasmdock.cli.context import Context
from wasmdock.errors import UnavailableError, UsageError, WasmdockError, cure_of
from wasmdock.escaping import visible
from wasmdock.report import (
    escape_markdown,
    failures,
    markdown_table,
    regressions,
    render_csv,
    render_markdown,
    render_text,
    sentence,
    text_bars,
    text_table,
    unjudged,
)
from wasmdock.report_ranking import ranking
from wasmdock.report_tables import Table
from wasmdock.results import Results, read_results, to_json
from wasmdock.stats import FEWEST_ROUNDS, rounds_of

ENDINGS = (".json", ".csv", ".md", ".html", ".png")
_DRAWN = (".html", ".png")
REGRESSED = 1
CI_ALLOWANCE = 0.05  # two runs of the same, minutes apart, differ by some percent: see test_stats


def check_exports(options: argparse.Namespace) -> None:
    """Complain about what cannot be done before minutes of measuring, not after. Raises UsageError."""
    for name in options.export:
        path = Path(name)
        if path.suffix not in ENDINGS:
            raise UsageError(f'exporting "{name}": no such form', f"end it in one of {' '.join(ENDINGS)}")
        if path.is_dir():
            raise UsageError(f'exporting "{name}": that is a folder', f'write "{name}/results{path.suffix}"')
        if not path.absolute().parent.is_dir():
            raise UsageError(f'exporting "{name}": there is no folder "{path.parent}"')
        if not os.access(path.absolute().parent, os.W_OK):
            raise UsageError(f'exporting "{name}": its folder cannot be written to', "choose another folder")
        if path.suffix in _DRAWN:
            import wasmdock.plots  # is matplotlib there?

            wasmdock.plots.check_library()
    _check_form(options)
    _check_gate(options)


def _check_form(options: argparse.Namespace) -> None:
    """Bars are for a terminal; Markdown and JSON have every table anyway, CSV none."""
    form = "md" if _is_markdown(options) else options.format
    for flag, is_given, forms in (
        ("--plot", options.plot, ("text",)),
        ("--full", options.full, ("text", "md", "json")),
    ):
        if is_given and form not in forms:
            raise UsageError(f"printing {form} with {flag}: it has none of that", f"leave {flag} out")


def check_base(base: str, results: Results) -> None:
    """Complain about a --base that is no case; one that this machine cannot measure is said to be left out."""
    names = list(dict.fromkeys(case.name for case in results.cases))
    if base and base not in [*names, *(each.what for each in results.left_out)]:
        raise UsageError(f'comparing with "{base}": there is no such case', f"--base one of: {'; '.join(names)}")


def _check_gate(options: argparse.Namespace) -> None:
    """What it is held against can be read; --ci with a baseline is a gate."""
    if options.ci and options.format in ("json", "csv"):
        raise UsageError(f"printing {options.format} with --ci: that prints Markdown", "leave one of them out")
    if options.ci and options.fail_above is None and options.baseline is not None:
        options.fail_above = CI_ALLOWANCE
    if options.fail_above is not None and options.baseline is None:
        raise UsageError("--fail-above has nothing to compare with", "give --baseline OLD.json")
    # Read now: --export may write to that very file.
    options.before = None if options.baseline is None else read_results(options.baseline)
    if hasattr(options, "rounds") and options.fail_above is not None and options.before is not None:
        _check_rounds(options, options.before)
    if options.claims is not None:
        claims.read_claims(options.claims)


def _check_rounds(options: argparse.Namespace, before: Results) -> None:
    """Complain, before measuring, about a gate that could only fail for want of rounds. Raises UsageError."""
    counts = [count for case in before.cases if (count := rounds_of(case.samples))]
    baseline = max(counts, default=FEWEST_ROUNDS)
    for what, rounds, hint in (
        ("a gate", options.rounds, f"give --rounds {FEWEST_ROUNDS} or more"),
        (f'a gate against "{options.baseline}"', baseline, "measure the baseline anew, with more rounds"),
    ):
        if rounds is not None and rounds < FEWEST_ROUNDS:
            raise UsageError(f"{what} of {rounds} rounds: a verdict needs {FEWEST_ROUNDS} at least", hint)


def export(many: Sequence[Results], options: argparse.Namespace, context: Context) -> None:
    """Write every file asked for, each whole or not at all. Raises UnavailableError."""
    failed: list[WasmdockError] = []
    for path in map(Path, options.export):
        try:
            _write(path, _bytes(path.suffix, many, options))
        except WasmdockError as error:  # the others are written all the same
            failed.append(error)
        else:
            context.say(f"wasmdock: wrote {path}")
    for earlier in failed[:-1]:
        complain(earlier)
    if failed:
        raise failed[-1]


def _write(path: Path, data: bytes) -> None:
    try:
        write_output(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UnavailableError:
    """What to say where results cannot be kept."""
    return UnavailableError(f'writing "{path}": {error.strerror or error}', cure_of(error))


def _bytes(ending: str, many: Sequence[Results], options: argparse.Namespace) -> bytes:
    """The newest results in the form of a file's ending; a page shows the history of all."""
    now = many[-1]
    if ending == ".png":
        from wasmdock.plots import draw_png

        return draw_png(now)
    if ending == ".html":
        from wasmdock.report_html import render_html

        return render_html(many, options.base).encode()
    if ending == ".md":
        return render_markdown(now, options.base).encode()
    return (to_json if ending == ".json" else render_csv)(now).encode()


def deliver(many: Sequence[Results], options: argparse.Namespace, context: Context) -> int:
    """Print the newest results, hold them against baseline and budgets, give the exit code."""
    now = many[-1]
    print(_text(now, options))
    _rank(many, options)
    if options.claims and options.format in ("text", "md"):
        _print_lines(claims.sentences(claims.read_claims(options.claims), now), options)
    return max(_hold_baseline(now, options, context), _hold_budgets(now, options, context))


def _rank(many: Sequence[Results], options: argparse.Namespace) -> None:
    said = ranking(many) if len(many) > 1 and options.format in ("text", "md") else []
    if said:
        _print_lines(said, options)


def _hold_baseline(now: Results, options: argparse.Namespace, context: Context) -> int:
    earlier: Results | None = options.before
    if earlier is None:
        return 0
    compared, worse = regressions(earlier, now, options.fail_above or 0.0)
    failed, unknown = failures(earlier, now), unjudged(earlier, now)
    mark = "- " if _is_markdown(options) else ""
    if options.format in ("text", "md"):
        print(f"\n{'### ' if mark else ''}{_shown(f'against {options.baseline}', options)}")
        said = [*map(sentence, compared), *failed, *(unknown if options.fail_above is not None else ())]
        print("\n".join(f"{mark}{_shown(each, options)}" for each in said) or f"{mark}no case in common")
    if options.fail_above is None:
        return 0
    for each in worse:
        context.say(f"wasmdock: slower than allowed: {sentence(each)}")
    for line in failed:
        context.say(f"wasmdock: not as before: {line}")
    for line in unknown:
        context.say(f"wasmdock: no gate: {line}")
    return REGRESSED if worse or failed or unknown else 0


def _hold_budgets(now: Results, options: argparse.Namespace, context: Context) -> int:
    judged = [judge(budget, now) for budget in options.budget]
    if judged and options.format in ("text", "md"):
        _print_table(Table("Budgets", ("budget", "figure", "met"), tuple(map(render, judged))), options)
    for each in judged:
        if not each.met:
            context.say(f"wasmdock: budget not met: {each.budget.text}: {each.figure}")
    return 0 if all(each.met for each in judged) else REGRESSED


def _print_lines(lines: Sequence[str], options: argparse.Namespace) -> None:
    mark = "- " if _is_markdown(options) else ""
    print("\n" + "\n".join(f"{mark}{_shown(line, options)}" for line in lines))


def _print_table(table: Table, options: argparse.Namespace) -> None:
    print(f"\n{markdown_table(table) if _is_markdown(options) else text_table(table)}")


def _shown(line: str, options: argparse.Namespace) -> str:
    return escape_markdown(line) if _is_markdown(options) else visible(line)


def _is_markdown(options: argparse.Namespace) -> bool:
    return bool(options.ci) or options.format == "md"


def _text(results: Results, options: argparse.Namespace) -> str:
    if _is_markdown(options):
        return render_markdown(results, options.base).rstrip()
    if options.format == "json":
        return to_json(results).rstrip()
    if options.format == "csv":
        return render_csv(results).rstrip()
    text = render_text(results, options.base, full=options.full)
    return f"{text_bars(results)}\n\n{text}" if options.plot else text
