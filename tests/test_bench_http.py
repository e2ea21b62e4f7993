"""A service is measured to its first answer, ended whatever happens, and load tools' answers are understood."""

import json

import pytest

from tests.fakes import FakeRunner
from wasmdock.bench_http import PATIENCE, TOOLS, answer_run, load_test, parse_oha, parse_wrk, weigh_service
from wasmdock.bench_load import Stop
from wasmdock.cli.bench_service import hosts_of
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.process import Completed
from wasmdock.results import Weight
from wasmdock.runtime import Outcome

WRK = b"""Running 2s test @ http://127.0.0.1:8080/
  1 threads and 8 connections
  Latency Distribution
     50%  212.00us
     75%    1.10ms
     90%    2.00ms
     99%   11.90ms
  5154 requests in 2.00s, 0.60MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:   2577.05
"""


class FakeService:
    """Answers from its third question on; `now` is the clock, moved by 0.25 s to start and 0.5 s per question."""

    url = "http://fake:1/"

    def __init__(self, answers_after: float = 2, **more: float) -> None:
        self.now, self.left, self.running, self.more = 0.0, answers_after, False, more

    def start(self) -> Stop:
        self.now += 0.25
        self.running = True
        return self.stop

    def stop(self) -> None:
        self.running = False

    def answers(self) -> bool:
        self.now += 0.5
        self.left -= 1
        return self.left < 0

    def steps(self) -> dict[str, float]:
        return {"compile": 0.1, "map": 0.05, "listen": 9.0, **self.more}

    def weigh(self) -> Weight:
        return Weight(2, 1)

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_service_is_measured_to_its_first_answer_and_ended() -> None:
    service = FakeService()
    result = answer_run(service, lambda: service.now, service.pause)()
    assert result.outcome is Outcome.EXITED
    assert result.phases["create"] == pytest.approx(0.25 - 0.1)
    assert result.phases["start"] == pytest.approx(1.502 - 0.05)
    assert (result.phases["compile"], result.phases["map"]) == (0.1, 0.05)
    assert result.phases["total"] == pytest.approx(1.752)
    assert not service.running


def test_loading_an_image_is_a_step_of_its_own_on_the_way_to_the_first_answer() -> None:
    service = FakeService(load=0.06)
    phases = answer_run(service, lambda: service.now, service.pause)().phases
    assert (phases["load"], phases["create"]) == pytest.approx((0.06, 0.25 - 0.1 - 0.06))


def test_container_compiles_while_it_is_being_started() -> None:
    service = FakeService(**{"container start": 0.2})
    phases = answer_run(service, lambda: service.now, service.pause)().phases
    assert (phases["create"], phases["start"]) == pytest.approx((0.25 - 0.2, 1.502 + 0.2 - 0.1 - 0.05))


def test_service_is_weighed_once_it_has_answered_and_ended() -> None:
    service = FakeService()
    assert weigh_service(service, service.pause) == Weight(2, 1)
    assert not service.running


def test_service_that_never_answers_is_timed_out_and_ended() -> None:
    service = FakeService(answers_after=1e9)
    result = answer_run(service, lambda: service.now, service.pause)()
    assert result.outcome is Outcome.TIMED_OUT
    assert service.now < PATIENCE + 2
    assert not service.running


def test_what_wrk_prints_is_understood() -> None:
    found = parse_wrk(WRK.decode())
    assert (found.per_second, found.p50, found.p99) == pytest.approx((2577.05 * 5150 / 5154, 212e-6, 11.9e-3))
    assert found.p95 is None
    assert found.failures == 7


def test_what_oha_prints_is_understood() -> None:
    document = {
        "summary": {"requestsPerSec": 100.5},
        "latencyPercentiles": {"p50": 0.001, "p95": 0.002, "p99": 0.003},
        "statusCodeDistribution": {"200": 50, "500": 3},
        "errorDistribution": {"aborted due to deadline": 1},
    }
    found = parse_oha(json.dumps(document))
    assert (found.per_second, found.p95, found.failures) == pytest.approx((100.5 * 50 / 53, 0.002, 4))


def test_load_is_put_on_by_the_first_tool_there_is() -> None:
    runner = FakeRunner({("oha",): UnavailableError("no oha"), ("wrk",): Completed(("wrk",), 0, WRK)})
    found = load_test(FakeService(answers_after=0), "case", 8, 2.0, runner)
    assert (found.name, found.concurrency) == ("case, requests (wrk)", 8)
    assert runner.calls[-1] == ("wrk", "-t1", "-c8", "-d2s", "--latency", "http://fake:1/")


def test_without_a_load_tool_requests_cannot_be_counted() -> None:
    runner = FakeRunner({(name,): UnavailableError("none") for name in ("oha", "wrk")})
    with pytest.raises(UnavailableError, match="no load tool"):
        load_test(FakeService(answers_after=0), "case", 1, 1.0, runner)


@pytest.mark.parametrize(
    ("seconds", "oha", "wrk"), [(0.4, "400ms", "-d1s"), (1.0, "1000ms", "-d1s"), (2.5, "2500ms", "-d3s")]
)
def test_load_tool_is_given_a_time_that_it_understands(seconds: float, oha: str, wrk: str) -> None:
    oha_words, wrk_words = (tool.words(1, seconds, "http://fake:1/") for tool in TOOLS)
    assert oha in oha_words
    assert wrk in wrk_words


def test_quantiles_are_unknown_where_no_request_succeeded() -> None:
    found = parse_wrk("     50%    0.00us\n     99%    0.00us\nRequests/sec:      0.00\n")
    assert (found.per_second, found.p50, found.p99) == (0.0, None, None)
    document = {"summary": {"requestsPerSec": 0}, "latencyPercentiles": {"p50": None, "p95": None, "p99": None}}
    assert parse_oha(json.dumps(document)).p50 is None


def test_load_tool_that_prints_something_else_is_named() -> None:
    runner = FakeRunner({("oha",): Completed(("oha",), 0, b"[1, 2]")})
    with pytest.raises(CommandError, match="oha printed what is not understood"):
        load_test(FakeService(answers_after=0), "case", 1, 1.0, runner)


def test_load_tool_that_fails_is_named() -> None:
    runner = FakeRunner({("oha",): Completed(("oha",), 1, stderr=b"unable to connect")})
    with pytest.raises(CommandError, match="unable to connect"):
        load_test(FakeService(answers_after=0), "case", 1, 1.0, runner)


def test_published_port_is_looked_for_where_the_engine_is_and_here() -> None:
    assert hosts_of("unix:///run/docker.sock", {}) == ["127.0.0.1"]
    assert hosts_of("tcp://far:2376", {}) == ["far", "127.0.0.1"]
    assert hosts_of("unix:///x", {"WASMDOCK_ENGINE_ADDRESS": "10.0.0.2"}) == ["10.0.0.2", "127.0.0.1"]
