"""wasmdock invoke: one exported function of a Wasm library, called with values from the command line."""

import argparse
import difflib
import json
import sys
from typing import Any

from wasmdock.cli.context import Context
from wasmdock.cli.limits import limits_of
from wasmdock.cli.run import hold_to_grant, interruptible, leave, report_result
from wasmdock.cli.source import find_image, wanted_of
from wasmdock.code_cache import CodeCache
from wasmdock.engine import Engine, Grants
from wasmdock.engine.call import MAKERS, Library, Signature, load_library
from wasmdock.errors import GuestError, UsageError
from wasmdock.inprocess import blame_limits, judge, stopped
from wasmdock.oci.fields import shown
from wasmdock.pack import extract
from wasmdock.runtime import Limits, Outcome, RunResult
from wasmdock.stack import with_stack
from wasmdock.values import format_result, parse_argument
from wasmdock.wasm_sniff import Form, form_of
from wasmdock.watch import Guard
from wasmdock.wit import Wit
from wasmdock.wit_values import parse_wit, to_json

_LONGEST_TYPE = 1000  # characters in a list of exports


def invoke(options: argparse.Namespace, context: Context) -> int:
    """Call the export in a fresh instance and print what it gives."""
    image = find_image(options.image, context, wanted_of(options)).image
    data = extract(image)
    hold_to_grant(image, options)
    limits = limits_of(options)
    cache = CodeCache(context.code_cache)
    engine = Engine(cache, limits.fuel is not None, limits.stack, options.compile_time)
    library = load_library(engine, data, form_of(data) is Form.COMPONENT)
    name = find_export(library, options.export)
    signature = library.functions[name]
    args = parse_arguments(name, signature, options.args)
    results: list[Any] = []
    result = interruptible(lambda: _call(library, name, args, limits, results, data))
    if result.outcome is Outcome.EXITED and not result.message:
        _print(signature, results, options)
    return report_result(result)


def _call(library: Library, name: str, args: list[Any], limits: Limits, results: list[Any], data: bytes) -> RunResult:
    guard = Guard(limits.timeout, on_stuck=lambda guard: leave(judge(stopped(guard), limits)))
    grants = Grants(argv=(name,), memory=limits.memory, tables=limits.tables, fuel=limits.fuel)
    ending, values = with_stack(limits.stack, lambda: library.call(name, args, grants, guard))
    results.extend(values)
    return judge(blame_limits(ending, limits, data), limits)


def find_export(library: Library, wanted: str) -> str:
    """The export's full name: as given, or the one function of an interface that ends so."""
    if wanted in library.functions:
        return wanted
    short = [name for name in library.functions if name.rpartition("#")[2] == wanted]
    if len(short) == 1:
        return short[0]
    there = sorted(library.functions)
    close = difflib.get_close_matches(wanted, there, 1)
    guess = f"did you mean {close[0]}? " if close else ""
    listed = "\n".join(f"{name}{_type_of(library, name)}" for name in there[:50]) or "none"
    raise GuestError(f'invoking "{wanted}": no such export', f"{guess}it exports:\n{listed}")


def _type_of(library: Library, name: str) -> str:
    try:
        return shown(library.functions[name], _LONGEST_TYPE)
    except GuestError:  # it is too large, which matters to nobody who has not asked for this one
        return "(...)"


def parse_arguments(name: str, signature: Signature, texts: list[str]) -> list[Any]:
    """The values of what was typed, by the function's type. Raises UsageError."""
    if len(texts) != len(signature.params):
        raise UsageError(
            f'invoking "{name}": {len(texts)} arguments given, {len(signature.params)} wanted',
            f"its type is {name}{signature}",
        )
    pairs = enumerate(zip(texts, signature.params, strict=True), 1)
    return [_argument(text, kind, f"argument {label or number}") for number, (text, (label, kind)) in pairs]


def _argument(text: str, kind: "str | Wit", what: str) -> Any:
    if isinstance(kind, Wit):
        return parse_wit(text, kind, what, MAKERS)
    return parse_argument(text, kind, what)


def _print(signature: Signature, results: list[Any], options: argparse.Namespace) -> None:
    """Results one to a line, or as one JSON list."""
    pairs = list(zip(results, signature.results, strict=True))
    if options.format == "json":
        print(json.dumps([_as_json(value, kind, options.unsigned) for value, kind in pairs], ensure_ascii=False))
        return
    for value, kind in pairs:
        print(_as_text(value, kind, options.unsigned))
    sys.stdout.flush()


def _as_json(value: Any, kind: "str | Wit", unsigned: bool) -> Any:
    if isinstance(kind, Wit):
        return to_json(value, kind)
    text = format_result(value, kind, unsigned)
    return int(text) if kind in ("i32", "i64") else value if isinstance(value, float) else text


def _as_text(value: Any, kind: "str | Wit", unsigned: bool) -> str:
    if not isinstance(kind, Wit):
        return format_result(value, kind, unsigned)
    plain = to_json(value, kind)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
