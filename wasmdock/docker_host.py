"""Where the Docker engine listens and whether it answers, found out with the standard library alone."""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wasmdock.digits import read_digits
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.oci.fields import without_login

if TYPE_CHECKING:
    import ssl

START_HINT = "start Docker, or `scripts/engine start` gives a Debian host an engine of its own"
NO_DOCKER_HINT = "look at DOCKER_HOST and `docker context ls`: if this is a Docker engine, restart or update it"
_GROUP_HINT = "`sudo usermod -aG docker $USER`, then log in again (members of that group are as good as root)"
_ANSWER_CAP = 16 << 20
OWN_ENGINE = "engine.json"  # the note of `wasmdock engine up`, in wasmdock's data folder under engine/
_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Host:
    """An engine's address: `url` as in DOCKER_HOST, `source` says who named it, for messages.

    tls is the folder with ca.pem, cert.pem and key.pem, or None for a plain connection. environment is what
    the docker client needs on top of the caller's to reach the same engine.
    """

    url: str
    source: str
    tls: Path | None = None
    verify: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> Path | None:
        """The path of the Unix socket, or None for another kind of address."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None

    @property
    def shown(self) -> str:
        """The address as messages show it, without a password; the user alone of an ssh address is none."""
        return _shown(self.url)


@dataclass(frozen=True, slots=True)
class Ping:
    """An engine's first answer: its API version such as `1.45`, its Server header; empty where not said."""

    api_version: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_there(path: Path) -> bool:
    """Whether something is at this path; what lies in a folder that may not be searched is not there for us."""
    try:
        return path.exists()
    except OSError:
        return False


def find_host(environment: Mapping[str, str], *, exists: Callable[[Path], bool] = is_there) -> Host:
    """Decide where the engine is, by the docker client's rules and the sockets it does not look for.

    DOCKER_HOST, then DOCKER_CONTEXT or the current context, then the engine of `wasmdock engine up`, then the
    default, Docker Desktop's and the rootless socket, the first that exists. Raises UsageError for an address
    or a context that cannot be.
    """
    if url := environment.get("DOCKER_HOST", ""):
        return _host_of_environment(url, environment)
    config = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "/")) / ".docker")
    name = environment.get("DOCKER_CONTEXT", "") or _current_context(config)
    if name not in ("", "default"):
        return _host_of_context(config, name)
    if environment.get("WASMDOCK_ENGINE") != "none" and (own := own_engine(environment)):
        return own
    found = next((path for path in _usual_sockets(environment) if exists(path)), Path(_SOCKET))
    url = f"unix://{found}"
    given = {} if str(found) == _SOCKET else {"DOCKER_HOST": url}
    return Host(url, "the default socket", environment=given)


def own_engine(environment: Mapping[str, str]) -> Host | None:
    """The engine that `wasmdock engine up` started for this user, by the note it left; None where there is none."""
    home = environment.get("WASMDOCK_HOME", "")
    data = environment.get("XDG_DATA_HOME") or f"{environment.get('HOME', '/')}/.local/share"
    folder = (Path(home) if home else Path(data) / "wasmdock") / "engine"
    try:
        note = json.loads((folder / OWN_ENGINE).read_bytes())
        url, tls = str(note["url"]), note.get("tls")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    given = {"DOCKER_HOST": url}
    given |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tls)} if tls else {}
    return Host(url, "wasmdock engine", Path(tls) if tls else None, environment=given)


def _host_of_environment(url: str, environment: Mapping[str, str]) -> Host:
    url = f"tcp://{url}" if "://" not in url else url
    cause = "" if url.split("://")[0] in ("unix", "tcp", "ssh", "http", "https") else "no such kind of address"
    try:
        _ = urlsplit(url).port
    except ValueError:
        cause = cause or "its port is no number up to 65535, or its host cannot be one"
    if cause:
        cure = "use unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host"
        raise UsageError(f'reading DOCKER_HOST "{_shown(url)}": {cause}', cure)
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    folder = environment.get("DOCKER_CERT_PATH", "")
    default = Path(environment.get("HOME", "/")) / ".docker"
    tls = (Path(folder) if folder else default) if verify else None
    return Host(url, "DOCKER_HOST", tls, environment={"DOCKER_HOST": url})


def _shown(url: str) -> str:
    is_plain = url.startswith("unix://") or (url.startswith("ssh://") and ":" not in url[6:].rpartition("@")[0])
    return url if is_plain else without_login(url)


def _current_context(config: Path) -> str:
    """The context `docker context use` chose; a config.json that is missing or broken means the default."""
    try:
        document = json.loads((config / "config.json").read_bytes())
    except (OSError, ValueError):
        return ""
    name = document.get("currentContext", "") if isinstance(document, dict) else ""
    return name if isinstance(name, str) else ""


def _host_of_context(config: Path, name: str) -> Host:
    """Contexts lie in folders named by the sha256 of their name (docker/cli cli/context/store)."""
    key = hashlib.sha256(os.fsencode(name)).hexdigest()
    file = config / "contexts" / "meta" / key / "meta.json"
    try:
        endpoint = json.loads(file.read_bytes())["Endpoints"]["docker"]
        url, skip = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f'reading Docker context "{name}": {type(error).__name__} in "{file}"',
            "`docker context ls` lists the contexts there are, `docker context use default` goes back",
        ) from error
    tls = config / "contexts" / "tls" / key / "docker"
    environment = {"DOCKER_CONTEXT": name}
    return Host(url, f'context "{name}"', tls if is_there(tls) else None, not skip, environment)


