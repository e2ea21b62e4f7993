"""However slowly or long a registry sends, and whatever the bytes are for: an end within the time that is set."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faulty_registry import REPOSITORY, FaultyRegistry, answering, faulty_registry, on
from tests.hostile_registries import BIG
from tests.images import hello
from wasmdock.cosign import attestations, is_signed
from wasmdock.errors import RegistryError
from wasmdock.oci import registry_blobs
from wasmdock.oci.image import Descriptor, Reference
from wasmdock.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from wasmdock.oci.registry_http import Patience, Transport
from wasmdock.oci.registry_pace import Pace, TooSlowError
from wasmdock.oci.registry_transfer import pull, push
from wasmdock.oci.store import Store

MANIFEST, BLOB, UPLOAD = "/manifests/", "/blobs/sha256", "/blobs/uploads/"
IMAGE = hello()
CHUNKED: dict[str, Any] = {"Content_Length": "", "Transfer_Encoding": "chunked"}
SECONDS = 8.0  # far more than what the patience below allows, far less than what the registries here would take


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        found.hold(IMAGE)
        yield found


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(tmp_path / "store")


def for_ever(
    registry: FaultyRegistry, head: bytes, piece: bytes, pause: float, status: int = 200, **headers: str
) -> Callable[[Any], Any]:
    """Say this, then a piece now and then, for half a minute."""

    def act(call: Any) -> None:
        call.handler.close_connection = True
        call.answer(status, b"", **headers)
        call.handler.wfile.write(head)
        until = time.monotonic() + 30
        while time.monotonic() < until and not registry.stop.wait(pause):
            call.handler.wfile.write(piece)

    return act


def failing(registry: FaultyRegistry, store: Store, **patience: Any) -> RegistryError:
    """The error of a pull that ends in time."""
    began = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        pull(registry.client(tries=1, **patience), Reference(registry.name, REPOSITORY, "v1"), store)
    assert time.monotonic() - began < SECONDS
    return caught.value


def test_trailers_without_end_are_not_waited_for(registry: FaultyRegistry, store: Store) -> None:
    whole = b"%x\r\n%s\r\n0\r\n" % (len(IMAGE.manifest), IMAGE.manifest)
    act = for_ever(registry, whole, b"X: y\r\n" * 1000, 0.01, Content_Type=OCI_MANIFEST, **CHUNKED)
    registry.faults.append(on("GET", MANIFEST, act))
    assert "bytes came in" in failing(registry, store).message


def test_trailers_of_a_blob_are_not_waited_for_either(registry: FaultyRegistry, store: Store) -> None:
    layer = IMAGE.layers[0].data
    act = for_ever(registry, b"%x\r\n%s\r\n0\r\n" % (len(layer), layer), b"X: y\r\n" * 1000, 0.01, **CHUNKED)
    registry.faults.append(on("GET", IMAGE.layers[0].descriptor.digest.hex, act))
    assert "bytes came in" in failing(registry, store).message


@pytest.mark.parametrize("pattern", [MANIFEST, BLOB])
def test_the_size_of_a_chunk_must_not_drip(pattern: str, registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", pattern, for_ever(registry, b"10;", b"x", 0.02, **CHUNKED)))
    assert "only 0 bytes came in" in failing(registry, store).message


def test_a_document_has_a_deadline_however_steadily_it_comes(registry: FaultyRegistry, store: Store) -> None:
    act = for_ever(registry, b"{", b" " * 2000, 0.02, Content_Length="4000000", Content_Type=OCI_MANIFEST)
    registry.faults.append(on("GET", MANIFEST, act))
    assert "the answer took longer than" in failing(registry, store, document=0.6).message


def test_a_config_is_a_document_too(registry: FaultyRegistry, store: Store) -> None:
    config = Descriptor.of(OCI_CONFIG, b" " * (4 << 20))
    registry.hold_manifest(json.dumps({**json.loads(IMAGE.manifest), "config": config.document()}).encode())
    act = for_ever(registry, b"{", b" " * 2000, 0.02, Content_Length=str(config.size))
    registry.faults.append(on("GET", config.digest.hex, act))
    assert "the answer took longer than" in failing(registry, store, document=0.6).message


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("sig", "application/vnd.dev.cosign.simplesigning.v1+json"),
        ("att", "application/vnd.dsse.envelope.v1+json"),
    ],
)
def test_what_cosign_keeps_is_documents_too(kind: str, media_type: str, registry: FaultyRegistry) -> None:
    layer = Descriptor.of(media_type, b" " * 60_000)
    registry.hold_manifest(json.dumps({"layers": [layer.document()]}).encode(), tag=f"sha256-{IMAGE.digest.hex}.{kind}")
    act = for_ever(registry, b"{", b" " * 100, 0.02, Content_Length=str(layer.size))
    registry.faults.append(on("GET", layer.digest.hex, act))
    asked = registry.client(tries=1, document=0.6), Reference(registry.name, REPOSITORY, "v1"), IMAGE.digest
    with pytest.raises(RegistryError, match="the answer took longer than"):
        is_signed(*asked, b"") if kind == "sig" else attestations(*asked)


def test_each_try_that_was_not_answered_is_told_with_how_long_and_how_often(
    registry: FaultyRegistry, store: Store
) -> None:
    told: list[str] = []
    registry.faults.append(on("GET", MANIFEST, lambda _call: registry.stop.wait(30)))
    with pytest.raises(RegistryError):
        pull(
            registry.client(head=1, idle=1, tries=3, tell=told.append),
            Reference(registry.name, REPOSITORY, "v1"),
            store,
        )
    assert [line.rpartition(" (")[2] for line in told] == ["2 of 3)", "3 of 3)"]
    assert f"/v2/{REPOSITORY}/manifests/v1 within 1 s: nothing came in time: trying again in" in told[0]


def test_silence_is_borne_for_so_long_in_all_tries_of_a_request(registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", MANIFEST, lambda _call: registry.stop.wait(30)))
    with pytest.raises(RegistryError, match="nothing came in time"):
        pull(registry.client(tries=9, silence=0.7, head=0.3), Reference(registry.name, REPOSITORY, "v1"), store)
    assert len(registry.asked("GET", MANIFEST)) == 3


def test_silence_in_the_middle_of_a_blob_counts_as_well(registry: FaultyRegistry, store: Store) -> None:
    layer = IMAGE.layers[0]
    act = for_ever(registry, layer.data[:1], b"", 30, Content_Length=str(len(layer.data)))
    registry.faults.append(on("GET", layer.descriptor.digest.hex, act))
    with pytest.raises(RegistryError, match="nothing came in time"):
        pull(registry.client(tries=9, silence=0.5, idle=0.3), Reference(registry.name, REPOSITORY, "v1"), store)
    assert len(registry.asked("GET", layer.descriptor.digest.hex)) == 2


def test_silence_after_a_piece_is_borne_for_so_long_in_all_uploads_of_a_blob(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_blobs, "SMALL", 4096)
    registry.faults.append(on("PATCH", UPLOAD, lambda call: bool(call.read()) or registry.stop.wait(30)))  # type: ignore[func-returns-value]  # read is None
    with pytest.raises(RegistryError, match="nothing came in time"):
        push(registry.client(tries=9, silence=0.5, head=0.3), Reference(registry.name, REPOSITORY, "v2"), BIG)
    assert len(registry.asked("PATCH", UPLOAD)) == 2


def lists(registry: FaultyRegistry, pattern: str, pause: float) -> None:
    """Lists whose pages have no end, each after a while."""

    def page(call: Any) -> None:
        registry.stop.wait(pause)
        more = f'<{call.path}?last={len(registry.calls)}>; rel="next"'
        call.answer(200, b'{"manifests":[],"tags":[]}', Link=more, Content_Type=OCI_INDEX)

    registry.faults.append(on("GET", pattern, page))


@pytest.mark.parametrize("kind", ["tags", "referrers"])
def test_all_pages_of_a_list_come_within_its_time(kind: str, registry: FaultyRegistry) -> None:
    lists(registry, f"/{kind}/", 0.1)
    client, began = registry.client(listing=0.6), time.monotonic()
    with pytest.raises(RegistryError, match=r"its pages took longer than 1 s$"):
        client.tags("x") if kind == "tags" else client.referrers("x", IMAGE.digest, "looking")
    assert time.monotonic() - began < 3
    assert 2 < len(registry.asked("GET", f"/{kind}/")) < 10


def test_the_last_page_of_a_list_has_only_what_is_left_of_its_time(registry: FaultyRegistry) -> None:
    act = for_ever(registry, b"{", b" " * 2000, 0.02, Content_Length="4000000")
    registry.faults.append(on("GET", "/tags/", act))
    began = time.monotonic()
    with pytest.raises(RegistryError, match="its pages took longer than"):
        registry.client(listing=0.6, document=30).tags("x")
    assert time.monotonic() - began < 3


def test_a_layer_has_none_while_it_comes_steadily(registry: FaultyRegistry, store: Store) -> None:
    data, digest = IMAGE.layers[0].data, IMAGE.layers[0].descriptor.digest.hex

    def slowly(call: Any) -> None:
        call.answer(200, data[:-9], Content_Length=str(len(data)))
        for byte in data[-9:]:
            time.sleep(0.1)
            call.handler.wfile.write(bytes([byte]))

    registry.faults.append(on("GET", digest, slowly))
    pull(registry.client(document=0.3, idle=2), Reference(registry.name, REPOSITORY, "v1"), store)


def test_the_body_of_a_redirect_is_not_waited_for(registry: FaultyRegistry, store: Store) -> None:
    target = f"/v2/{REPOSITORY}/manifests/v1"
    act = for_ever(registry, b"", b" " * 2000, 0.02, status=307, Content_Length="1000000", Location=target)
    registry.faults.append(on("GET", MANIFEST, act, 1))
    began = time.monotonic()
    pull(registry.client(document=30), Reference(registry.name, REPOSITORY, "v1"), store)
    assert time.monotonic() - began < SECONDS


def test_the_words_of_an_error_are_not_waited_for(registry: FaultyRegistry, store: Store) -> None:
    act = for_ever(registry, b"{", b" " * 50, 0.02, status=403, Content_Length="60000")
    registry.faults.append(on("GET", MANIFEST, act))
    assert "does not allow it" in failing(registry, store, document=0.6).message


def test_an_upload_that_moves_by_a_byte_with_each_cut_is_given_up(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_blobs, "CHUNK", 4096)
    monkeypatch.setattr(registry_blobs, "SMALL", 4096)
    stands = iter(range(1, 10_000))
    registry.faults.append(on("PATCH", UPLOAD, lambda call: call.hang_up()))
    registry.faults.append(on("GET", UPLOAD, lambda call: call.answer(204, Range=f"0-{next(stands)}")))
    with pytest.raises(RegistryError, match="the connection was cut"):
        push(registry.client(), Reference(registry.name, REPOSITORY, "v2"), BIG)
    assert len(registry.asked("PATCH", UPLOAD)) <= 9  # three tries in each of three uploads


def test_a_short_rest_is_read_so_that_the_connection_serves_again(registry: FaultyRegistry) -> None:
    seen = set()
    registry.faults.append(lambda call: bool(seen.add(call.handler.client_address)))  # type: ignore[func-returns-value]  # add is None
    registry.faults.append(on("GET", "x", answering(404, b"x" * 9_000)))
    transport = Transport(patience=Patience(connect=2, head=2, idle=2))
    for _ in range(3):
        transport.request("GET", f"http://{registry.name}/x", doing="trying").drain()
    assert len(seen) == 1


def test_time_in_which_nobody_reads_is_not_the_registrys_fault() -> None:
    pace = Pace(1.0)
    pace.body(1024, 0.05)
    time.sleep(0.1)
    pace.rested(10.0)
    pace.look()


def test_time_in_which_nothing_comes_is() -> None:
    pace = Pace(1.0)
    pace.body(1024, 0.05)
    time.sleep(0.1)
    with pytest.raises(TooSlowError, match="only 0 bytes came in"):
        pace.look()
