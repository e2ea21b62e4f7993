"""What a benchmark found, as values and as a JSON document that is read back: raw samples and all."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wasmdock.errors import UsageError
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
    """How many instances were alive at once: `curve` is (instances, bytes of memory in use, seconds since the first).

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
    doing = f'reading results "{path}"'
    try:
        if path.stat().st_size > _MOST:
            raise UsageError(f"{doing}: larger than {_MOST >> 20} MiB")
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_amount)
    except OSError as error:
        raise UsageError(f"{doing}: {error.strerror}", "name a file made by wasmdock bench --export") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{doing}: not JSON ({error})", "name a file made by wasmdock bench --export") from error
    return from_document(document, doing)


def from_document(document: Any, doing: str = "reading results") -> Results:
    """The value of a JSON document. Raises UsageError."""
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise UsageError(f'{doing}: its schema is "{schema}" instead of "{SCHEMA}"', "export it again")
    try:
        return Results(
            subject=str(document["subject"]),
            created=str(document["created"]),
            seed=int(document["seed"]),
            cases=tuple(_case(case) for case in document["cases"]),
            command=tuple(map(str, document.get("command", ()))),
            overhead=_amount(document.get("overhead", 0.0)),
            environment={str(key): str(value) for key, value in document.get("environment", {}).items()},
            left_out=tuple(LeftOut(str(each["what"]), str(each["why"])) for each in document.get("left_out", ())),
            density=tuple(_density(each) for each in document.get("density", ())),
            throughput=tuple(_throughput(each) for each in document.get("throughput", ())),
            interrupted=bool(document.get("interrupted", False)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{doing}: not the form of {SCHEMA}: {error!r}", "export it again") from error


def _case(document: Mapping[str, Any]) -> CaseResult:
    return CaseResult(
        name=str(document["name"]),
        program=str(document["program"]),
        road=str(document["road"]),
        start=str(document["start"]),
        samples=tuple(_sample(each) for each in document["samples"]),
        sizes={str(key): int(value) for key, value in document.get("sizes", {}).items()},
        parts={str(key): int(value) for key, value in document.get("parts", {}).items()},
        detail=str(document.get("detail", "")),
        dropped=str(document.get("dropped", "")),
        subject=str(document.get("subject", "")),
        weights=tuple(Weight(_bytes(each["peak"]), _bytes(each["steady"])) for each in document.get("weights", ())),
        weighed_by=str(document.get("weighed_by", "")),
        digest=str(document.get("digest", "")),
    )


def _amount(value: Any) -> float:
    """Seconds, or what is counted per second. Raises ValueError for what can be none, such as NaN."""
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{value} is no amount")
    return number


def _bytes(value: Any) -> int | None:
    return None if value is None else int(value)


def _sample(document: Mapping[str, Any]) -> Sample:
    phases = document.get("phases", {}).items()
    return Sample(
        round=int(document["round"]),
        seconds=_amount(document["seconds"]),
        phases={str(name): None if value is None else float(value) for name, value in phases},
        memory=_bytes(document.get("memory")),
        failure=str(document.get("failure", "")),
    )


def _density(document: Mapping[str, Any]) -> Density:
    curve = tuple((int(count), int(used), _amount(seconds)) for count, used, seconds in document["curve"])
    return Density(
        str(document["name"]),
        int(document["limit"]),
        curve,
        int(document["per_instance"]),
        str(document.get("ended", "")),
    )


def _throughput(document: Mapping[str, Any]) -> Throughput:
    p50, p95, p99 = (None if document[key] is None else _amount(document[key]) for key in ("p50", "p95", "p99"))
    name, per_second, failures = str(document["name"]), _amount(document["per_second"]), document.get("failures", 0)
    return Throughput(name, int(document["concurrency"]), per_second, p50, p95, p99, int(failures))
