"""wasmdock bench: an app as Wasm and as a native container, side by side."""

import argparse
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from wasmdock.aside import write_output
from wasmdock.bench import Case, Measured, Plan, measure, overhead
from wasmdock.bench_http import Service, load_test
from wasmdock.bench_load import CONCURRENCY, Crowd, density, throughput
from wasmdock.bench_load import INTERRUPTED as BY_CTRL_C
from wasmdock.bench_memory import weigh
from wasmdock.cli import complain
from wasmdock.cli.bench_cases import find_cases
from wasmdock.cli.bench_list import Cases, volume_words
from wasmdock.cli.bench_output import cannot_write, check_base, check_exports, deliver, export
from wasmdock.cli.context import Context
from wasmdock.errors import UnavailableError, UsageError, WasmdockError
from wasmdock.escaping import encodable
from wasmdock.report_tables import size
from wasmdock.results import CaseResult, LeftOut, Results, Throughput, read_results, to_json
from wasmdock.surroundings import surroundings

ROUNDS = 30
COLD_ROUNDS = 10  # at least, where there are as many; below stats.FEWEST_ROUNDS no winner can be named
COLD_EVERY = 3  # where the time is given instead
INTERRUPTED = 130
# The options that say what is measured, not how long or what becomes of it.
_WHAT = (
    *("subjects", "case", "against", "roads", "no_cold", "args", "call", "stdin", "volume", "exit_code"),
    *("network", "http", "http_path", "throughput", "load_time", "density"),
)
_CHANGES = ("load", "page cache")  # of the environment, between two benchmarks that may be one


def bench(options: argparse.Namespace, context: Context) -> int:
    """Find the cases, measure them, say what came out."""
    check_exports(options)
    last = context.data / "bench" / "last.json"
    earlier = _earlier(options, last)
    if earlier and not options.subjects and not options.case:
        _take_over(options, earlier)
    elif earlier and earlier.command:
        _refuse_other(earlier, _grant(_parsed(earlier)), _grant(options))
    seed = earlier.seed if earlier else options.seed if options.seed is not None else int(time.time()) % 100_000
    cases = find_cases(options, context)
    try:
        results = _start(options, cases, seed, context)
        if earlier:
            results = _going_on(results, earlier)
        check_base(options.base, results)
        keeper = _Keeper(results, options, last)
        results = _measure(results, cases, options, earlier, keeper, context)
        if not results.interrupted:
            results = keeper.write(_weigh(results, cases, context))
        if not results.interrupted:
            results = keeper.write(_load(results, cases, options, keeper, context))
    finally:
        cases.close()
    code = deliver([results], options, context)
    try:
        export([results], options, context)
        keeper.conclude(context)
    except UnavailableError as error:
        if not results.interrupted:
            raise
        complain(error)
    if results.interrupted:
        context.say(f"wasmdock: go on with: wasmdock bench --resume{keeper.named}")
        return INTERRUPTED
    if not any(case.summary for case in results.cases):
        raise WasmdockError("benchmarking: no case succeeded", "see above for what became of each")
    return code


def _earlier(options: argparse.Namespace, last: Path) -> Results | None:
    if options.resume is None:
        return None
    path = last if options.resume == Path() else options.resume
    if not path.exists():
        raise UsageError(f'resuming "{path}": no such file', "name the file that --export wrote")
    return read_results(path)


def _take_over(options: argparse.Namespace, earlier: Results) -> None:
    """Measure what the interrupted benchmark measured, by its own command line."""
    given = _parsed(earlier)
    for name in _WHAT:
        setattr(options, name, getattr(given, name))
    if options.rounds is None and options.time is None:
        options.rounds, options.time = given.rounds, given.time


def _parsed(earlier: Results) -> argparse.Namespace:
    """The options it was measured by."""
    from wasmdock.cli.parser import build_parser

    if not earlier.command:
        raise UsageError(f"{_resuming(earlier)}: it does not say how", "name what is measured, too")
    # Older results have a value as a word of its own, which argparse takes for a flag where it begins with a dash.
    words = iter(earlier.command[1:])
    joined = [f"{word}={next(words, '')}" if word in ("--arg", "--call", "--case") else word for word in words]
    return build_parser().parse_args(joined)


def _going_on(results: Results, earlier: Results) -> Results:
    """The results before the first new sample. What is not found again stays as it was. Raises UsageError."""
    known, here = ({key: value for key, value in each.environment.items() if value} for each in (earlier, results))
    _refuse_other(earlier, known, {key: value for key, value in here.items() if key not in _CHANGES})
    for case in results.cases:
        if before := earlier.case(*case.key):
            _refuse_other(earlier, _identity(before), _identity(case))
    found = {case.key for case in results.cases}
    kept = [case for case in earlier.cases if case.key not in found]
    return replace(results.with_cases([*results.cases, *kept]), environment={**results.environment, **known, **here})


def _grant(options: argparse.Namespace) -> dict[str, str]:
    return {"what a run is given": shlex.join(_granted(options))}


