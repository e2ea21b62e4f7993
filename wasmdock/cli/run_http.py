"""wasmdock run of a wasi:http component without a container: served until a signal or the time limit ends it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from wasmdock.cli.compose_images import find_host_program
from wasmdock.cli.context import Context
from wasmdock.cli.source import Source
from wasmdock.compose_wire import Wire, open_wire, relay
from wasmdock.digits import read_digits
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.http_host import DEFAULT_PORT, MISSING, Launch, compile_for_host
from wasmdock.pack import extract
from wasmdock.runtime import TIMED_OUT_CODE, RunRequest
from wasmdock.serve import Served, serve

_ADDRESS = "WASMDOCK_HTTP_ADDRESS"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def serve_http(source: Source, request: RunRequest, published: Sequence[str], context: Context) -> int:
    """Serve; the exit code is the server's, as in Docker: 0 where it finished its requests, 124 at the time limit."""
    host = find_host_program(context)
    if host is None:
        raise UnavailableError(MISSING.message, MISSING.hint)
    environment = {**source.image.env, **request.env}
    port = _guest_port(environment)
    addresses = [parse_publish(text, port) for text in published] or [("127.0.0.1", port)]
    mounts = tuple(each._replace(read_only=each.read_only or request.read_only) for each in request.mounts)
    code = compile_for_host(host, extract(source.image), context.code_cache, fuel=request.limits.fuel is not None)
    launch = Launch(code, environment, mounts, _joined(*addresses[0]), request.limits)
    served = serve(host, launch, source.reference, _say)
    try:
        _publish_also(addresses[1:], served.address)
        return _watch(served, request.limits.timeout)
    finally:
        if served.process.poll() is None:
            served.end(0.0)


def _watch(served: Served, timeout: float | None) -> int:
    """Hand signals on until it ends."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: served.process.send_signal(number))
    try:
        served.process.wait(timeout)
    except subprocess.TimeoutExpired:
        served.end()
        _say(f"wasmdock: stopped: still serving after {timeout:g} s")
        return TIMED_OUT_CODE
    return served.wait()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _guest_port(environment: Mapping[str, str]) -> int:
    """The port that a container would listen on."""
    text = environment.get(_ADDRESS, f":{DEFAULT_PORT}").rpartition(":")[2]
    port = read_digits(text)
    if port is None or not 0 < port < 1 << 16:
        raise UsageError(f"reading {_ADDRESS}={environment[_ADDRESS]}: not an address like 0.0.0.0:8080")
    return port


def parse_publish(text: str, port: int) -> tuple[str, int]:
    """`[[IP:]HOST:]GUEST[/tcp]`, as docker run takes it -> where to listen; no HOST is any free port."""
    outer, _, guest = text.removesuffix("/tcp").rpartition(":")
    ip, _, number = outer.rpartition(":")
    inside, outside = read_digits(guest), read_digits(number or "0")
    if inside is None or outside is None or outside >= 1 << 16:
        raise UsageError(f'publishing "{text}": not HOST:GUEST', "write two port numbers, such as 8080:8080")
    if inside != port:
        raise UsageError(
            f'publishing "{text}": the guest is served on port {port}, not {guest}', f"end it with :{port}"
        )
    return ip or "0.0.0.0", outside


def _joined(host: str, port: int) -> str:
    return f"{host}:{port}"


def _publish_also(addresses: Sequence[tuple[str, int]], served: str) -> None:
    """Relay from further addresses, where several are published."""
    host, _, port = served.rpartition(":")
    target = ("127.0.0.1" if host == "0.0.0.0" else host.strip("[]"), int(port))
    wires: list[Wire] = []
    for ip, number in addresses:
        wires.append(open_wire(ip.strip("[]"), number, lambda: target, "publishing"))
    if wires:
        threading.Thread(target=relay, args=(wires,), name="wasmdock-relay", daemon=True).start()
