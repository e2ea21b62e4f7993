"""One HTTP request to a registry -> one answer: deadlines, trust, proxies, redirects that carry no secret away."""

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from socket import gaierror
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from wasmdock.errors import RegistryError, UnavailableError, UsageError
from wasmdock.oci.fields import NOTHING, shown
from wasmdock.oci.registry_wire import Reply, Wires

CONNECTION = "CONNECTION"  # the code of errors without an answer: trying again may help
PIECE = 1 << 20  # bytes read or sent at once; a quarter of it takes a third longer
_REDIRECTS = 5
_REDIRECT = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_BUNDLES = ("WASMDOCK_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Patience(NamedTuple):
    """How long is waited, in seconds, and how often a failure that may pass is tried again.

    head is for the beginning of an answer, idle for the next byte; `slowest` bytes a second must come over
    each `idle` seconds. `tell` hears of each failure that is tried again.
    A pause doubles from one try to the next; a Retry-After beyond `longest_pause` is refused.
    So a registry that accepts connections and stays silent is given up after two minutes.
    """

    connect: float = 10.0
    head: float = 30.0
    idle: float = 30.0
    slowest: int = 1024
    tries: int = 4
    pause: float = 0.5
    longest_pause: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    tell: Callable[[str], None] = lambda _text: None


class Answer:
    """The head of an answer (status, headers, the URL it came from), and its body on demand."""

    def __init__(self, raw: Reply, url: str, doing: str, patience: Patience) -> None:
        """Take the head; of the body nothing is read yet."""
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.url, self.doing = url, doing
        self._raw, self._patience = raw, patience

    def pieces(self, cap: int) -> Iterator[memoryview]:
        """The body as it comes, each piece good until the one after the next is asked for.

        Raises RegistryError past `cap` bytes, when it is cut and when it comes too slowly.
        """
        total, since, before = 0, time.monotonic(), 0
        buffer, other = (memoryview(bytearray(min(PIECE, cap + 1))) for _ in range(2))
        while count := self._next(buffer):
            total += count
            if total > cap:
                self.close()
                raise RegistryError(f"{self.doing}: the answer has more than the {cap} bytes allowed", "", self.status)
            now = time.monotonic()
            if now - since >= self._patience.idle:
                self._check_speed(total - before, now - since)
                since, before = now, total
            yield buffer[:count]
            buffer, other = other, buffer

    def body(self, cap: int) -> bytes:
        """All of the body. Raises RegistryError as `pieces` does."""
        return b"".join(map(bytes, self.pieces(cap)))

    def close(self) -> None:
        """Leave the rest of the body unread."""
        self._raw.close()

    def drain(self) -> None:
        """Read a short rest, so that the connection can be used again."""
        with suppress(RegistryError):
            for _ in self.pieces(PIECE):
                pass

    def _next(self, buffer: memoryview) -> int:
        try:
            return self._raw.read_into(buffer)
        except (HTTPException, OSError, ValueError) as error:
            self.close()
            raise interrupted(f"{self.doing}: the answer broke off", error) from error

    def _check_speed(self, count: int, seconds: float) -> None:
        if count < self._patience.slowest * seconds:
            self.close()
            cause = f"only {count} bytes came in {seconds:.0f} s"
            raise RegistryError(f"{self.doing}: {cause}", "try again later", 0, CONNECTION)


class Transport:
    """Sends requests: the machine's proxies and certificates, connections kept, nothing sent in the clear by chance."""

    def __init__(
        self, environment: Mapping[str, str] = NOTHING, *, insecure: bool = False, patience: Patience | None = None
    ) -> None:
        """Keep the settings. insecure: plain http and unverified TLS are taken from any host."""
        self.insecure = insecure
        self.patience = patience or Patience()
        self._environment = environment
        times = self.patience
        self._wires = Wires(times.connect, times.head, times.idle, lambda: _context(environment, insecure))

    def request(
        self,
        method: str,
        url: str,
        *,
        doing: str,
        headers: Mapping[str, str] = NOTHING,
        private: Mapping[str, str] = NOTHING,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """Send once and give the answer, whatever its status; GET and HEAD follow redirects.

        `private` headers go to the URL's own origin only. Raises RegistryError with the code CONNECTION where no
        answer came, without a code for redirects that are refused, UsageError for plain http to another machine.
        """
        at = url
        for _ in range(_REDIRECTS + 1):
            self.check(at, doing)
            own = {**headers, **(private if origin(at) == origin(url) else {})}
            answer = self._send(method, at, own, body, doing)
            target = answer.headers.get("Location", "")
            if answer.status not in _REDIRECT or method not in ("GET", "HEAD") or not target:
                return answer
            answer.drain()
            at = self.resolve(at, target, doing)
        raise RegistryError(f"{doing}: more than {_REDIRECTS} redirects in a row", "", answer.status)

    def resolve(self, url: str, target: str, doing: str) -> str:
        """The URL that a Location means. Raises RegistryError for one that is not http or would leave TLS."""
        try:
            found = urljoin(url, target)
        except ValueError:
            found = ""
        parts = _split(found)
        named = parts is not None and parts.scheme in _PORTS and bool(parts.hostname) and "@" not in parts.netloc
        if parts is None or not named or not found.isprintable() or " " in found:
            raise RegistryError(f'{doing}: the registry points to "{shown_url(found)}", which is no web address')
        is_plain = parts.scheme == "http" and not (self.insecure or is_loopback(parts.hostname or ""))
        if is_plain:
            hint = "where the registry sits behind a TLS proxy, tell it its own address; else: --insecure"
            raise RegistryError(f"{doing}: the registry points to plain http at {shown_url(found)}", hint)
        return found

    def check(self, url: str, doing: str) -> None:
        """Raise UsageError for plain http to another machine, unless `insecure`."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not self.insecure and not is_loopback(parts.hostname or ""):
            raise UsageError(f"{doing}: plain http to {parts.hostname}", "use https, or say --insecure")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None, doing: str
    ) -> Answer:
        own = {"User-Agent": "wasmdock", **headers}
        try:
            raw = self._wires.send(method, url, own, body, proxy_for(url, self._environment))
        except (HTTPException, OSError, ValueError) as error:
            raise interrupted(f"{doing}: no answer from {shown_url(url)}", error) from error
        return Answer(raw, url, doing, self.patience)


def interrupted(what: str, error: BaseException) -> RegistryError:
    """The error where no answer came, its cause in words."""
    cause, hint = _cause(error)
    return RegistryError(f"{what}: {cause}", hint, 0, CONNECTION)


def _cause(error: BaseException) -> tuple[str, str]:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate" in text.lower():
        hint = "name its CA with SSL_CERT_FILE or WASMDOCK_CA_BUNDLE; for a registry of your own: --insecure"
        return f"its TLS certificate is not trusted ({shown(text, 80)})", hint
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return "it does not speak TLS", "for a registry without TLS: --insecure"
    if isinstance(error, TimeoutError):
        return "nothing came in time", "is the registry up, and does the proxy let it through?"
    if isinstance(error, gaierror):
        return "the name of the host is not known", "check its spelling, and the network"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused", "is the registry running, and on that port?"
    return f"the connection was cut ({shown(_plain(error), 80)})", ""


def _plain(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what secrets are meant for."""
    parts = urlsplit(url)
    return (parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0))


def shown_url(url: str) -> str:
    """An address fit for a message: its query, which may hold a signature, and any user left out."""
    parts = _split(url)
    host = parts.netloc.rpartition("@")[2] if parts else ""
    return shown(f"{parts.scheme}://{host}{parts.path}" if parts and host else "?", 200)


def is_loopback(host: str) -> bool:
    """Whether the name can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str, environment: Mapping[str, str]) -> str:
    """The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY (small letters too); empty for none."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    name = f"{parts.scheme}_proxy"
    proxy = environment.get(name) or environment.get(name.upper()) or ""
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if not proxy or is_loopback(host) or _is_exempt(host, parts.port, exempt):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_exempt(host: str, port: int | None, exempt: str) -> bool:
    for entry in (part.strip().lower() for part in exempt.split(",")):
        name, colon, wanted = entry.rpartition(":") if entry.rpartition(":")[2].isdigit() else (entry, "", "")
        if colon and wanted != str(port):
            continue
        bare = name.removeprefix("*").lstrip(".")
        if entry == "*" or (bare and (host == bare or host.endswith(f".{bare}"))) or _is_inside(host, name):
            return True
    return False


def _is_inside(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _context(environment: Mapping[str, str], insecure: bool) -> Any:
    """The machine's trust, or the CA bundle the user names."""
    import ssl

    bundle = next((environment[name] for name in _BUNDLES if environment.get(name)), None)
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        hint = "it must be a file of certificates in PEM"
        raise UnavailableError(f'reading the CA bundle "{bundle}": {error.strerror or error}', hint) from error
    for own in Path("/etc/docker/certs.d").glob("*/*.crt"):
        with suppress(OSError):
            context.load_verify_locations(own)
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
