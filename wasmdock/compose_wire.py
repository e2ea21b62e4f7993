"""Names and ports between services that run in different worlds: an address on the loopback each, and relays.

Every service has an address 127.x.y.z of its own with its own ports; guests find it by name in a hosts file.
"""

import hashlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wasmdock.errors import UnavailableError

_CHUNK = 1 << 16
_PATIENCE = 10.0  # seconds to reach the other end

Address = tuple[str, int]
Find = Callable[[], Address]


def addresses(key: str, services: Iterable[str]) -> dict[str, str]:
    """An address of the loopback network for each service; projects of other keys rarely share one."""
    digest = hashlib.sha256(os.fsencode(key)).digest()
    first = (digest[0] % 128 << 16) + (digest[1] << 8) + 2
    places = enumerate(services, first)
    return {name: f"127.{64 + (at >> 16) % 128}.{at >> 8 & 255}.{at & 255}" for at, name in places}


def write_hosts(path: Path, known: Mapping[str, str]) -> Path:
    """A hosts file: the services, then what this machine's own says."""
    lines = [f"{address}\t{name}" for name, address in known.items()]
    with suppress(OSError):
        lines.append(Path("/etc/hosts").read_text(encoding="utf-8", errors="replace"))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Wire:
    """Where a relay listens, and how it finds the other end."""

    listener: socket.socket
    find: Find


def open_wire(host: str, port: int, find: Find, what: str) -> Wire:
    """Listen now, so that nobody comes too early. Raises UnavailableError where the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UnavailableError(
            f"{what}: listening on {host}:{port}: {(error.strerror or str(error)).lower()}"
        ) from error
    return Wire(listener, find)


def relay(wires: Iterable[Wire]) -> int:
    """Pass connections on until killed: a thread each way."""
    known = {wire.listener.fileno(): wire for wire in wires}
    poll = select.poll()  # select takes no descriptor from 1024 on
    for listening in known:
        poll.register(listening, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            with suppress(OSError):
                client, _ = known[descriptor].listener.accept()
                threading.Thread(target=_serve, args=(client, known[descriptor].find), daemon=True).start()


def _serve(client: socket.socket, find: Find) -> None:
    with client:
        try:
            server = socket.create_connection(find(), _PATIENCE)
        except OSError:
            return
        server.settimeout(None)
        with server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
