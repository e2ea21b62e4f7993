"""A registry's challenge, and the secrets that its answers must not show."""

import threading
import time
from typing import Any, cast

from wasmdock.oci.credentials import NOBODY
from wasmdock.oci.registry_auth import Authorizer, Challenge, parse_challenge


def test_a_challenge_of_hostile_length_costs_no_time() -> None:
    began = time.monotonic()
    for blank in (" ", ",", " ,", "\t"):
        for size in (4_000, 60_000):
            parse_challenge("Basic a=b" + blank * size + "!")
    assert time.monotonic() - began < 0.5


def test_of_several_challenges_with_any_blanks_the_token_is_taken() -> None:
    found = parse_challenge('Basic realm="x" , ,\tBearer realm="https://a/t" ,service=s')
    assert found == Challenge("bearer", "https://a/t", "s")


def test_a_challenge_longer_than_any_real_one_asks_for_nothing() -> None:
    assert parse_challenge(f'Bearer realm="https://{"a" * 5000}"') == Challenge("")


def test_secrets_are_taken_out_while_no_other_thread_adds_one() -> None:
    authorizer = Authorizer("localhost", cast(Any, None), lambda: NOBODY)
    done: list[str] = []
    reader = threading.Thread(target=lambda: done.append(authorizer.redact("said")))
    with authorizer._lock:
        reader.start()
        reader.join(0.1)
        assert not done
    reader.join()
    assert done == ["said"]
