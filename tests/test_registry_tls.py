"""Registries behind TLS and behind proxies: what is trusted, and where secrets go."""

import base64
import datetime
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.faulty_registry import LOGIN, REPOSITORY, FaultyRegistry, answering, faulty_registry, on
from tests.images import hello
from tests.test_registry_uplink import slowly
from wasmdock.errors import RegistryError, UnavailableError
from wasmdock.oci import registry_trust
from wasmdock.oci.image import Reference
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Patience, Transport
from wasmdock.oci.registry_transfer import pull
from wasmdock.oci.store import Store

QUICK = Patience(connect=2, head=2, idle=2, tries=2, pause=0.0)
IMAGE = hello()
_OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own making for 127.0.0.1 and registry.test, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a registry in a test")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("registry.test")]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def registry(certificate: Path) -> Iterator[FaultyRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with faulty_registry(context) as found:
        found.hold(IMAGE)
        yield found


def client(name: str, environment: dict[str, str] | None = None, insecure: bool = False) -> Registry:
    return Registry(name, Transport(environment or {}, insecure=insecure, patience=QUICK), lambda: LOGIN)


def fetch(registry: Registry, folder: Path) -> None:
    assert pull(registry, Reference(registry.name, REPOSITORY, "v1"), Store(folder)).digest == IMAGE.digest


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "WASMDOCK_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_is_trusted_by_the_bundle_the_user_names(
    variable: str, registry: FaultyRegistry, certificate: Path, tmp_path: Path
) -> None:
    fetch(client(registry.name, {variable: str(certificate)}), tmp_path)


def test_an_unknown_certificate_is_refused_with_its_cure(registry: FaultyRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="its TLS certificate is not trusted") as caught:
        Transport(patience=QUICK).request("GET", f"https://{registry.name}/v2/", doing="trying")
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not registry.calls


def test_an_unknown_certificate_is_taken_where_the_user_says_so(registry: FaultyRegistry, tmp_path: Path) -> None:
    fetch(client(registry.name, insecure=True), tmp_path)


def own_ca(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, certificate: Path) -> None:
    """A CA where Docker looks for that of one registry."""
    monkeypatch.setattr(registry_trust, "CERTIFICATES", folder)
    (folder / name).mkdir(parents=True)
    (folder / name / "ca.crt").write_bytes(certificate.read_bytes())


