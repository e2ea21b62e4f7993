"""What is sent may take its time, with the head's time counted from its end; who takes nothing is given up."""

import io
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faulty_registry import REPOSITORY, FaultyRegistry, answering, faulty_registry, on
from wasmdock.errors import RegistryError
from wasmdock.oci import registry_blobs, registry_wire
from wasmdock.oci.image import Descriptor
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_blobs import send_blob
from wasmdock.oci.registry_http import Patience, Transport
from wasmdock.oci.registry_uplink import Uplink

UPLOAD = "/blobs/uploads/"
DATA = bytes(range(256)) * 800
BLOB = Descriptor.of("", DATA)


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        yield found


def narrow(registry: FaultyRegistry) -> None:
    """Have the rest of a body wait in the queue of who sends it, as on a slow line."""
    registry._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def slowly(registry: FaultyRegistry, pause: float = 0.01) -> Callable[[Any], bool]:
    """A fault that takes bodies by 2 kB at a time, and leaves the rest of it to others: DATA takes a second."""
    narrow(registry)

    def fault(call: Any) -> bool:
        left, pieces = int(call.headers.get("Content-Length", 0)), []
        while left:
            pieces.append(call.handler.rfile.read(min(2048, left)))
            left -= len(pieces[-1])
            time.sleep(pause)
        call.body, call.is_read = b"".join(pieces), True
        return False

    return fault


def send(client: Registry, data: bytes = DATA) -> None:
    send_blob(client, REPOSITORY, Descriptor.of("", data), lambda: io.BytesIO(data), "sending")


def test_a_small_blob_may_take_longer_than_the_head_of_the_answer(registry: FaultyRegistry) -> None:
    registry.faults.append(slowly(registry))
    send(registry.client(tries=1, head=0.3, idle=0.3))
    assert registry.blobs[str(BLOB.digest)] == DATA
    assert len(registry.asked("PUT", UPLOAD)) == 1


def test_a_piece_may_take_longer_than_a_write_of_a_socket(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DATA * 40  # more than any queue holds
    registry.faults.append(slowly(registry, 0.0001))
    monkeypatch.setattr(registry_blobs, "PIECE", len(data))
    send(registry.client(tries=1, head=0.4, idle=0.3), data)
    assert [len(call.body) for call in registry.asked("PATCH", UPLOAD)] == [len(data)]


def test_who_takes_nothing_is_given_up_with_that_cause(registry: FaultyRegistry) -> None:
    narrow(registry)
    registry.faults.append(on("PATCH", UPLOAD, lambda call: registry.stop.wait(5)))
    began, data = time.monotonic(), DATA * 40
    with pytest.raises(RegistryError, match=r"was given up after \d s: only \d+ bytes were taken in \d s$"):
        send(registry.client(tries=1), data)
    assert time.monotonic() - began < 4


def test_who_has_all_and_says_nothing_is_told_from_who_takes_too_little(registry: FaultyRegistry) -> None:
    slow = slowly(registry)
    registry.faults += [slow, on("PUT", UPLOAD, lambda call: registry.stop.wait(5))]
    with pytest.raises(RegistryError, match=r"no answer from .* within 0 s: nothing came in time$"):
        send(registry.client(tries=1, head=0.3, idle=0.3))


def test_an_answer_before_the_end_of_a_body_is_heard_and_its_connection_left(registry: FaultyRegistry) -> None:
    seen = set()

    def refuse(call: Any) -> None:
        seen.add(call.handler.client_address)
        call.is_read = True
        call.answer(403, b'{"errors":[{"code":"DENIED"}]}')
        registry.stop.wait(1)

    narrow(registry)
    registry.faults.append(on("PATCH", UPLOAD, refuse))
    client = registry.client(tries=1, head=2, idle=20)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(RegistryError, match="does not allow it .DENIED"):
            send(client, DATA * 40)
        assert time.monotonic() - began < 8
    assert len(seen) == 2


def late(call: Any) -> None:
    """Take the body at once, as a proxy does, and answer when it has gone on."""
    call.read()
    time.sleep(0.6)
    call.answer(201)


@pytest.mark.parametrize("more, is_enough", [(300.0, True), (0.0, False)])
def test_behind_a_proxy_the_answer_has_more_time(
    more: float, is_enough: bool, registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_wire, "_BLIND", more)
    registry.faults.append(on("PUT", "/x", late))
    patience = Patience(connect=2, head=0.2, idle=0.2)
    transport = Transport({"HTTP_PROXY": f"http://{registry.name}"}, insecure=True, patience=patience)

    def put() -> int:
        return transport.request("PUT", "http://registry.test/x", doing="trying", body=DATA).status

    if is_enough:
        assert put() == 201
        return
    with pytest.raises(RegistryError, match="nothing came in time through the proxy"):
        put()


def test_where_nobody_tells_what_is_under_way_the_answer_has_more_time_too(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Uplink, "queued", None)
    registry.faults.append(slowly(registry))
    send(registry.client(tries=1, head=0.3, idle=0.3))
    assert registry.blobs[str(BLOB.digest)] == DATA


def test_a_connection_serves_again_after_a_body(registry: FaultyRegistry) -> None:
    seen = set()
    registry.faults.append(lambda call: bool(seen.add(call.handler.client_address)))  # type: ignore[func-returns-value]  # add is None
    registry.faults.append(on("PUT", "x", answering(201)))
    transport = Transport(patience=Patience(connect=2, head=2, idle=2))
    for _ in range(3):
        transport.request("PUT", f"http://{registry.name}/x", doing="trying", body=DATA).drain()
    assert len(seen) == 1
