"""What a registry sends back of our secrets, and what stands in a proxy's address, is not shown."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faulty_registry import LOGIN, REPOSITORY, SECRET, FaultyRegistry, answering, faulty_registry, on
from tests.hostile_registries import BIG
from tests.images import hello
from wasmdock.errors import RegistryError, UsageError
from wasmdock.oci import registry_blobs
from wasmdock.oci.image import Reference
from wasmdock.oci.manifest import OCI_MANIFEST
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_hosts import proxy_for
from wasmdock.oci.registry_http import Patience, Transport
from wasmdock.oci.registry_transfer import pull, push
from wasmdock.oci.store import Store

MANIFEST, UPLOAD = "/manifests/", "/blobs/uploads/"
IMAGE = hello()
BASIC = base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    """It asks for a login first."""
    with faulty_registry() as found:
        found.hold(IMAGE)
        challenge = answering(401, WWW_Authenticate='Basic realm="x"')
        found.faults.append(on("GET", MANIFEST, challenge, 1))
        found.faults.append(on("HEAD", MANIFEST, challenge, 1))
        yield found


def refused(registry: FaultyRegistry, store: Store, **patience: Any) -> str:
    """All that a pull's error says."""
    with pytest.raises(RegistryError) as caught:
        pull(registry.client(LOGIN, **patience), Reference(registry.name, REPOSITORY, "v1"), store)
    assert str(caught.value) == caught.value.message
    return f"{caught.value.message} {caught.value.hint}"


def reference(registry: FaultyRegistry) -> Reference:
    return Reference(registry.name, REPOSITORY, "v2")


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("shown", range(4, len(SECRET)))
def test_a_secret_that_a_message_cuts_is_not_shown_by_half(shown: int, registry: FaultyRegistry, store: Store) -> None:
    filler = "x" * (200 - len("DENIED: ") - shown)
    words = json.dumps({"errors": [{"code": "DENIED", "message": filler + SECRET}]}).encode()
    registry.faults.append(on("GET", MANIFEST, answering(403, words)))
    assert SECRET[:4] not in refused(registry, store)


@pytest.mark.parametrize("secret", [SECRET, BASIC])
@pytest.mark.parametrize("filler", ["", "x" * 100, "x" * 113])
def test_a_secret_in_the_header_of_a_digest_is_not_shown(
    filler: str, secret: str, registry: FaultyRegistry, store: Store
) -> None:
    digest = f"sha256:{filler}{secret}"
    act = answering(200, IMAGE.manifest, Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest)
    registry.faults.append(on("GET", MANIFEST, act))
    assert secret[:4] not in refused(registry, store)


def test_a_secret_in_the_address_of_a_redirect_is_not_shown(registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", MANIFEST, answering(307, Location=f"http://registry.invalid/{SECRET}")))
    assert SECRET not in refused(registry, store)


def test_a_secret_in_the_range_of_a_blob_is_not_shown(registry: FaultyRegistry, store: Store) -> None:
    registry.faults.append(on("GET", "/blobs/", answering(200, b"x", Content_Length=SECRET)))
    assert SECRET not in refused(registry, store)


def test_a_secret_where_an_upload_goes_on_is_not_shown(registry: FaultyRegistry) -> None:
    registry.faults.append(on("POST", UPLOAD, answering(202, Location=f"http://registry.invalid/{SECRET}")))
    with pytest.raises(RegistryError) as caught:
        push(registry.client(LOGIN), reference(registry), BIG)
    assert SECRET not in caught.value.message


def test_a_secret_in_what_was_stored_is_not_shown(registry: FaultyRegistry) -> None:
    registry.faults.append(on("PUT", UPLOAD, answering(201, Docker_Content_Digest=f"sha256:{SECRET}")))
    with pytest.raises(RegistryError, match="stored something else") as caught:
        push(registry.client(LOGIN), reference(registry), BIG)
    assert SECRET not in caught.value.message


def test_a_secret_is_not_shown_when_it_is_told_what_is_tried_again(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_blobs, "SMALL", 4096)
    told: list[str] = []
    words = json.dumps({"errors": [{"code": "X", "message": SECRET}]}).encode()
    registry.faults.append(on("PATCH", UPLOAD, answering(503, words), 1))
    push(registry.client(LOGIN, tell=told.append), reference(registry), BIG)
    assert told
    assert SECRET not in "".join(told)


def test_a_token_that_no_longer_serves_is_not_shown_either(registry: FaultyRegistry, store: Store) -> None:
    given = iter(["token-number-one", "token-number-two"])

    def give(call: Any) -> None:
        call.answer(200, json.dumps({"token": next(given)}).encode())

    def echo(call: Any) -> None:
        if call.headers.get("Authorization") == "Bearer token-number-two":
            call.answer(403, b'{"errors":[{"code":"X","message":"was token-number-one"}]}')
        else:
            call.answer(401, WWW_Authenticate=f'Bearer realm="http://{registry.name}/token"')

    registry.faults[:0] = [on("GET", "/token", give), on("GET", MANIFEST, echo)]
    assert "(X: was ***)" in refused(registry, store)


def test_a_secret_in_an_address_is_known_as_it_is_written_there(registry: FaultyRegistry, store: Store) -> None:
    login = LOGIN._replace(secret="pass/word&more")
    registry.faults.append(on("GET", MANIFEST, answering(307, Location="http://registry.invalid/pass%2Fword%26more")))
    with pytest.raises(RegistryError) as caught:
        transport = Transport(patience=Patience(connect=2, head=2, idle=2, tries=1))
        pull(Registry(registry.name, transport, lambda: login), Reference(registry.name, REPOSITORY, "v1"), store)
    assert "word" not in caught.value.message


@pytest.mark.parametrize(
    "proxy",
    [
        "http://bob:Hunter2/xyz@proxy:3128",
        "http://bob:12/Hunter2@proxy:3128",
        "http://bob:Hunter2?x@proxy:3128",
        "http://bob:Hunter2#x@proxy",
        "bob:Hunter2/x@proxy",
        "http://bob:Hunter2@[proxy:3128",
        "http://bob:Hunter2@",
        "socks5://bob:Hunter2@proxy:1080",
    ],
)
def test_a_proxy_that_cannot_be_read_is_a_usage_error_that_does_not_show_it(proxy: str) -> None:
    with pytest.raises(UsageError, match="^reading HTTPS_PROXY: it is ") as caught:
        proxy_for("https://ghcr.io/v2/", {"HTTPS_PROXY": proxy})
    assert "Hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.hint.startswith("write http://[user:password@]host:port")


def test_a_proxy_that_cannot_be_read_is_said_once(store: Store) -> None:
    told: list[str] = []
    transport = Transport({"HTTPS_PROXY": "http://bob:Hunter2/x@proxy"}, patience=Patience(tell=told.append))
    with pytest.raises(UsageError):
        pull(Registry("ghcr.io", transport), Reference("ghcr.io", "x/y", "v1"), store)
    assert not told
