"""Connections to registries by http.client, which loads in a third of urllib3's time: kept, tunnelled, cut in time."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from wasmdock.oci.registry_pace import Pace, PacedResponse, SilentError, TooSlowError
from wasmdock.oci.registry_uplink import Uplink
from wasmdock.ready import is_readable

_KEPT = 8  # idle connections to one host
_WAIT = 0.1  # seconds that a piece is filled up
_BLIND = 300.0  # seconds more for an answer where nobody sees how much of a body is still under way
_SAFE = "/%:=&?~#+!$,;'@()*[]"

Where = tuple[str, str, int, str]  # scheme, host, port, proxy


class Wires:
    """Sends requests over connections that are kept for the next; safe to use from several threads."""

    def __init__(
        self, connect: float, head: float, idle: float, slowest: int, context: Callable[[str, int], Any]
    ) -> None:
        """Seconds to connect, for the head of an answer, and between bytes; bytes a second that must go up.

        context gives the TLS settings for a host and port.
        """
        self._connect, self._head, self._idle, self._slowest = connect, head, idle, slowest
        self._make_context = context
        self._kept: dict[Where, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None, proxy: str = ""
    ) -> "Reply":
        """Send once, over `proxy` (a URL) where one is named. Raises OSError, HTTPException, ValueError."""
        parts = urlsplit(url)
        where = (parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), proxy)
        connection = self._take(where)
        target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
        own = dict(headers)
        if proxy and parts.scheme == "http":  # a proxy is told the whole address, and who asks
            target, own = f"http://{parts.netloc}{target}", {**own, **_proxy_login(proxy)}
        try:
            uplink = _uplink(connection)
            uplink.begin()
            with suppress(BrokenPipeError, ConnectionResetError):  # the answer may say why
                connection.request(method, target, body, own)
            response = self._answer(connection, uplink, is_blind=bool(body) and bool(proxy or uplink.queued is None))
        except BaseException:
            connection.close()
            raise
        return Reply(response, lambda: self._keep(where, connection), connection.close)

    def _answer(
        self, connection: http.client.HTTPConnection, uplink: Uplink, is_blind: bool
    ) -> http.client.HTTPResponse:
        """The head's time begins when all has left this machine; what a proxy holds back, nobody sees."""
        if connection.sock is None:
            raise ConnectionError("the connection was closed while sending")
        head = self._head
        if not uplink.is_cut:
            uplink.drain()
            head += min(_BLIND, uplink.given / self._slowest) if is_blind else 0.0
        connection.response_class = partial(PacedResponse, head)  # type: ignore[assignment]  # called as a class is
        uplink.settimeout(head)
        began = time.monotonic()
        try:
            response = connection.getresponse()
        except TooSlowError:
            raise
        except TimeoutError as error:
            raise SilentError(time.monotonic() - began) from error
        with suppress(OSError):  # closed by now, where there is no body
            uplink.settimeout(self._idle)
        return response

    def _take(self, where: Where) -> http.client.HTTPConnection:
        """A connection that was kept and lives, else a new one."""
        with self._lock:
            kept = self._kept.get(where, [])
            while kept:
                connection = kept.pop()
                if not is_readable(connection.sock):  # the end of a connection is all that can be read while idle
                    return connection
                connection.close()
        connection = self._new(where)
        connection.connect()
        connected: Any = connection.sock
        connected.settimeout(self._idle)
        if isinstance(connection, _TwofoldTls):  # the inner TLS loses what an outer write leaves undone
            connected.socket = Uplink(connected.socket, self._slowest, self._idle)
        else:
            connected = Uplink(connected, self._slowest, self._idle)
        connection.sock = connected
        return connection

    def _keep(self, where: Where, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            kept = self._kept.setdefault(where, [])
            if connection.sock is not None and not _uplink(connection).is_cut and len(kept) < _KEPT:
                kept.append(connection)
                return
        connection.close()

    def _new(self, where: Where) -> http.client.HTTPConnection:
        scheme, host, port, proxy = where
        if not proxy:
            return self._to(scheme == "https", host, port)
        parts = urlsplit(proxy)
        at = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        if scheme == "http":
            return self._to(parts.scheme == "https", *at)
        trust = self._trust(host, port)
        if parts.scheme == "https":
            return _TwofoldTls(at, (host, port), _proxy_login(proxy), (self._trust(*at), trust), self._connect)
        connection = http.client.HTTPSConnection(*at, timeout=self._connect, context=trust)
        connection.set_tunnel(host, port, _proxy_login(proxy))
        return connection

    def _to(self, is_secure: bool, host: str, port: int) -> http.client.HTTPConnection:
        if is_secure:
            return http.client.HTTPSConnection(host, port, timeout=self._connect, context=self._trust(host, port))
        return http.client.HTTPConnection(host, port, timeout=self._connect)

    def _trust(self, host: str, port: int) -> Any:
        """Certificates are read only where there is TLS: that takes longer than a small pull."""
        with self._lock:
            return self._make_context(host, port)


class Reply:
    """The head of an answer, and its body piece by piece; at its end the connection is kept."""

    def __init__(self, response: Any, keep: Callable[[], None], cut: Callable[[], None]) -> None:
        """Take what http.client gave; `keep` is called at the end of the body, `cut` where it is left unread."""
        self.status: int = response.status
        self.headers: Any = response.headers  # a mapping that knows no capital letters
        self.pace: Pace = response.pace
        self._response = response
        self._keep: Callable[[], None] | None = keep
        self._cut = cut
        if response.isclosed():  # there is no body
            self._finish()

    @property
    def left(self) -> int | None:
        """How many bytes are still to come, None where nobody said."""
        return 0 if self._response.isclosed() else self._response.length

    def read_into(self, view: memoryview) -> int:
        """Fill the view as far as bytes come without much waiting; 0 at the end. Raises OSError, HTTPException."""
        response = self._response
        if response.isclosed():
            return 0
        if response.chunked or response.length is None:
            piece = response.read1(len(view))
            view[: len(piece)] = piece
            count = len(piece)
        else:
            count = _fill(response.fp, view[: response.length])
            response.length -= count
            if not count and response.length:
                self.close()
                raise http.client.IncompleteRead(b"", response.length)
        self.pace.taken += count
        if not count or response.length == 0:
            self._finish()
        return count

    def close(self) -> None:
        """Leave the rest unread, and the connection with it."""
        self._keep = None
        self._response.close()
        self._cut()

    def _finish(self) -> None:
        keep, self._keep = self._keep, None
        self._response.close()
        if keep and not self._response.will_close:
            keep()


def _fill(stream: Any, view: memoryview) -> int:
    """Read again and again: sums and writes of many small pieces take longer than the bytes do to come."""
    done, until = 0, time.monotonic() + _WAIT
    while done < len(view) and (count := stream.readinto1(view[done:])):
        done += count
        if time.monotonic() > until:
            break
    return done


class _TwofoldTls(http.client.HTTPSConnection):
    """TLS to the proxy, and through it TLS to the registry, by the one part of urllib3 that http.client lacks."""

    def __init__(
        self, proxy: tuple[str, int], target: tuple[str, int], login: dict[str, str], trust: Any, timeout: float
    ) -> None:
        super().__init__(*proxy, timeout=timeout, context=trust[0])
        self._trust_proxy, self._trust = trust
        self._target = target[0]
        self.set_tunnel(*target, login)

    def connect(self) -> None:
        from urllib3.util.ssltransport import SSLTransport

        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._trust_proxy.wrap_socket(plain, server_hostname=self.host)
        self._tunnel()  # type: ignore[attr-defined]  # typeshed leaves it out
        self.sock = SSLTransport(self.sock, self._trust, server_hostname=self._target)


def _uplink(connection: http.client.HTTPConnection) -> Uplink:
    found: Any = connection.sock
    return found if isinstance(found, Uplink) else found.socket


def _proxy_login(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    from base64 import b64encode
    from urllib.parse import unquote

    login = b64encode(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {login}"}