def _identity(case: CaseResult) -> dict[str, str]:
    """What tells whether samples are of the same: an image's size is not among it where its program's is known."""
    size = case.sizes.get("program", case.sizes.get("packed"))
    facts = {"detail": case.detail, "program": case.digest, "road": case.road}
    facts["size of the program"] = "" if size is None else f"{size} bytes"
    return {f'{what} of "{case.name}"': fact for what, fact in facts.items() if fact}


def _refuse_other(earlier: Results, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises UsageError where something known of both differs: samples of two things would be mixed."""
    for what, was in before.items():
        if now.get(what, was) != was:
            hint = "measure anew: leave --resume out"
            raise UsageError(f'{_resuming(earlier)}: {what} was "{was}", and now is "{now[what]}"', hint)


def _resuming(earlier: Results) -> str:
    return f"resuming the benchmark of {earlier.created}"


def _start(options: argparse.Namespace, cases: Cases, seed: int, context: Context) -> Results:
    """The results before the first sample."""
    described = [case.describe for case in cases.found]
    return Results(
        subject=", ".join(_subject(each) for each in options.subjects) or "commands",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        cases=tuple(described),
        command=_command(options, seed),
        overhead=overhead(),
        environment={**surroundings(), **cases.engine, "wasmtime": _wasmtime(described)},
        left_out=(*cases.left_out, *_crowdless(cases, options)),
    )


def _crowdless(cases: Cases, options: argparse.Namespace) -> list[LeftOut]:
    return [LeftOut(f"{name}: density", why) for name, why in cases.crowdless.items() if options.density]


def _subject(text: str) -> str:
    return encodable(Path(text).resolve().name if "/" in text or text == "." else text)


def _command(options: argparse.Namespace, seed: int) -> tuple[str, ...]:
    """How to repeat it, without what only concerns the output."""
    words = ["wasmdock", "bench", *options.subjects]
    words += [f"--case={each}" for each in options.case]
    if options.subjects:
        words += ["--against", ",".join(options.against)] if options.against else []
        words += ["--roads", ",".join(options.roads) or "none"]
    words += _granted(options)
    words += ["--no-cold"] if options.no_cold else []
    words += ["--throughput", "--load-time", _seconds(options.load_time)] if options.throughput else []
    words += ["--density", str(options.density)] if options.density else []
    words += ["--time", _seconds(options.time)] if options.time else ["--rounds", str(options.rounds or ROUNDS)]
    words = list(map(encodable, words))
    return (*words, "--warmup", str(options.warmup), "--seed", str(seed))


def _granted(options: argparse.Namespace) -> list[str]:
    """What every run is given, in words. A value that may begin with a dash stays with its flag."""
    words = [f"--arg={each}" for each in options.args]
    words += [f"--call={options.call}"] if options.call else []
    words += [f"--stdin={options.stdin}"] if options.stdin else []
    words += volume_words(options.volume)
    words += ["--exit-code", str(options.exit_code)] if options.exit_code else []
    words += ["--http", str(options.http)] if options.http is not None else []
    words += [f"--http-path={options.http_path}"] if options.http_path != "/" else []
    return words + ([f"--network={options.network}"] if options.network else [])


def _seconds(value: float) -> str:
    """`0.25s`, and never `1e-05s`, which no flag takes."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def _wasmtime(cases: Sequence[CaseResult]) -> str:
    if not any(case.road in ("process", "cli") for case in cases):
        return ""
    from wasmdock.engine import version

    return version()


def _measure(
    results: Results,
    cases: Cases,
    options: argparse.Namespace,
    earlier: Results | None,
    keeper: "_Keeper",
    context: Context,
) -> Results:
    from wasmdock.cli.bench_live import live

    rounds = None if options.time else options.rounds or ROUNDS
    plan = Plan(rounds, options.time, options.warmup, results.seed)
    chosen = [rarely(case, rounds) for case in cases.found]
    done = {case.key: case for case in earlier.cases} if earlier else {}
    context.say(f"wasmdock: {_announce(cases, results.seed, options)}")
    with live(results, chosen, plan, context) as show:
        found = measure(chosen, plan, earlier=done, on_sample=show, on_round=keeper.keep)
    return keeper.write(replace(_with(results, found), interrupted=found.interrupted))


def _weigh(results: Results, cases: Cases, context: Context) -> Results:
    """Memory of each case, in runs of their own; Ctrl-C keeps what there is."""
    heavy = {case.describe.key: case for case in cases.found if case.weigh}
    found = list(results.cases)
    if heavy:
        context.say("wasmdock: memory of each, in runs of their own")
    try:
        for place, each in enumerate(found):
            if each.key in heavy and each.summary:
                found[place] = replace(each, weights=weigh(heavy[each.key]))
    except KeyboardInterrupt:
        return replace(results.with_cases(found), interrupted=True)
    return results.with_cases(found)


def _load(results: Results, cases: Cases, options: argparse.Namespace, keeper: "_Keeper", context: Context) -> Results:
    """Many at once, where that was asked for, written as it comes; Ctrl-C keeps what there is."""
    try:
        for case in cases.loads if options.throughput else ():
            for found in _runs(case, options.load_time, context):
                results = keeper.write(_and(results, found))
        for case, service in cases.services if options.throughput else ():
            for found in _requests(case, service, options.load_time, context):
                results = keeper.write(_and(results, found))
        for make in cases.crowds if options.density else ():
            results = keeper.write(_crowd(results, make, options.density, context))
            if results.interrupted:
                break
    except KeyboardInterrupt:
        return replace(results, interrupted=True)
    return results


def _and(results: Results, found: Throughput | LeftOut) -> Results:
    """The results and one thing more."""
    if isinstance(found, LeftOut):
        return replace(results, left_out=(*results.left_out, found))
    return replace(results, throughput=(*results.throughput, found))


def _runs(case: Case, time_each: float, context: Context) -> Iterator[Throughput | LeftOut]:
    """Starts per second of one case, at one concurrency after the other."""
    try:
        for count in CONCURRENCY:
            context.say(f"wasmdock: {case.describe.name}, {count} at once")
            yield throughput(case, count, time_each)
    except WasmdockError as error:
        yield LeftOut(f"{case.describe.name}: throughput", error.message)


def _requests(case: Case, service: Service, time_each: float, context: Context) -> Iterator[Throughput | LeftOut]:
    """Requests per second of one running container, at one concurrency after the other."""
    name = case.describe.name
    try:
        case.prepare()
        stop = service.start()
        try:
            for count in CONCURRENCY:
                context.say(f"wasmdock: {name}, requests, {count} at once")
                yield load_test(service, name, count, time_each)
        finally:
            stop()
    except WasmdockError as error:
        yield LeftOut(f"{name}: requests", error.message)


def _crowd(results: Results, make: Callable[[], Crowd], limit: int, context: Context) -> Results:
    name = "density"
    try:
        crowd = make()
        name = f"{crowd.name}: density"
        context.say(f"wasmdock: {crowd.name}, as many as {size(limit)} hold")
        found = density(crowd, limit)
    except WasmdockError as error:
        return _and(results, LeftOut(name, error.message))
    if found.ended == BY_CTRL_C:
        results = replace(results, interrupted=True)
    if len(found.curve) == 1:
        return _and(results, LeftOut(name, found.ended))
    return replace(results, density=(*results.density, found))


def rarely(case: Case, rounds: int | None) -> Case:
    """A cold start takes seconds and its differences are large: ten of them are enough, or a few more."""
    if case.describe.start != "cold":
        return case
    return replace(case, every=max(1, rounds // COLD_ROUNDS) if rounds else COLD_EVERY)


def _with(results: Results, found: Measured) -> Results:
    known = {case.key: case for case in found.cases}
    return results.with_cases([known.get(case.key, case) for case in results.cases])


def _announce(cases: Cases, seed: int, options: argparse.Namespace) -> str:
    how = f"{options.time:g} s" if options.time else f"{options.rounds or ROUNDS} rounds"
    count = len(cases.found)
    return f"{count} case{'s' if count != 1 else ''}, {how}, order shuffled by seed {seed}"


class _Keeper:
    """Writes the results after every round, so that nothing is lost whatever happens."""

    def __init__(self, results: Results, options: argparse.Namespace, last: Path) -> None:
        self.results, self._written = results, 0.0
        exported = [Path(name) for name in options.export if name.endswith(".json")]
        # An interrupted benchmark is finished in its own file, where no other is named.
        self._resumed: Path | None = None if exported or options.resume in (None, Path()) else options.resume
        self._files = [last, *exported, *([self._resumed] if self._resumed else [])]
        self._failure: WasmdockError | None = None

    @property
    def named(self) -> str:
        """The file to resume, behind a space; nothing where it is the one that is looked for by itself."""
        return f" {shlex.quote(str(self._files[1]))}" if self._files[1:] else ""

    def keep(self, _round: int, cases: Sequence[CaseResult]) -> None:
        """Write what there is, at most once a second; it counts as interrupted until it is whole."""
        if time.monotonic() - self._written < 1:
            return
        self._written = time.monotonic()
        known = {case.key: case for case in cases}
        self.write(
            replace(
                self.results.with_cases([known.get(case.key, case) for case in self.results.cases]), interrupted=True
            )
        )

    def write(self, results: Results) -> Results:
        """Write to the last-results file and to every JSON file; a full disk is no reason to stop measuring."""
        text = to_json(results).encode()
        self._failure = None
        for path in self._files:
            try:
                if path is self._files[0]:
                    path.parent.mkdir(parents=True, exist_ok=True)
                write_output(path, text)
            except OSError as error:
                self._failure = cannot_write(path, error)
        return results

    def conclude(self, context: Context) -> None:
        """Say which file has the results now. Raises UnavailableError where the last of them could not be kept."""
        if self._failure:
            raise self._failure
        if self._resumed:
            context.say(f"wasmdock: wrote the results back to {self._resumed}")
