"""What a registry is asked and told: logins, redirects, retries, resumed and skipped blobs, tags, copies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faulty_registry import LOGIN, REPOSITORY, SECRET, FaultyRegistry, answering, cut_after, faulty_registry, on
from tests.hostile_registries import BIG
from tests.images import hello, image_with, tar_of
from wasmdock.errors import ImageError, RegistryError, UnavailableError, UsageError
from wasmdock.oci import registry as registry_client
from wasmdock.oci import registry_blobs, registry_copy
from wasmdock.oci.credentials import Login
from wasmdock.oci.image import Digest, Image, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.manifest import INDEXES
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_hosts import proxy_for
from wasmdock.oci.registry_http import Patience, Transport, shown_url
from wasmdock.oci.registry_transfer import copy, pull, push
from wasmdock.oci.store import Store

MANIFEST, BLOB, UPLOAD = "/manifests/", "/blobs/sha256", "/blobs/uploads/"
IMAGE = hello()
LAYER = IMAGE.layers[0]


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_blobs, "CHUNK", 4096)
    monkeypatch.setattr(registry_blobs, "SMALL", 4096)


def name(registry: FaultyRegistry, tag: str = "v1") -> Reference:
    return Reference(registry.name, REPOSITORY, tag)


def native() -> Image:
    return image_with(tar_of({"hello": b"\x7fELF"}), os="linux", architecture="amd64")


def test_what_is_pushed_is_pulled_byte_for_byte(registry: FaultyRegistry, store: Store) -> None:
    sent = push(registry.client(), name(registry), IMAGE)
    assert (sent.digest, sent.sent) == (IMAGE.digest, 2)
    line = pull(registry.client(), name(registry), store)
    assert (line.digest, line.platform) == (IMAGE.digest, IMAGE.platform)
    assert store.get(str(name(registry))) == IMAGE


def test_an_unchanged_image_is_pushed_without_sending_a_blob(registry: FaultyRegistry) -> None:
    push(registry.client(), name(registry), IMAGE)
    registry.calls.clear()
    assert push(registry.client(), name(registry), IMAGE).sent == 0
    assert {call.method for call in registry.calls} == {"GET", "HEAD"}


def test_blobs_that_are_there_are_not_sent_under_another_tag(registry: FaultyRegistry) -> None:
    push(registry.client(), name(registry), IMAGE)
    sent = push(registry.client(), name(registry, "v2"), IMAGE)
    assert (sent.sent, sent.there) == (0, 2)


def test_blobs_are_taken_from_another_repository_of_the_registry(registry: FaultyRegistry) -> None:
    registry.mounts = True
    sent = push(registry.client(), name(registry), IMAGE, sources=lambda _: ["me/other"])
    assert (sent.sent, sent.mounted) == (0, 2)
    assert registry.asked("POST", UPLOAD)[0].query["from"] == ["me/other"]


def test_a_registry_that_does_not_mount_gets_the_bytes(registry: FaultyRegistry) -> None:
    assert push(registry.client(), name(registry), IMAGE, sources=lambda _: ["me/other"]).sent == 2


def test_a_large_blob_goes_in_chunks(registry: FaultyRegistry, small_chunks: None) -> None:
    push(registry.client(), name(registry), BIG)
    ranges = [call.headers["Content-Range"] for call in registry.asked("PATCH", UPLOAD)]
    assert ranges[0] == "0-4095"
    assert len(ranges) == -(-BIG.layers[0].descriptor.size // 4096)
    assert registry.blobs[str(BIG.layers[0].descriptor.digest)] == BIG.layers[0].data


def test_a_cut_upload_goes_on_where_the_registry_stands(registry: FaultyRegistry, small_chunks: None) -> None:
    def cut(call: Any) -> None:
        registry.uploads[call.path.rpartition("/")[2]].extend(call.handler.rfile.read(1000))
        call.hang_up()

    registry.faults.append(on("PATCH", UPLOAD, cut, 1))
    push(registry.client(), name(registry), BIG)
    ranges = [call.headers["Content-Range"] for call in registry.asked("PATCH", UPLOAD)]
    assert ranges[:2] == ["0-4095", "1000-5095"]
    assert len(registry.uploads) == 2  # one for each blob


def test_an_upload_the_registry_forgot_begins_anew(registry: FaultyRegistry, small_chunks: None) -> None:
    registry.faults.append(on("PATCH", UPLOAD, answering(404), 1))
    push(registry.client(), name(registry), BIG)
    assert registry.manifests["v1"][1] == BIG.manifest


def test_a_cut_blob_is_fetched_from_where_it_broke(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(BIG)
    layer = BIG.layers[0]
    registry.faults.append(on("GET", layer.descriptor.digest.hex, cut_after(layer.data[:5000], len(layer.data)), 1))
    pull(registry.client(), name(registry), store)
    asked = [call.headers.get("Range") for call in registry.asked("GET", layer.descriptor.digest.hex)]
    assert asked == [None, "bytes=5000-"]
    assert store.get(str(name(registry))) == BIG


def test_a_cut_blob_is_fetched_again_where_the_registry_knows_no_ranges(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(BIG)
    registry.resumes = False
    layer = BIG.layers[0]
    registry.faults.append(on("GET", layer.descriptor.digest.hex, cut_after(layer.data[:5000], len(layer.data)), 1))
    pull(registry.client(), name(registry), store)
    assert store.get(str(name(registry))) == BIG


def test_a_blob_of_which_the_end_alone_was_cut_is_fetched_again(registry: FaultyRegistry, store: Store) -> None:
    """All bytes are there, and no range begins behind the last of them."""
    registry.hold(BIG)
    layer = BIG.layers[0]

    def without_an_end(call: Any) -> None:
        call.answer(200, Content_Length="", Transfer_Encoding="chunked")
        call.raw(b"%x\r\n%s\r\n" % (len(layer.data), layer.data))

    registry.faults.append(on("GET", layer.descriptor.digest.hex, without_an_end, 1))
    pull(registry.client(), name(registry), store)
    asked = [call.headers.get("Range") for call in registry.asked("GET", layer.descriptor.digest.hex)]
    assert (asked, store.get(str(name(registry)))) == ([None, None], BIG)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_not_seen(status: int, registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    for pattern in (MANIFEST, BLOB):
        registry.faults.append(on("GET", pattern, answering(status), 2))
    assert pull(registry.client(), name(registry), store).digest == IMAGE.digest


def test_a_failure_of_the_request_itself_is_not_tried_again(registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", MANIFEST, answering(400)))
    with pytest.raises(RegistryError, match="answered 400"):
        pull(registry.client(), name(registry), store)
    assert len(registry.asked("GET", MANIFEST)) == 1


@pytest.mark.parametrize(
    ("header", "pauses"),
    [
        ("1", [1.0]),
        ("Thu, 01 Jan 1970 00:00:00 GMT", [0.0]),
        ("", [0.25]),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", [0.25]),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", [0.25]),
    ],
)
def test_pauses_are_those_the_registry_asks_for(
    header: str, pauses: list[float], registry: FaultyRegistry, store: Store
) -> None:
    registry.hold(IMAGE)
    registry.faults.append(on("GET", MANIFEST, answering(429, Retry_After=header), 1))
    slept: list[float] = []
    pull(registry.client(sleep=slept.append, pause=0.25), name(registry), store)
    assert slept == pauses


def test_pauses_double(registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", MANIFEST, answering(503)))
    slept: list[float] = []
    with pytest.raises(RegistryError):
        pull(registry.client(sleep=slept.append, pause=0.5, tries=5), name(registry), store)
    assert slept == [0.5, 1.0, 2.0, 2]


def test_a_wait_beyond_bearing_is_told_instead(registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", MANIFEST, answering(429, Retry_After="3600")))
    with pytest.raises(RegistryError) as caught:
        pull(registry.client(), name(registry), store)
    assert (caught.value.status, caught.value.hint) == (429, "it asks to wait 3600 s: try again then")


def _with_tokens(registry: FaultyRegistry, tokens: list[bytes]) -> None:
    """A token server; requests need the newest of its tokens."""
    given: list[str] = []

    def token(call: Any) -> None:
        given.append(json.loads(tokens[len(given)])["token"])
        call.answer(200, tokens[len(given) - 1])

    def check(call: Any) -> bool:
        if call.path == "/token" or (given and call.headers.get("Authorization") == f"Bearer {given[-1]}"):
            return False
        challenge = f'Bearer realm="http://{registry.name}/token",service="s",scope="x"'
        call.answer(401, WWW_Authenticate=challenge)
        return True

    registry.faults += [on("GET", "/token", token), on("POST", "/token", token), check]


def test_a_token_is_fetched_with_the_login_and_used_for_all(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    _with_tokens(registry, [b'{"token":"first","expires_in":300}'])
    pull(registry.client(LOGIN), name(registry), store)
    (asked,) = registry.asked("GET", "/token")
    assert asked.query == {"service": ["s"], "scope": [f"repository:{REPOSITORY}:pull"]}
    assert asked.headers["Authorization"].startswith("Basic ")


def test_a_token_that_no_longer_serves_is_renewed(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    _with_tokens(registry, [b'{"token":"first"}', b'{"access_token":"x","token":"second"}'])
    client = registry.client()
    pull(client, name(registry), store)
    registry.faults.insert(0, on("GET", MANIFEST, answering(401, WWW_Authenticate=_bearer(registry)), 1))
    pull(client, name(registry), store)
    assert len(registry.asked("GET", "/token")) == 2


def _bearer(registry: FaultyRegistry) -> str:
    return f'Bearer realm="http://{registry.name}/token",service="s"'


def test_an_identity_token_goes_in_the_body_and_not_in_the_address(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    _with_tokens(registry, [b'{"token":"first"}'])
    bodies: list[bytes] = []

    def token(call: Any) -> bool:
        if call.path == "/token":
            call.read()
            bodies.append(call.body)
        return False

    registry.faults.insert(0, token)
    pull(registry.client(Login(identity_token=SECRET)), name(registry), store)
    assert b"grant_type=refresh_token" in bodies[0]
    assert SECRET.encode() in bodies[0]
    assert not registry.asked("POST", "/token")[0].query


def test_a_basic_login_is_sent_only_once_it_is_asked_for(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    registry.faults.append(on("GET", MANIFEST, answering(401, WWW_Authenticate='Basic realm="x"'), 1))
    pull(registry.client(LOGIN), name(registry), store)
    sent = [("Authorization" in call.headers) for call in registry.calls]
    assert sent == [False, False, True, True, True]


def test_a_redirect_to_another_host_gets_no_login(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    with faulty_registry() as other:
        other.hold(IMAGE)
        registry.faults.append(on("GET", MANIFEST, answering(401, WWW_Authenticate='Basic realm="x"'), 1))
        for digest in (IMAGE.config_descriptor.digest, LAYER.descriptor.digest):
            target = f"http://{other.name}/v2/{REPOSITORY}/blobs/{digest}?signature={SECRET}"
            registry.faults.append(on("GET", str(digest), answering(307, Location=target)))
        pull(registry.client(LOGIN), name(registry), store)
        assert all("Authorization" in call.headers for call in registry.asked("GET", BLOB))
        assert other.asked("GET", BLOB)
        assert not any("Authorization" in call.headers for call in other.calls)


def test_an_upload_place_on_another_host_gets_no_login(registry: FaultyRegistry) -> None:
    with faulty_registry() as other:
        registry.faults.append(on("HEAD", MANIFEST, answering(401, WWW_Authenticate='Basic realm="x"'), 1))
        place = f"http://{other.name}/v2/{REPOSITORY}/blobs/uploads/s0"
        registry.faults.append(on("POST", UPLOAD, answering(202, Location=place)))
        other.faults.append(on("PUT", UPLOAD, answering(201)))
        push(registry.client(LOGIN), name(registry), IMAGE)
        assert other.asked("PUT", UPLOAD)
        assert not any("Authorization" in call.headers for call in other.calls)


def test_of_an_index_the_wasm_image_is_pulled(registry: FaultyRegistry, store: Store) -> None:
    push(registry.client(), name(registry), ImageIndex.of([native(), IMAGE]))
    assert pull(registry.client(), name(registry), store).digest == IMAGE.digest


def test_of_an_index_the_platform_named_is_pulled(registry: FaultyRegistry, store: Store) -> None:
    push(registry.client(), name(registry), ImageIndex.of([native(), IMAGE]))
    line = pull(registry.client(), name(registry), store, platforms=(Platform("linux", "amd64"),))
    assert line.platform == Platform("linux", "amd64")


def test_an_image_for_another_platform_is_refused_before_its_layers_come(
    registry: FaultyRegistry, store: Store
) -> None:
    registry.hold(IMAGE)
    with pytest.raises(ImageError, match='choosing an image for "linux/arm64": there is only wasi/wasm'):
        pull(registry.client(), name(registry), store, platforms=(Platform("linux", "arm64"),))
    assert not registry.asked("GET", LAYER.descriptor.digest.hex)


def test_the_name_of_an_index_is_set_after_its_images(registry: FaultyRegistry) -> None:
    push(registry.client(), name(registry), ImageIndex.of([native(), IMAGE]))
    names = [call.path.rpartition("/")[2] for call in registry.asked("PUT", MANIFEST)]
    assert names[-1] == "v1"
    assert set(names[:-1]) == {str(native().digest), str(IMAGE.digest)}


def test_an_image_is_pulled_by_digest(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    reference = Reference(registry.name, REPOSITORY, "", IMAGE.digest)
    assert pull(registry.client(), reference, store).reference == reference


def test_what_has_another_digest_than_was_asked_for_is_refused(registry: FaultyRegistry, store: Store) -> None:
    registry.manifests[str(Digest.of(b"x"))] = (INDEXES[0], IMAGE.manifest)
    with pytest.raises(RegistryError, match="mixed media types|its content has the digest"):
        pull(registry.client(), Reference(registry.name, REPOSITORY, "", Digest.of(b"x")), store)


def test_blobs_the_store_has_are_not_fetched(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    store.put(IMAGE, Reference.parse("mine"))
    pull(registry.client(), name(registry), store)
    assert not registry.asked("GET", BLOB)


def test_a_spoiled_blob_of_the_store_is_fetched_anew(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    store.put(IMAGE, Reference.parse("mine"))
    path = store.root / "blobs" / "sha256" / LAYER.descriptor.digest.hex
    path.write_bytes(b"x" * LAYER.descriptor.size)
    pull(registry.client(), name(registry), store)
    assert store.get("mine") == IMAGE


def test_what_a_killed_pull_left_is_swept_by_the_next(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    left = store.root / "transfers" / "dead" / "blobs" / "sha256"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    pull(registry.client(), name(registry), store)
    assert not list((store.root / "transfers").iterdir())


def test_a_living_pull_is_not_swept(registry: FaultyRegistry, store: Store) -> None:
    registry.hold(IMAGE)
    with store.receive() as incoming:
        pull(registry.client(), name(registry), store)
        store.remove(str(name(registry)))
        assert incoming.folder.is_dir()


def test_a_copy_is_byte_for_byte_and_has_every_platform(registry: FaultyRegistry) -> None:
    index = ImageIndex.of([native(), IMAGE])
    push(registry.client(), name(registry), index)
    with faulty_registry() as other:
        sent = copy(registry.client(), name(registry), other.client(), name(other, "v2"))
        assert other.manifests["v2"][1] == index.data
        assert (sent.digest, sent.sent) == (index.digest, len(other.blobs))
        assert other.blobs == registry.blobs


def test_a_copy_carries_what_is_no_image(registry: FaultyRegistry) -> None:
    artifact = json.dumps({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": []}).encode()
    registry.hold_manifest(artifact, INDEXES[0])
    copy(registry.client(), name(registry), registry.client(), name(registry, "v2"))
    assert registry.manifests["v2"][1] == artifact


def test_tags_come_over_pages_of_this_registry_only(registry: FaultyRegistry) -> None:
    page = answering(200, b'{"tags":["b","a"]}', Link='</v2/x/tags/list?last=b>; rel="next"')
    registry.faults.append(on("GET", "/tags/list", page, 1))
    registry.faults.append(on("GET", "/tags/list", answering(200, b'{"tags":["c"]}')))
    assert registry.client().tags("x") == ["a", "b", "c"]
    registry.faults[:] = [on("GET", "/tags/list", answering(200, b"{}", Link='<https://x.invalid/>; rel="next"'))]
    with pytest.raises(RegistryError, match="on another host"):
        registry.client().tags("x")


def test_the_next_page_is_found_among_other_links(registry: FaultyRegistry) -> None:
    links = '</v2/x/tags/list?n=1000>; rel="first", </v2/x/tags/list?last=b>; rel="next"'
    registry.faults.append(on("GET", "/tags/list", answering(200, b'{"tags":["b"]}', Link=links), 1))
    registry.faults.append(on("GET", "/tags/list", answering(200, b'{"tags":["c"]}')))
    assert registry.client().tags("x") == ["b", "c"]
    assert registry.calls[-1].query == {"last": ["b"]}


def test_pages_of_tags_in_a_loop_end(registry: FaultyRegistry) -> None:
    page = answering(200, b'{"tags":["a"]}', Link='</v2/x/tags/list?n=1000>; rel="next"')
    registry.faults.append(on("GET", "/tags/list", page))
    with pytest.raises(RegistryError, match='listing the tags of ".*/x": its pages go in a circle'):
        registry.client().tags("x")
    assert len(registry.asked("GET", "/tags/list")) == 2


def test_tags_beyond_all_bounds_are_an_error_not_a_shorter_list(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_client, "_TAGS_CAP", 2)
    registry.faults.append(on("GET", "/tags/list", answering(200, b'{"tags":["a","b","c"]}')))
    with pytest.raises(RegistryError, match="more than the 2 tags allowed"):
        registry.client().tags("x")


def test_tags_that_are_no_list_are_said_with_what_was_tried(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/tags/list", answering(200, b'{"tags":"x"}')))
    with pytest.raises(
        RegistryError, match='^listing the tags of ".*/x": reading the registry.s answer: "tags" should'
    ):
        registry.client().tags("x")


def test_a_blob_that_may_not_be_taken_from_elsewhere_is_sent(registry: FaultyRegistry) -> None:
    def refuse(call: Any) -> bool:
        if "mount" in call.query:
            call.answer(403, b'{"errors":[{"code":"DENIED","message":"no pull over there"}]}')
        return "mount" in call.query

    registry.faults.append(refuse)
    sent = push(registry.client(), name(registry), IMAGE, sources=lambda _: ["me/other", "me/third"])
    assert (sent.sent, sent.mounted) == (2, 0)


def test_the_upload_that_is_offered_instead_of_a_mount_is_used(registry: FaultyRegistry) -> None:
    push(registry.client(), name(registry), IMAGE, sources=lambda _: ["me/other", "me/third", "me/fourth"])
    assert len(registry.uploads) == len(registry.asked("PUT", UPLOAD)) == 2


@pytest.mark.parametrize("first", ["Negotiate", 'Digest realm="y", nonce="z"'])
def test_a_login_is_found_on_any_line_of_the_challenge(first: str, registry: FaultyRegistry, store: Store) -> None:
    def ask(call: Any) -> bool:
        if "Authorization" in call.headers:
            return False
        handler = call.handler
        handler.send_response(401)
        for value in (first, 'Basic realm="x"'):
            handler.send_header("WWW-Authenticate", value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    registry.hold(IMAGE)
    registry.faults.append(ask)
    assert pull(registry.client(LOGIN), name(registry), store).digest == IMAGE.digest


def test_a_copy_is_refused_under_another_digest(registry: FaultyRegistry) -> None:
    push(registry.client(), name(registry), IMAGE)
    target = Reference(registry.name, REPOSITORY, "", Digest.of(b"x"))
    with pytest.raises(ImageError, match=f"what is to be copied has the digest {IMAGE.digest}"):
        copy(registry.client(), name(registry), registry.client(), target)
    assert str(target.digest) not in registry.manifests


def test_a_copy_of_more_manifests_than_fit_in_memory_is_refused(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_copy, "_TREE_CAP", 1000)
    push(registry.client(), name(registry), ImageIndex.of([native(), IMAGE]))
    with pytest.raises(ImageError, match="have more than the 1000 bytes allowed"):
        copy(registry.client(), name(registry), registry.client(), name(registry, "v2"))


def test_a_copy_leaves_no_file_behind_even_while_it_runs(
    registry: FaultyRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    push(registry.client(), name(registry), IMAGE)
    seen: list[Path] = []
    with faulty_registry() as other:
        other.faults.append(lambda _: bool(seen.extend(tmp_path.iterdir())))  # type: ignore[func-returns-value]  # extend is None
        copy(registry.client(), name(registry), other.client(), name(other))
    assert seen == []


def test_a_copy_without_room_for_a_blob_says_where(
    registry: FaultyRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    push(registry.client(), name(registry), IMAGE)
    with faulty_registry() as other, pytest.raises(UnavailableError, match=f'keeping a blob in "{tmp_path}/missing"'):
        copy(registry.client(), name(registry), other.client(), name(other))


def test_a_platform_that_is_not_there_is_answered_with_those_that_are(registry: FaultyRegistry, store: Store) -> None:
    push(registry.client(), name(registry), ImageIndex.of([native(), IMAGE]))
    with pytest.raises(ImageError, match="the index has linux/amd64, wasi/wasm") as caught:
        pull(registry.client(), name(registry), store, platforms=(Platform("linux", "arm64"),))
    assert caught.value.hint == "choose one of these with --platform"


def test_plain_http_is_not_spoken_to_other_machines() -> None:
    with pytest.raises(UsageError, match="plain http to registry.invalid"):
        Transport().request("GET", "http://registry.invalid/v2/", doing="trying")


def test_a_name_that_is_not_known_is_said_so(store: Store) -> None:
    transport = Transport(patience=Patience(connect=2, tries=1))
    with pytest.raises(RegistryError, match="https://registry.invalid"):
        pull(Registry("registry.invalid", transport), Reference("registry.invalid", "x"), store)


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://ghcr.io/v2/", {"https_proxy": "p:1"}, "http://p:1"),
        ("http://ghcr.io/v2/", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ghcr.io"}, ""),
        ("https://a.ghcr.io/v2/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".ghcr.io"}, ""),
        ("https://notghcr.io/v2/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ghcr.io"}, "http://p:1"),
        ("https://10.1.2.3/v2/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://ghcr.io:5000/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ghcr.io:443"}, "http://p:1"),
        ("https://ghcr.io/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ghcr.io:443"}, ""),
        ("https://[2001:db8::1]:5000/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "2001:db8::1"}, ""),
        ("https://[2001:db8::1]/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[2001:db8::1]:443"}, ""),
        ("https://[2001:db8::1]/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[2001:db8::1]:444"}, "http://p:1"),
        ("https://[2001:db8::1]/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "2001:db8::/32"}, ""),
        ("https://ghcr.io/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
        ("http://localhost:5000/", {"HTTP_PROXY": "http://p:1"}, ""),
    ],
)
def test_proxies_are_those_of_the_environment(url: str, environment: dict[str, str], expected: str) -> None:
    assert proxy_for(url, environment).url == expected


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    assert shown_url("https://me:secret@host:1/path?signature=secret") == "https://host:1/path"


def test_a_push_killed_at_any_point_leaves_no_broken_tag(registry: FaultyRegistry) -> None:
    """The tag is the last request: whatever comes before it is all there."""
    push(registry.client(), name(registry), IMAGE)
    last = registry.calls[-1]
    assert (last.method, last.path) == ("PUT", f"/v2/{REPOSITORY}/manifests/v1")
