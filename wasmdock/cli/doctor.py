"""wasmdock doctor: what is wrong with this machine, and the command that cures it."""

import argparse
import json
import shlex

from wasmdock.cli.context import Context
from wasmdock.cli.proof import forget_proof, record_proof
from wasmdock.cli.toolchain import ca_bundle
from wasmdock.doctor import Examination, examine, fix, fixes, render, to_json


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
    examination = examine(context.environment, context.cache, ca_bundle(context), context.data)
    if examination.facts.docker.works:
        record_proof(context)
    elif examination.facts.docker.works is False:
        forget_proof(context)
    return examination


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
