"""Results -> stdout, files and the exit code, for bench and report alike."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.errors import UsageError
from wasmdock.report import (
    regressions,
    render_csv,
    render_markdown,
    render_text,
    sentence,
)
from wasmdock.results import Results, read_results, to_json

ENDINGS = (".json", ".csv", ".md")
REGRESSED = 1


def check_exports(options: argparse.Namespace) -> None:
    """Complain about a file that could not be written before minutes of measuring, not after. Raises UsageError."""
    for name in options.export:
        path = Path(name)
        if path.suffix not in ENDINGS:
            raise UsageError(f'exporting "{name}": no such form', f"end it in one of {' '.join(ENDINGS)}")
        if not path.absolute().parent.is_dir():
            raise UsageError(f'exporting "{name}": there is no folder "{path.parent}"')
    if options.fail_above is not None and options.baseline is None:
        raise UsageError("--fail-above has nothing to compare with", "give --baseline OLD.json")
    if options.baseline is not None:
        read_results(options.baseline)


def export(results: Results, options: argparse.Namespace, context: Context) -> None:
    """Write every file asked for. Raises UsageError."""
    for name in options.export:
        path = Path(name)
        text = {".json": to_json, ".csv": render_csv, ".md": render_markdown}[path.suffix](results)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f'writing "{path}": {error.strerror}') from error
        context.say(f"wasmdock: wrote {path}")


def deliver(many: Sequence[Results], options: argparse.Namespace, context: Context) -> int:
    """Print the newest results, hold them against the baseline, give the exit code."""
    now = many[-1]
    print(_text(now, options))
    if options.baseline is None:
        return 0
    compared, worse = regressions(read_results(options.baseline), now, options.fail_above or 0.0)
    mark = "- " if options.ci or options.format == "md" else ""
    if options.format in ("text", "md"):
        print(f"\n{'### ' if mark else ''}against {options.baseline}")
        print("\n".join(f"{mark}{sentence(each)}" for each in compared) or f"{mark}no case in common")
    if options.fail_above is None or not worse:
        return 0
    for each in worse:
        context.say(f"wasmdock: slower than allowed: {sentence(each)}")
    return REGRESSED


def _text(results: Results, options: argparse.Namespace) -> str:
    if options.ci or options.format == "md":
        return render_markdown(results, options.base).rstrip()
    if options.format == "json":
        return to_json(results).rstrip()
    if options.format == "csv":
        return render_csv(results).rstrip()
    return render_text(results, options.base, full=options.full)
