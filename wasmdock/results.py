"""What a benchmark found, as values and as a JSON document that is read back: raw samples and all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wasmdock.amounts import amount, known_amount, known_whole, no_constant, slope, whole
from wasmdock.errors import UsageError
from wasmdock.escaping import encodable, visible
from wasmdock.given import read_given
from wasmdock.stats import Sample, Summary, summarize_samples

SCHEMA = "wasmdock.bench/1"  # keys are only ever added under one number
_MOST = 512 << 20
# A case's own key as json.dumps writes it; no text holds these characters, for a line break in one is written \\n.
_NO_SAMPLES = '\n   "samples": null'


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of memory of one run: at its peak, and at rest once it serves; None where that cannot be seen."""

    peak: int | None = None
    steady: int | None = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case with its samples in the order they came.

    name tells it apart; subject is the app it is a case of, empty for a case of the user's own; program is `wasm`,
    `native` or `command`; road is where it ran; start is `cold` (nothing prepared), `warm` (image loaded, code
    compiled) or `hot` (a fresh instance in a running process). sizes are bytes by what they measure (`packed`,
    `unpacked`, `program`, `compiled code`), parts those of each layer and of each section of a Wasm binary; detail
    is what else is known; digest the SHA-256 of its Wasm program, empty for others; dropped says why it was given up.
    weights are of runs of their own, weighed_by says who counted; a sample's memory is linear memory.
    """

    name: str
    program: str
    road: str
    start: str
    samples: tuple[Sample, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
    dropped: str = ""
    subject: str = ""
    weights: tuple[Weight, ...] = ()
    weighed_by: str = ""
    digest: str = ""

    @property
    def summary(self) -> Summary | None:
        """The summary of its runs; None where none succeeded."""
        return summarize_samples(self.samples)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it apart from every other case."""
        return (self.name, self.start)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was asked for and could not be measured, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Results:
    """One benchmark, whole or as far as it came.

    created is RFC 3339 text; command is how to repeat it; seed gave the order of the cases; overhead is seconds
    the measuring itself adds to a sample; environment is the machine by what it says of itself.
    """

    subject: str
    created: str
    seed: int
    cases: tuple[CaseResult, ...]
    command: tuple[str, ...] = ()
    overhead: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    density: tuple["Density", ...] = ()
    throughput: tuple["Throughput", ...] = ()
    interrupted: bool = False

    def case(self, name: str, start: str) -> CaseResult | None:
        """The case of that name and start."""
        return next((case for case in self.cases if case.key == (name, start)), None)

    def with_cases(self, cases: Sequence[CaseResult]) -> "Results":
        """The same benchmark with other cases."""
        return replace(self, cases=tuple(cases))


@dataclass(frozen=True, slots=True)
class Density:
    """How many instances could be held at once: `curve` is (instances, bytes in use, seconds that starting took).

    limit is the bytes that were not to be passed, per_instance the slope of the curve in bytes; ended says what
    ended the run.
    """

    name: str
    limit: int
    curve: tuple[tuple[int, int, float], ...]
    per_instance: int
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Starts (or requests) per second with so many at once, and the quantiles of their seconds.

    A quantile is None where nothing succeeded, or where the load tool does not tell it.
    """

    name: str
    concurrency: int
    per_second: float
    p50: float | None
    p95: float | None
    p99: float | None
    failures: int = 0


def to_document(results: Results) -> dict[str, Any]:
    """The JSON form. Each case carries its summary besides the samples; seconds and bytes throughout."""
    document = asdict(results)
    for written, case in zip(document["cases"], results.cases, strict=True):
        summary = case.summary
        written["summary"] = asdict(summary) if summary else None
    return {"schema": SCHEMA, **document}


def to_json(results: Results) -> str:
    """The JSON document as text, with a line per sample, to the nanosecond: clocks tell no more."""
    document = to_document(results)
    samples = [case["samples"] for case in document["cases"]]
    for case in document["cases"]:
        case["samples"] = None
    first, *rest = json.dumps(document, indent=1).split(_NO_SAMPLES)
    text = [first]
    for rows, after in zip(samples, rest, strict=True):
        lines = ",\n    ".join(json.dumps(_to_nanoseconds(row)) for row in rows)
        text += [_NO_SAMPLES.replace("null", f"[\n    {lines}\n   ]" if rows else "[]"), after]
    return "".join(text) + "\n"


def _to_nanoseconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_nanoseconds(each) for key, each in value.items()}
    return round(value, 9) if isinstance(value, float) else value


def schema() -> dict[str, Any]:
    """The JSON schema of a results file (draft 2020-12): bench-1.schema.json in this package."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("bench-1.schema.json").read_text(encoding="utf-8"))
    return document


