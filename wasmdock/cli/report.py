"""wasmdock report: earlier results, shown again and compared."""

import argparse

from wasmdock.cli.bench_output import check_base, check_exports, deliver, export
from wasmdock.cli.context import Context
from wasmdock.results import read_results


def report(options: argparse.Namespace, context: Context) -> int:
    """Show the last of the files; with several, each is held against the one before."""
    if options.baseline is None and len(options.files) > 1:
        options.baseline = options.files[-2]
    check_exports(options)
    many = [read_results(path) for path in options.files]
    check_base(options.base, many[-1])
    code = deliver(many, options, context)
    export(many, options, context)
    return code
