"""One HTTP request to a registry -> one answer: deadlines, trust, proxies, redirects that carry no secret away."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from math import inf
from socket import gaierror
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from wasmdock.errors import RegistryError, UsageError
from wasmdock.oci.fields import NOTHING, shown, without_login
from wasmdock.oci.registry_hosts import Proxy, is_loopback, proxy_for
from wasmdock.oci.registry_pace import SilentError, TooSlowError
from wasmdock.oci.registry_trust import Trust
from wasmdock.oci.registry_uplink import NotTakenError
from wasmdock.oci.registry_wire import Reply, Wires

CONNECTION = "CONNECTION"  # the code of errors without an answer: trying again may help
PIECE = 1 << 20  # bytes read or sent at once; a quarter of it takes a third longer
_REDIRECTS = 5
_REDIRECT = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_REST = 16 << 10  # bytes of a body that nobody wants: more costs as much as a new connection
_REST_WAIT = 1.0  # seconds for them


class Patience(NamedTuple):
    """How long is waited, in seconds, and how often a failure that may pass is tried again.

    head is for the beginning of an answer, from when all that was sent has left this machine (up to five minutes more
    behind a proxy), idle for the next byte; `slowest` bytes a second must come, or go, over each `idle` seconds, and
    all of a document must come within `document` seconds. `tell` hears of each failure that is tried
    again, and of what is passed over.
    A pause doubles from one try to the next; a Retry-After beyond `longest_pause` is refused.
    There is no further try of a request after `silence` seconds in all of nothing having come to it: a registry that
    accepts connections and stays silent is given up after a minute and a half. All pages of a list must come within
    `listing` seconds.
    """

    connect: float = 10.0
    head: float = 30.0
    idle: float = 30.0
    slowest: int = 1024
    document: float = 60.0
    listing: float = 300.0
    silence: float = 90.0
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

    def pieces(self, cap: int, is_document: bool = False) -> Iterator[memoryview]:
        """The body as it comes, each piece good until the one after the next is asked for.

        Raises RegistryError past `cap` bytes, when it is cut and when it comes too slowly.
        """
        within = self._patience.document if is_document else inf
        self._raw.pace.body(self._patience.slowest, self._patience.idle, within)
        return self._pieces(cap)

    def body(self, cap: int, within: float = inf) -> bytes:
        """All of the body, within so many seconds, a document's at the most. Raises RegistryError as `pieces` does."""
        self._raw.pace.body(self._patience.slowest, self._patience.idle, min(within, self._patience.document))
        return b"".join(map(bytes, self._pieces(cap)))

    def close(self) -> None:
        """Leave the rest of the body unread."""
        self._raw.close()

    def drain(self) -> None:
        """Read a short rest, so that the connection can be used again; leave a longer one."""
        left = self._raw.left
        if left is not None and left > _REST:
            self.close()
            return
        with suppress(RegistryError):
            self.body(_REST, _REST_WAIT)

    def lines(self, name: str) -> str:
        """A header that may come on several lines, as one (RFC 9110 section 5.3)."""
        return ", ".join(self._raw.headers.get_all(name, ()))

    def _pieces(self, cap: int) -> Iterator[memoryview]:
        total, pace = 0, self._raw.pace
        buffer, other = (memoryview(bytearray(min(PIECE, cap + 1))) for _ in range(2))
        while count := self._next(buffer):
            total += count
            if total > cap:
                self.close()
                raise RegistryError(f"{self.doing}: the answer has more than the {cap} bytes allowed", "", self.status)
            given = time.monotonic()
            yield buffer[:count]
            pace.rested(time.monotonic() - given)
            buffer, other = other, buffer

    def _next(self, buffer: memoryview) -> int:
        try:
            return self._raw.read_into(buffer)
        except TooSlowError as error:
            self.close()
            raise RegistryError(f"{self.doing}: {error}", "try again later", 0, CONNECTION) from error
        except (HTTPException, OSError, ValueError) as error:
            self.close()
            cause = SilentError(self._patience.idle) if isinstance(error, TimeoutError) else error
            raise interrupted(f"{self.doing}: the answer broke off", cause) from cause


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
        self._wires = Wires(times.connect, times.head, times.idle, times.slowest, Trust(environment, insecure))

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
        proxy = proxy_for(url, self._environment)
        began = time.monotonic()
        try:
            raw = self._wires.send(method, url, own, body, proxy.url)
        except (HTTPException, OSError, ValueError) as error:
            what = _unanswered(shown_url(url), error, time.monotonic() - began)
            raise interrupted(f"{doing}: {what}", error, proxy) from error
        return Answer(raw, url, doing, self.patience)


def _unanswered(where: str, error: BaseException, seconds: float) -> str:
    """What did not come, and how long it was waited for, where the cause does not say it."""
    if isinstance(error, NotTakenError):
        return f"sending to {where} was given up after {seconds:.0f} s"
    if isinstance(error, TooSlowError) or not isinstance(error, TimeoutError):
        return f"no answer from {where}"
    return f"no answer from {where} within {error.seconds if isinstance(error, SilentError) else seconds:.0f} s"


def interrupted(what: str, error: BaseException, proxy: Proxy | None = None) -> RegistryError:
    """The error where no answer came, its cause in words."""
    if is_untrusted(error):  # that does not pass
        hint = "name its CA with SSL_CERT_FILE or WASMDOCK_CA_BUNDLE; for a registry of your own: --insecure"
        return RegistryError(f"{what}: its TLS certificate is not trusted ({shown(error, 80)})", hint)
    cause, hint = (_cause_at(proxy, error) if proxy and proxy.url else None) or _cause(error)
    return RegistryError(f"{what}: {cause}", hint, 0, CONNECTION)


def is_untrusted(error: BaseException | None) -> bool:
    """Whether TLS failed by a certificate, the registry's or its CA's."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate" in str(error).lower()


def _cause_at(proxy: Proxy, error: BaseException) -> tuple[str, str] | None:
    """What went wrong before the registry was asked: it is the proxy that is looked up and connected to."""
    hint = f"is it running, and is {proxy.variable} right?"
    if isinstance(error, gaierror):
        return f"the name of the proxy {proxy.shown} is not known", f"check {proxy.variable}"
    if isinstance(error, ConnectionRefusedError):
        return f"the proxy {proxy.shown} refused the connection", hint
    if "Tunnel connection failed" in str(error):
        said = shown(str(error).partition(": ")[2], 80)
        login = f"put its login into {proxy.variable}: http://user:password@host:port" if said[:3] == "407" else ""
        return f"the proxy {proxy.shown} lets nothing through ({said})", login
    if isinstance(error, TimeoutError):
        what = str(error) if isinstance(error, TooSlowError) else "nothing came in time"
        return f"{what} through the proxy {proxy.shown}", hint
    return None


def _cause(error: BaseException) -> tuple[str, str]:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return "it does not speak TLS", "for a registry without TLS: --insecure"
    if isinstance(error, TooSlowError):
        return text, "is the registry up, and does the proxy let it through?"
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
    host = without_login(parts.netloc) if parts else ""
    return shown(f"{parts.scheme}://{host}{parts.path}" if parts and host else "?", 200)