def read_results(path: Path) -> Results:
    """Read a file that `to_json` wrote. Raises UsageError for anything else."""
    doing, hint = f'reading results "{path}"', "name a file made by wasmdock bench --export"
    try:
        text = read_given(path, _MOST)
    except OSError as error:
        raise UsageError(f"{doing}: {error.strerror}", hint) from error
    except ValueError as error:
        raise UsageError(f"{doing}: {error}", hint) from error
    try:
        document = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{doing}: not JSON ({error})", hint) from error
    return from_document(document, doing)


def from_document(document: Any, doing: str = "reading results") -> Results:
    """The value of a JSON document. Raises UsageError."""
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise UsageError(f'{doing}: its schema is "{visible(str(schema))}" instead of "{SCHEMA}"', "export it again")
    try:
        return Results(
            subject=_text(document["subject"]),
            created=_text(document["created"]),
            seed=_seed(document["seed"]),
            cases=tuple(_case(case) for case in document["cases"]),
            command=tuple(map(_text, document.get("command", ()))),
            overhead=amount(document.get("overhead", 0.0)),
            environment={_text(key): _text(value) for key, value in document.get("environment", {}).items()},
            left_out=tuple(LeftOut(_text(each["what"]), _text(each["why"])) for each in document.get("left_out", ())),
            density=tuple(_density(each) for each in document.get("density", ())),
            throughput=tuple(_throughput(each) for each in document.get("throughput", ())),
            interrupted=bool(document.get("interrupted", False)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{doing}: not the form of {SCHEMA}: {error!r}", "export it again") from error


def _text(value: Any) -> str:
    return encodable(str(value))


def _seed(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no seed")
    return value


def _case(document: Mapping[str, Any]) -> CaseResult:
    weights = document.get("weights", ())
    return CaseResult(
        name=_text(document["name"]),
        program=_text(document["program"]),
        road=_text(document["road"]),
        start=_text(document["start"]),
        samples=tuple(_sample(each) for each in document["samples"]),
        sizes={_text(key): whole(value) for key, value in document.get("sizes", {}).items()},
        parts={_text(key): whole(value) for key, value in document.get("parts", {}).items()},
        detail=_text(document.get("detail", "")),
        dropped=_text(document.get("dropped", "")),
        subject=_text(document.get("subject", "")),
        weights=tuple(Weight(known_whole(each["peak"]), known_whole(each["steady"])) for each in weights),
        weighed_by=_text(document.get("weighed_by", "")),
        digest=_text(document.get("digest", "")),
    )


def _sample(document: Mapping[str, Any]) -> Sample:
    phases = document.get("phases", {}).items()
    return Sample(
        round=whole(document["round"]),
        seconds=amount(document["seconds"]),
        phases={_text(name): known_amount(value) for name, value in phases},
        memory=known_whole(document.get("memory")),
        failure=_text(document.get("failure", "")),
    )


def _density(document: Mapping[str, Any]) -> Density:
    return Density(
        name=_text(document["name"]),
        limit=whole(document["limit"]),
        curve=tuple((whole(count), whole(used), amount(took)) for count, used, took in document["curve"]),
        per_instance=slope(document["per_instance"]),
        ended=_text(document.get("ended", "")),
    )


def _throughput(document: Mapping[str, Any]) -> Throughput:
    p50, p95, p99 = (known_amount(document[key]) for key in ("p50", "p95", "p99"))
    return Throughput(
        name=_text(document["name"]),
        concurrency=whole(document["concurrency"], 1),
        per_second=amount(document["per_second"]),
        p50=p50,
        p95=p95,
        p99=p99,
        failures=whole(document.get("failures", 0)),
    )
