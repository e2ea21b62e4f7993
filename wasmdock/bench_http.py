"""HTTP services as cases: from nothing to the first answer, and requests per second by a load tool."""

import http.client
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from wasmdock.bench import Clock
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.process import Runner, run_command
from wasmdock.results import Throughput, Weight
from wasmdock.runtime import TIMED_OUT_CODE, Outcome, RunResult

PATIENCE = 20.0  # seconds until a service must have answered
_POLL = 0.001
_REST = 0.5  # seconds until what a start and an answer left to do is done
_DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_TOOLS_HINT = "install wrk or oha"


class Service(Protocol):
    """Something that answers HTTP once it runs."""

    def start(self) -> Callable[[], None]:
        """Start it and give back what ends it; it need not answer yet. Raises WasmdockError."""

    def answers(self) -> bool:
        """Whether it answers a request now."""

    def steps(self) -> Mapping[str, float]:
        """Seconds of what is known of its start: `compile`, `map`, `container start`; asked while it runs."""

    def weigh(self) -> Weight:
        """Its memory while it runs."""

    @property
    def url(self) -> str:
        """Where it answers."""


def answer_run(
    service: Service, clock: Clock = time.monotonic, pause: Callable[[float], None] = time.sleep
) -> Callable[[], RunResult]:
    """What starts a service, waits for its first answer and ends it.

    `total` is seconds to the first answer, and so is the phase `first byte`. create and start are its parts: until it
    is being started (until it was, where nobody tells), and until it answers; what the service says of its own steps
    is taken out of them.
    """

    def run() -> RunResult:
        began = clock()
        stop = service.start()
        created = clock()
        try:
            answered = _wait(service, began + PATIENCE, clock, pause)
            first = clock()
            steps = service.steps() if answered else {}
        finally:
            stop()
        if not answered:
            return RunResult(Outcome.TIMED_OUT, TIMED_OUT_CODE, message=f"no HTTP answer within {PATIENCE:g} s")
        phases = _phases(created - began, first - began, steps)
        return RunResult(Outcome.EXITED, 0, phases=phases)

    return run


def _phases(created: float, answered: float, steps: Mapping[str, float]) -> dict[str, float]:
    """A program has loaded and compiled before it counts as started, a container compiles while it is being started.

    Mapping the code may be on either side of a program's start.
    """
    own = {name: seconds for name, seconds in steps.items() if name in ("load", "compile", "map")}
    load, compiling, mapping = (own.get(name, 0.0) for name in ("load", "compile", "map"))
    starting = steps.get("container start")
    early, late = (load + compiling, mapping) if starting is None else (load, compiling + mapping)
    create, start = created - (starting or 0.0), answered - created + (starting or 0.0)
    create, start = max(0.0, create - early - max(0.0, late - start)), max(0.0, start - late)
    return {"create": create, **own, "start": start, "first byte": answered, "total": answered}


def weigh_service(service: Service, pause: Callable[[float], None] = time.sleep) -> Weight:
    """Start a service, have it answer once, let it come to rest, weigh it, end it. Raises WasmdockError."""
    stop = service.start()
    try:
        if not _wait(service, time.monotonic() + PATIENCE, time.monotonic, pause):
            return Weight()
        pause(_REST)
        return service.weigh()
    finally:
        stop()


def _wait(service: Service, until: float, clock: Clock, pause: Callable[[float], None]) -> bool:
    while not service.answers():
        if clock() >= until:
            return False
        pause(_POLL)
    return True


def ask(host: str, port: int, path: str = "/", timeout: float = 5.0) -> bool:
    """Whether a GET of the path is answered with a status below 500."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class LoadTool:
    """A program that sends requests: its words for a concurrency, seconds and URL, and how its answer is read."""

    name: str
    words: Callable[[int, float, str], Sequence[str]]
    parse: Callable[[str], Throughput]


def load_test(
    service: Service, name: str, concurrency: int, seconds: float, runner: Runner = run_command
) -> Throughput:
    """Requests per second of a running service by the first load tool there is. Raises UnavailableError for none."""
    if not _wait(service, time.monotonic() + PATIENCE, time.monotonic, time.sleep):
        raise UnavailableError(f'loading "{service.url}": no HTTP answer within {PATIENCE:g} s')
    for tool in TOOLS:
        words = tool.words(concurrency, seconds, service.url)
        try:
            done = runner(words, timeout=seconds + PATIENCE)
        except UnavailableError:
            continue
        done.check(f'loading "{service.url}"')
        try:
            found = tool.parse(done.stdout.decode("utf-8", "replace"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cause = f"{tool.name} printed what is not understood: {error!r}"
            raise CommandError(f'loading "{service.url}": {cause}', _TOOLS_HINT, done.argv, done.code) from error
        return replace(found, name=f"{name}, requests ({tool.name})", concurrency=concurrency)
    raise UnavailableError("counting requests per second: no load tool on PATH", _TOOLS_HINT)


def parse_wrk(text: str) -> Throughput:
    """What `wrk --latency` prints; it knows no 95th percentile. Only answers of success count per second."""
    rate, answers = (re.search(words, text) for words in (r"Requests/sec:\s+([\d.]+)", r"(\d+) requests in"))
    failures = sum(int(count) for count in re.findall(r"(?:connect|read|write|timeout) (\d+)", text))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    p50, p99 = (_duration(text, share) for share in (50, 99))
    refused = int(bad[1]) if bad else 0
    per_second = float(rate[1]) * _share(refused, int(answers[1]) if answers else 0) if rate else 0.0
    return Throughput("", 0, per_second, p50, None, p99, failures + refused)


def _share(refused: int, answers: int) -> float:
    """The part of the answers that were of success."""
    return max(0.0, 1 - refused / answers) if answers else 1.0


def _duration(text: str, share: int) -> float | None:
    """None where no request succeeded: then wrk says 0."""
    found = re.search(rf"\b{share}%\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(found[1]) * _DURATIONS[found[2]] or None if found else None


def parse_oha(text: str) -> Throughput:
    """What `oha --output-format json` prints; as above."""
    document = json.loads(text)
    quantiles = document["latencyPercentiles"]
    p50, p95, p99 = (_known(quantiles.get(name)) for name in ("p50", "p95", "p99"))
    codes = {code: int(count) for code, count in document.get("statusCodeDistribution", {}).items()}
    refused = sum(count for code, count in codes.items() if not code.startswith(("2", "3")))
    failures = refused + sum(int(count) for count in document.get("errorDistribution", {}).values())
    per_second = float(document["summary"]["requestsPerSec"]) * _share(refused, sum(codes.values()))
    return Throughput("", 0, per_second, p50, p95, p99, failures)


def _known(value: float | None) -> float | None:
    return None if value is None else float(value)


def _oha_words(concurrency: int, seconds: float, url: str) -> Sequence[str]:
    return (
        "oha",
        "-z",
        f"{max(1, round(seconds * 1000))}ms",
        "-c",
        str(concurrency),
        "--no-tui",
        "--output-format",
        "json",
        url,
    )


def _wrk_words(concurrency: int, seconds: float, url: str) -> Sequence[str]:
    """It takes whole seconds only, and `-d0s` ends before the first answer."""
    return ("wrk", "-t1", f"-c{concurrency}", f"-d{max(1, math.ceil(seconds))}s", "--latency", url)


TOOLS = (LoadTool("oha", _oha_words, parse_oha), LoadTool("wrk", _wrk_words, parse_wrk))