def _usual_sockets(environment: Mapping[str, str]) -> list[Path]:
    home, runtime = environment.get("HOME", ""), environment.get("XDG_RUNTIME_DIR", "")
    sockets = [Path(_SOCKET)]
    if home:
        sockets.append(Path(home) / ".docker" / "run" / "docker.sock")
    if runtime:
        sockets.append(Path(runtime) / "docker.sock")
    return sockets


def ping(host: Host, timeout: float) -> Ping:
    """Ask the engine for a sign of life within `timeout` seconds.

    An ssh address is not asked: the docker client speaks for it. Raises UnavailableError with the cause.
    """
    if host.url.startswith("ssh://"):
        return Ping()
    answer = ask(host, "/_ping", timeout)
    if answer.status != 200:
        cause = answer.body.decode("utf-8", "replace").strip()
        raise UnavailableError(f"{_asking(host)}: status {answer.status} {cause}".rstrip(), _hint(host, START_HINT))
    return Ping(answer.headers.get("api-version", ""), answer.headers.get("server", ""))


def ask(host: Host, path: str, timeout: float) -> Answer:
    """GET a path of the engine's API, in 2 ms instead of the 0.1 s of importing docker-py.

    timeout is seconds for all of it. Raises UnavailableError where there is no whole answer by then.
    """
    request = f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode()
    until = time.monotonic() + timeout
    try:
        with _open(host, timeout) as connection:
            connection.settimeout(_rest(until))
            connection.sendall(request)
            data = _read(connection, until)
    except (OSError, ValueError) as error:
        raise _unreachable(host, timeout, error) from error
    return parse_answer(data, host)


def parse_answer(data: bytes, host: Host) -> Answer:
    """Turn the bytes of an HTTP/1.0 answer into a value, or raise UnavailableError."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").splitlines()
    words = lines[0].split(" ") if lines else []
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status = read_digits(words[1]) if len(words) > 1 and words[0].startswith("HTTP/") else None
    size = read_digits(headers.get("content-length", "0"))
    if status is None or size is None:
        raise UnavailableError(f"{_asking(host)}: it does not speak HTTP", _hint(host, "is this a Docker engine?"))
    if len(body) < size:
        raise UnavailableError(f"{_asking(host)}: it hung up in the middle of its answer", _hint(host, START_HINT))
    return Answer(status, headers, body)


def _open(host: Host, timeout: float) -> socket.socket:
    if host.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(str(host.socket))
        except BaseException:
            connection.close()
            raise
        return connection
    parts = urlsplit(host.url)
    port = parts.port or (2376 if host.tls else 2375)
    plain = socket.create_connection((parts.hostname or "localhost", port), timeout)
    if not host.tls and parts.scheme != "https":
        return plain
    try:
        return _tls_context(host).wrap_socket(plain, server_hostname=parts.hostname)
    except BaseException:
        plain.close()
        raise


def _tls_context(host: Host) -> "ssl.SSLContext":
    import ssl  # costs 10 ms, and few addresses need it

    folder = host.tls
    authority = folder / "ca.pem" if folder and (folder / "ca.pem").exists() else None
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    if not host.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if folder and (folder / "cert.pem").exists():
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def _read(connection: socket.socket, until: float) -> bytes:
    """A timeout of sockets is for one call: an engine that sends a byte now and then would never be too late."""
    answer = b""
    while len(answer) < _ANSWER_CAP:
        connection.settimeout(_rest(until))
        chunk = connection.recv(1 << 16)
        if not chunk:
            break
        answer += chunk
    return answer


def _rest(until: float) -> float:
    """Seconds that are left; TimeoutError where none are."""
    rest = until - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest


def _asking(host: Host) -> str:
    return f'asking the Docker engine at "{host.shown}" ({host.source})'


def _hint(host: Host, otherwise: str) -> str:
    """Who chose the address by hand first hears to look at that choice."""
    if host.source == "DOCKER_HOST":
        return f"look at DOCKER_HOST, or unset it; {otherwise}"
    if host.source.startswith("context"):
        return f"look at `docker context inspect`; {otherwise}"
    return otherwise


def _unreachable(host: Host, timeout: float, error: Exception) -> UnavailableError:
    cause, hint = _cause(host, timeout, error)
    return UnavailableError(f"{_asking(host)}: {cause}", hint)


def _cause(host: Host, timeout: float, error: Exception) -> tuple[str, str]:
    """The first row that fits decides; a row is exception, cause, cure."""
    if isinstance(error, PermissionError):
        return "permission denied", _GROUP_HINT
    if type(error).__module__ == "ssl":
        hint = "look at DOCKER_CERT_PATH, DOCKER_TLS_VERIFY and the dates of the certificates"
        return f"TLS failed ({error})", _hint(host, hint)
    rows: list[tuple[type[Exception] | tuple[type[Exception], ...], str, str]] = [
        (FileNotFoundError, "there is no such socket", START_HINT),
        (TimeoutError, f"no answer within {timeout:g} s", "restart Docker: its engine hangs"),
        (ConnectionRefusedError, "nothing listens there", START_HINT),
        ((ConnectionResetError, BrokenPipeError), "it hung up", "does it want TLS? Set DOCKER_TLS_VERIFY=1"),
        (socket.gaierror, f"the name of the host is unknown ({error})", START_HINT),
    ]
    for kind, cause, hint in rows:
        if isinstance(error, kind):
            return cause, _hint(host, hint)
    return str(error) or type(error).__name__, _hint(host, START_HINT)
