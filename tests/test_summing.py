"""Digests of what comes piece by piece, with and without a thread of their own."""

import hashlib
import os
import threading

import pytest

from wasmdock.oci.summing import Summing


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "wasmdock-sum"]


@pytest.mark.parametrize("size", [0, 1 << 30])
def test_digest_is_that_of_all_the_pieces_in_their_order(size: int) -> None:
    buffers, data = [bytearray(1000), bytearray(1000)], os.urandom(50_000)
    summing = Summing(size)
    for number, start in enumerate(range(0, len(data), 1000)):
        buffer = buffers[number % 2]  # used again as soon as the next piece is taken
        buffer[:] = data[start : start + 1000]
        summing.update(memoryview(buffer))
    assert summing.hexdigest() == hashlib.sha256(data).hexdigest()
    assert _threads() == []


def test_thread_ends_where_the_rest_never_comes() -> None:
    summing = Summing(1 << 30)
    summing.update(memoryview(b"half"))
    assert len(_threads()) == 1
    summing.drop()
    assert _threads() == []