def test_a_certificate_is_trusted_by_the_ca_that_docker_keeps_for_its_registry(
    registry: FaultyRegistry, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_ca(monkeypatch, tmp_path / "certs.d", registry.name, certificate)
    fetch(client(registry.name), tmp_path / "store")


def test_the_ca_of_one_registry_says_nothing_of_another(
    registry: FaultyRegistry, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_ca(monkeypatch, tmp_path / "certs.d", "another.test:5000", certificate)
    with pytest.raises(RegistryError, match="its TLS certificate is not trusted"):
        fetch(client(registry.name), tmp_path / "store")


def test_a_ca_is_found_with_the_port_of_tls_and_without(certificate: Path, tmp_path: Path, monkeypatch: Any) -> None:
    own_ca(monkeypatch, tmp_path, "ghcr.io", certificate)
    trust = registry_trust.Trust({}, False)
    assert trust("ghcr.io", 443) is trust("ghcr.io", 443)
    assert trust("ghcr.io", 443) is not trust("quay.io", 443)
    assert trust("ghcr.io", 5000) is trust("..", 443) is trust("quay.io", 443)


def test_a_registry_of_this_machine_with_an_unknown_certificate_is_said_to_have_one(
    registry: FaultyRegistry, tmp_path: Path
) -> None:
    told: list[str] = []
    transport = Transport(patience=QUICK._replace(tell=told.append))
    with pytest.raises(RegistryError, match="its TLS certificate is not trusted") as caught:
        fetch(Registry(registry.name, transport), tmp_path)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not told  # it will not pass by itself


def test_a_bundle_that_is_none_is_named(registry: FaultyRegistry, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("no certificate")
    for path in (tmp_path / "bundle", tmp_path / "missing"):
        with pytest.raises(UnavailableError, match=f'reading the CA bundle "{path}"'):
            fetch(client(registry.name, {"SSL_CERT_FILE": str(path)}), tmp_path)


def test_a_redirect_from_tls_to_plain_http_elsewhere_is_refused(
    registry: FaultyRegistry, certificate: Path, tmp_path: Path
) -> None:
    target = "http://registry.test/v2/x/manifests/v1"
    registry.faults.append(on("GET", "/manifests/", answering(307, Location=target)))
    with pytest.raises(RegistryError, match="plain http at http://registry.test"):
        fetch(client(registry.name, {"SSL_CERT_FILE": str(certificate)}), tmp_path)


class Proxy:
    """A proxy that connects every CONNECT to one address, and remembers what it was asked."""

    def __init__(self, target: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[str] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(connection,), daemon=True).start()

    def _relay(self, connection: socket.socket) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        self.heads.append(head.decode())
        with connection, socket.create_connection(self._target) as other:
            connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            ends = {each.fileno(): each for each in (connection, other)}
            poll = select.poll()  # select takes no descriptor from 1024 on
            for descriptor in ends:
                poll.register(descriptor, select.POLLIN)
            while True:
                for ready in [ends[descriptor] for descriptor, _ in poll.poll()]:
                    data = ready.recv(65536)  # more than a record of TLS, so that none of it is left behind
                    if not data:
                        return
                    (other if ready is connection else connection).sendall(data)


@pytest.fixture
def proxy(registry: FaultyRegistry) -> Iterator[Proxy]:
    host, _, port = registry.name.partition(":")
    found = Proxy((host, int(port)))
    yield found
    found.close()


@pytest.fixture
def tls_proxy(registry: FaultyRegistry, certificate: Path) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    host, _, port = registry.name.partition(":")
    found = Proxy((host, int(port)), context)
    yield found
    found.close()


def test_a_registry_is_reached_through_the_proxy(
    registry: FaultyRegistry, proxy: Proxy, certificate: Path, tmp_path: Path
) -> None:
    environment = {"HTTPS_PROXY": f"http://me:p%40ss@{proxy.address}", "SSL_CERT_FILE": str(certificate)}
    fetch(client("registry.test", environment), tmp_path)
    login = base64.b64encode(b"me:p@ss").decode()
    assert proxy.heads[0].startswith("CONNECT registry.test:443 HTTP/1.")
    assert f"basic {login}" in proxy.heads[0].lower().replace(login.lower(), login)
    assert not any("authorization: bearer" in head.lower() for head in proxy.heads)
    assert not any("Proxy-Authorization" in call.headers for call in registry.calls)


def test_an_exempt_registry_is_not_reached_through_the_proxy(proxy: Proxy, certificate: Path, tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": proxy.address, "NO_PROXY": "registry.test", "SSL_CERT_FILE": str(certificate)}
    with pytest.raises(RegistryError, match="https://registry.test"):
        fetch(client("registry.test", environment), tmp_path)
    assert not proxy.heads


def test_a_proxy_that_is_down_is_one_error(certificate: Path, tmp_path: Path) -> None:
    expected = "no answer from https://registry.test.*: the proxy 127.0.0.1:1 refused the connection"
    with pytest.raises(RegistryError, match=expected) as caught:
        fetch(client("registry.test", {"HTTPS_PROXY": "http://me:secret@127.0.0.1:1"}), tmp_path)
    assert caught.value.hint == "is it running, and is HTTPS_PROXY right?"


def test_a_proxy_that_is_not_known_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="the name of the proxy proxy.invalid:1 is not known") as caught:
        fetch(client("registry.test", {"https_proxy": "http://proxy.invalid:1"}), tmp_path)
    assert caught.value.hint == "check https_proxy"


def test_a_proxy_that_lets_nothing_through_is_told_from_the_registry(tmp_path: Path) -> None:
    match = r"the proxy 127.0.0.1:\d+ lets nothing through .501"  # it knows no CONNECT
    with faulty_registry() as proxy, pytest.raises(RegistryError, match=match):
        fetch(client("registry.test", {"HTTPS_PROXY": proxy.name}), tmp_path)


@pytest.mark.parametrize("road", ["direct", "proxy", "proxy with TLS"])
def test_a_body_takes_its_time_through_tls_as_well(
    road: str, registry: FaultyRegistry, certificate: Path, request: pytest.FixtureRequest
) -> None:
    data = bytes(range(256)) * 800
    registry.faults.append(slowly(registry, 0.01))
    environment, name = {"SSL_CERT_FILE": str(certificate)}, registry.name
    if road != "direct":
        found: Proxy = request.getfixturevalue("tls_proxy" if "TLS" in road else "proxy")
        scheme = "https" if "TLS" in road else "http"
        environment, name = {**environment, "HTTPS_PROXY": f"{scheme}://{found.address}"}, "registry.test"
    transport = Transport(environment, patience=Patience(connect=2, head=0.4, idle=0.4))
    answer = transport.request("PUT", f"https://{name}/v2/x/manifests/v1", doing="trying", body=data, headers=_OCTETS)
    assert (answer.status, registry.calls[-1].body == data) == (201, True)
