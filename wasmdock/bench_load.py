"""Many at once: starts per second at a given concurrency, and how many can be held in a given memory."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from typing import Protocol

from wasmdock.bench import Case, Clock
from wasmdock.errors import WasmdockError
from wasmdock.process import end_running
from wasmdock.report_tables import size
from wasmdock.results import Density, Throughput
from wasmdock.runtime import Outcome
from wasmdock.stats import quantile

CONCURRENCY = (1, 2, 8, 32)
SECONDS = 5.0
INTERRUPTED = "interrupted"  # what Density.ended says of Ctrl-C
LIMIT = "the memory limit"
_STARTED = 0.05  # seconds until a thread that saw that it may go on has started what it runs
_STEPS_PER_DOUBLING = 4  # points of a density curve


class Stop(Protocol):
    """What ends one living instance."""

    def __call__(self) -> None:
        """End it and give its memory back."""


class Crowd(Protocol):
    """Something that starts instances which stay alive, and knows what memory they use."""

    @property
    def name(self) -> str:
        """The case, for tables."""

    def start(self) -> Stop:
        """Start one more. Raises WasmdockError where no more can be had."""

    @property
    def most(self) -> int:
        """How many are started at most."""

    def used(self) -> int:
        """Bytes in use now, on the same scale each time, once what a start left to do is done."""


def throughput(case: Case, concurrency: int, seconds: float = SECONDS, clock: Clock = time.perf_counter) -> Throughput:
    """Run a case as often as possible for so many seconds, `concurrency` at once, each in a thread.

    What is under way when the time is over runs to its end and counts, and so does the time it takes. Ctrl-C ends the
    programs among it and waits for the rest, unless it comes again.
    """
    case.prepare()
    taken: list[float] = []
    failures: list[str] = []
    over = threading.Event()
    began = clock()

    def goes_on(now: float) -> bool:
        return now < began + seconds and not over.is_set()

    pool, threads = ThreadPoolExecutor(concurrency), list[Future[None]]()
    try:
        threads.extend(pool.submit(_keep_running, case, goes_on, clock, taken, failures) for _ in range(concurrency))
        wait(threads)
    except BaseException:
        over.set()
        time.sleep(_STARTED)
        end_running()
        raise
    finally:
        over.set()  # after Ctrl-C they would start more, and what they run would outlive us
        wait(threads)  # a Thread whose join was interrupted says that it has ended
        pool.shutdown(wait=False)
    elapsed = max(clock() - began, 1e-9)
    ordered = sorted(taken)
    p50, p95, p99 = (quantile(ordered, share) if ordered else None for share in (0.5, 0.95, 0.99))
    name = f"{case.describe.name} ({case.describe.start})"
    return Throughput(name, concurrency, len(taken) / elapsed, p50, p95, p99, len(failures))


def _keep_running(
    case: Case, goes_on: Callable[[float], bool], clock: Clock, taken: list[float], failures: list[str]
) -> None:
    while goes_on(began := clock()):
        try:
            result = case.run()
        except Exception as error:  # whatever it is, the thread must go on and the failure count, as in `measure`
            failures.append(str(error))
            time.sleep(0.01)  # a case that fails at once would do nothing but fail
            continue
        if result.outcome is Outcome.EXITED and result.exit_code == case.exit_code:
            taken.append(clock() - began)
        else:
            failures.append(result.message or f"exit code {result.exit_code}")


def density(crowd: Crowd, limit: int, clock: Clock = time.perf_counter) -> Density:
    """Start instances until one more would use over `limit` bytes, `crowd.most` are held or no more can be had.

    Then end them all. The curve keeps within the limit; it has four points for each doubling, and more where the limit
    is near. Its seconds are those that starting took. Ctrl-C ends it with the curve as far as it came, `ended` being
    INTERRUPTED. Raises WasmdockError where one cannot be ended.
    """
    curve = [(0, 0, 0.0)]
    try:
        with ExitStack() as stops:  # which goes on with the others where ending one fails, or is interrupted
            ended = _fill(crowd, limit, clock, curve, stops)
    except KeyboardInterrupt:
        ended = INTERRUPTED
    return Density(crowd.name, limit, tuple(curve), per_instance(curve), ended)


def _fill(crowd: Crowd, limit: int, clock: Clock, curve: list[tuple[int, int, float]], stops: ExitStack) -> str:
    """Start them, and say what ended that: `curve` gets the points, `stops` what ends each."""
    before, held, starting, look = crowd.used(), 0, 0.0, 1
    try:
        while held < crowd.most:
            began = clock()
            stops.callback(crowd.start())
            starting += clock() - began
            held += 1
            if held in (look, crowd.most):
                used = max(0, crowd.used() - before)
                if used > limit:
                    return LIMIT if curve[-1][0] else f"one alone takes {size(used)}, more than {size(limit)}"
                curve.append((held, used, starting))
                look = _next_look(curve, limit)
    except WasmdockError as error:
        with suppress(WasmdockError):  # what keeps them may be gone, and then the curve ends at its last step
            used = max(0, crowd.used() - before) if held > curve[-1][0] else limit + 1
            curve += [(held, used, starting)] if used <= limit else []
        return error.message
    return f"{crowd.most} are the most that are tried"


def _next_look(curve: Sequence[tuple[int, int, float]], limit: int) -> int:
    """After how many to look again: four times in each doubling, and half the way to the limit where that is less."""
    (last, before, _), (count, used, _) = curve[-2:]
    stride = max(1, (1 << (count.bit_length() - 1)) // _STEPS_PER_DOUBLING)
    each = max(used / count, (used - before) / (count - last), 1.0)
    return count + max(1, min(stride - count % stride, int((limit - used) / each) // 2))


def per_instance(curve: Sequence[tuple[int, int, float]]) -> int:
    """Bytes that each further instance takes: the slope of the curve's upper half, by least squares."""
    upper = [point for point in curve if point[0] * 2 >= curve[-1][0]]
    points = [(float(count), float(used)) for count, used, _ in (upper if len(upper) > 1 else curve)]
    counts, used = [point[0] for point in points], [point[1] for point in points]
    return round(statistics.linear_regression(counts, used).slope) if len(set(counts)) > 1 else 0
