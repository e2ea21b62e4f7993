"""wasmdock compose lint: the file read, looked at, findings printed."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.cli.compose_project import sources_of
from wasmdock.cli.context import Context
from wasmdock.compose import image_name, load_stack
from wasmdock.compose_lint import ERROR, Finding, View, find_traps
from wasmdock.digits import read_digits
from wasmdock.errors import UsageError, WasmdockError
from wasmdock.wasm_sniff import World, sniff

if TYPE_CHECKING:
    from wasmdock.compose import Stack


def report(options: argparse.Namespace, context: Context) -> int:
    """Print findings; 1 where one is an error. A file that cannot be read at all is one finding."""
    findings = _findings(options, context)
    if options.format == "json":
        print(json.dumps([asdict(each) for each in findings]))
    else:
        for each in findings:
            print(f"{each.file}:{each.line}: {each.level}: {each.message}")
            if each.hint:
                print(f"    try: {each.hint}")
        context.say(f"wasmdock: {len(findings)} finding{'' if len(findings) == 1 else 's'}")
    return int(any(each.level == ERROR for each in findings))


def _findings(options: argparse.Namespace, context: Context) -> list[Finding]:
    home = context.environment.get("HOME", "/")
    sources = sources_of(options, context)
    try:
        stack = load_stack(sources, name=options.project_name, profiles=["*"], home=home, lenient=True)
    except UsageError as error:
        place, _, message = error.message.partition(": ")
        file, _, line = place.rpartition(":")
        number = read_digits(line)
        if number is None:
            raise
        return [Finding(ERROR, file, number, message, error.hint)]
    return find_traps(View(stack, _worlds(stack, context)))


def _worlds(stack: "Stack", context: Context) -> dict[str, World]:
    """What the images that are in the store already are for; nothing is built or pulled to find out."""
    from wasmdock.pack import extract

    found = {}
    for service in stack.services:
        if service.is_wasm and Path(context.data / "images").is_dir():
            try:
                found[service.name] = sniff(extract(context.store.get(image_name(stack, service))))[1]
            except WasmdockError:
                continue
    return found
