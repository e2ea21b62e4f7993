"""A library as a case: one export called in a fresh instance."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wasmdock.bench import Case
from wasmdock.cli.bench_cold import Read
from wasmdock.cli.invoke import find_export, parse_arguments
from wasmdock.code_cache import CodeCache
from wasmdock.engine import Engine, Grants
from wasmdock.engine.call import load_library
from wasmdock.inprocess import judge
from wasmdock.interrupts import Interrupts
from wasmdock.oci.image import Image
from wasmdock.pack import extract
from wasmdock.results import CaseResult
from wasmdock.runtime import Limits, RunResult
from wasmdock.wasm_sniff import Form, form_of
from wasmdock.watch import Guard

Call = Callable[[], RunResult]


def prepare_call(image: Image, export: str, texts: list[str], cache: Path | None) -> Call:
    """Compile a library, or fetch its compiled code, and give what calls the export in a fresh instance.

    What it gives is the run's stdout. Raises GuestError for no such export, UsageError for arguments of another type.
    """
    data = extract(image)
    library = load_library(Engine(CodeCache(cache) if cache else None), data, form_of(data) is Form.COMPONENT)
    name = find_export(library, export)
    args, limits = parse_arguments(name, library.functions[name], texts), Limits()
    grants = Grants(argv=(name,), memory=limits.memory, tables=limits.tables)

    def call() -> RunResult:
        guard = Guard()
        with Interrupts(guard):
            ending, values = library.call(name, args, grants, guard)
        return judge(ending, limits, stdout=repr(values).encode(), phases=guard.phases())

    return call


def call_cases(
    describe: CaseResult, image: Image, export: str, texts: list[str], cache: Path, *, repeat: int, read: Read | None
) -> list[Case]:
    """The export called hot (a prepared library), warm (compiled code kept) and cold (nothing kept).

    read gives the image anew for cold calls; None: there are none.
    """
    cases = [
        Case(describe, prepare_call(image, export, texts, cache), repeat=repeat),
        _anew(replace(describe, start="warm"), None, lambda _: prepare_call(image, export, texts, cache), "map"),
    ]
    if read:
        bare = replace(describe, start="cold")
        cases.append(_anew(bare, read, lambda found: prepare_call(found or image, export, texts, None), "compile"))
    return cases


def _anew(describe: CaseResult, read: Read | None, make: Callable[[Image | None], Call], phase: str) -> Case:
    def run() -> RunResult:
        began = time.perf_counter()
        image = read() if read else None
        loaded = time.perf_counter()
        call = make(image)
        prepared = time.perf_counter()
        result = call()
        ended = time.perf_counter()
        load = {"load": loaded - began} if read else {}
        return result._replace(phases={**load, phase: prepared - loaded, **result.phases, "total": ended - began})

    return Case(describe, run, clocked_by="total")
