"""wasmdock doctor: what is wrong with this machine, and the command that cures it."""

import argparse
import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.cli.proof import forget_proof, record_proof
from wasmdock.cli.toolchain import ca_bundle
from wasmdock.doctor import Examination, examine, fix, fixes, render, to_json
from wasmdock.errors import UsageError


def doctor(options: argparse.Namespace, context: Context) -> int:
    """Examine, show, and with --fix cure what is safe; 0 where a Wasm guest runs on at least one road."""
    examination = _examine(context)
    if options.fix and _cure(examination, context):
        examination = _examine(context)
    if options.format == "json":
        print(json.dumps(to_json(examination)))
    else:
        print(render(examination))
    return 0 if examination.works else 1


def _examine(context: Context) -> Examination:
    cache, data = _folder(lambda: context.cache), _folder(lambda: context.data)
    examination = examine(context.environment, cache, data, ca_bundle(context))
    with suppress(UsageError):  # without a folder there is nothing to remember it in, and the page says so
        if examination.facts.docker.works:
            record_proof(context)
        elif examination.facts.docker.works is False:
            forget_proof(context)
    return examination


def _folder(find: Callable[[], Path]) -> Path | None:
    """A folder of wasmdock's; None where no variable names it, which is for the page to say."""
    try:
        return find()
    except UsageError:
        return None


def _cure(examination: Examination, context: Context) -> bool:
    """Say and run each safe cure; whether any ran."""
    cures = list(fixes(examination.findings))
    for finding, argv in cures:
        context.say(f"wasmdock: {finding.subject}: {finding.text}\n    runs: {shlex.join(argv)}")
        failure = fix(argv, context.environment)
        context.say(f"    it did not work: {failure}" if failure else "    done")
    if not cures:
        context.say("wasmdock: nothing here can be cured without you")
    return bool(cures)
