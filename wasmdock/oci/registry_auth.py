"""A registry's challenge -> the Authorization header that answers it: basic, or a token from where the registry says.

Sources: RFC 9110 section 11; the distribution project's token and OAuth2 specifications.
"""

import base64
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from wasmdock.errors import RegistryError, WasmdockError
from wasmdock.oci.credentials import Login
from wasmdock.oci.fields import parse_object, shown
from wasmdock.oci.registry_http import Answer, Transport, shown_url

_TOKEN_CAP = 1 << 20  # bytes of a token server's answer
_SHORTEST_LIFE = 60.0  # seconds; what the token specification gives a token that names none
_LONGEST_LIFE = 86_400.0  # seconds; whatever is promised
_EARLY = 10.0  # seconds before its end that a token is renewed
_SHORTEST_SECRET = 4  # characters; what is shorter would hide half of a message
_SPENT_KEPT = 16  # tokens that no longer serve and must not be shown either
_HEADER_CAP = 4 << 10  # characters of a challenge; real ones have some hundred
_PAIR = re.compile(r'[\s,]*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_SCHEME = re.compile(r"[\s,]*(Basic|Bearer)(?=\s|,|$)", re.IGNORECASE)
_SKIPPED = re.compile(r"[^\s,]*[\s,]*")


class Challenge(NamedTuple):
    """What a 401 asks for: the scheme (`basic`, `bearer`, or empty), and for a token where and for what."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenge(header: str) -> Challenge:
    """Read a WWW-Authenticate header; of several challenges Bearer is taken before Basic. One too long asks nothing."""
    if len(header) > _HEADER_CAP:
        return Challenge("")
    found: dict[str, dict[str, str]] = {}
    position, current = 0, ""
    while position < len(header):
        if scheme := _SCHEME.match(header, position):
            current = scheme[1].lower()
            found[current] = {}
            position = scheme.end()
        elif pair := _PAIR.match(header, position):
            value = pair[2] if pair[2] is not None else pair[3]
            found.get(current, {})[pair[1].lower()] = re.sub(r"\\(.)", r"\1", value)
            position = pair.end()
        else:
            current = ""  # what follows belongs to a kind of login that is not known here
            skipped = _SKIPPED.match(header, position)
            position = max(position + 1, skipped.end() if skipped else 0)
    for name in ("bearer", "basic"):
        if name in found:
            kept = {key: value for key, value in found[name].items() if key in ("realm", "service", "scope")}
            return Challenge(name, **kept)
    return Challenge("")


class _Token(NamedTuple):
    token: str
    ends: float

    @property
    def header(self) -> str:
        return f"Bearer {self.token}"


class Authorizer:
    """Remembers what a registry asked for, and answers it; safe to use from several threads."""

    def __init__(
        self,
        registry: str,
        transport: Transport,
        find: Callable[[], Login],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """find gives the login and is called once, when the registry first asks for one."""
        self._registry = registry
        self._transport = transport
        self._find = find
        self._clock = clock
        self._login: Login | None = None
        self._challenge = Challenge("")
        self._tokens: dict[str, _Token] = {}
        self._spent: deque[str] = deque(maxlen=_SPENT_KEPT)
        self._lock = threading.RLock()

    @property
    def login(self) -> Login:
        """Who we are here."""
        with self._lock:
            if self._login is None:
                self._login = self._find()
            return self._login

    def header(self, scope: str, doing: str) -> dict[str, str]:
        """The Authorization for a scope (`repository:name:pull`), as far as the registry has asked for one."""
        with self._lock:
            if self._challenge.scheme == "basic":
                return {"Authorization": _basic(self.login)} if self.login.user else {}
            if self._challenge.scheme == "bearer":
                token = self._tokens.get(scope)
                if token is None or token.ends - _EARLY < self._clock():
                    token = self._tokens[scope] = self._fetch(scope, doing)
                return {"Authorization": token.header}
            return {}

    def challenged(self, header: str, scope: str, sent: Mapping[str, str], doing: str) -> bool:
        """Take in a 401. True where another try makes sense: with a login, or with a new token.

        Raises RegistryError for a challenge that cannot be answered.
        """
        challenge = parse_challenge(header)
        if not challenge.scheme:
            cause = f'it asks for an unknown kind of login: "{shown(header, 60)}"' if header else "it names none"
            raise RegistryError(f"{doing}: the registry asks for a login: {cause}", "", 401)
        with self._lock:
            self._challenge = challenge
            known = self._tokens.get(scope)
            if known and sent.get("Authorization") == known.header:
                self._spent.append(known.token)
                del self._tokens[scope]
        if challenge.scheme == "bearer":
            return True
        return "Authorization" not in sent and bool(self.login.user)

    def redact(self, text: str) -> str:
        """The text without any secret of ours, should the registry send one back, whole or cut by `shown`."""
        with self._lock:
            secrets = {*(self._login.secrets if self._login else ()), *self._spent}
            secrets |= {token.token for token in self._tokens.values()}
        for secret in sorted(secrets | {quote(each, safe="") for each in secrets}, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = _without_beginning(text.replace(secret, "***"), secret)
        return text

    def _fetch(self, scope: str, doing: str) -> _Token:
        if self.login.bearer:
            return _Token(self.login.bearer, self._clock() + 3600)
        doing = f"{doing}: getting a token"
        realm = self._challenge.realm
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.hostname or not realm.isprintable():
            raise RegistryError(f'{doing}: the registry names no token server, but "{shown(realm, 60)}"', "", 401)
        self._transport.resolve(realm, realm, doing)  # refuses plain http to another machine
        answer = self._ask(realm, scope, doing)
        if answer.status in (401, 403):
            answer.drain()
            raise self._refused(doing, answer.status)
        if answer.status != 200:
            answer.drain()
            raise RegistryError(f"{doing}: {shown_url(realm)} answered {answer.status}", "", answer.status)
        return self._read(answer.body(_TOKEN_CAP), doing)

    def _ask(self, realm: str, scope: str, doing: str) -> Answer:
        scopes = (scope or self._challenge.scope).split()
        service = [("service", self._challenge.service)] if self._challenge.service else []
        if self.login.identity_token:
            secret = ("refresh_token", self.login.identity_token)
            form = [("grant_type", "refresh_token"), secret, ("client_id", "wasmdock"), ("scope", " ".join(scopes))]
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode([*service, *form]).encode()
            return self._transport.request("POST", realm, doing=doing, headers=kind, body=body)
        private = {"Authorization": _basic(self.login)} if self.login.user else {}
        query = urlencode([*service, *(("scope", each) for each in scopes)])
        joint = "&" if "?" in realm else "?"
        return self._transport.request("GET", f"{realm}{joint}{query}", doing=doing, private=private)

    def _refused(self, doing: str, status: int) -> RegistryError:
        if self.login.user or self.login.identity_token:
            return RegistryError(f"{doing}: the login was refused", f"wasmdock login {self._registry}", status)
        return RegistryError(f"{doing}: a login is needed", f"wasmdock login {self._registry}", status)

    def _read(self, data: bytes, doing: str) -> _Token:
        try:
            fields = parse_object(data, "the token server's answer", _TOKEN_CAP)
            token = fields.text("token") or fields.text("access_token")
            life = min(fields.number("expires_in"), _LONGEST_LIFE) if fields.has("expires_in") else _SHORTEST_LIFE
        except WasmdockError as error:
            raise RegistryError(f"{doing}: {error.message}", error.hint, 200) from error
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise RegistryError(f"{doing}: the token server's answer holds no token", "", 200)
        return _Token(token, self._clock() + max(life, _SHORTEST_LIFE))


def _without_beginning(text: str, secret: str) -> str:
    """The text without a beginning of the secret where a message was cut."""
    parts = text.split("...")
    for number, part in enumerate(parts[:-1]):
        lengths = range(len(secret) - 1, _SHORTEST_SECRET - 1, -1)
        if length := next((each for each in lengths if part.endswith(secret[:each])), 0):
            parts[number] = part[:-length] + "***"
    return "...".join(parts)


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.secret}".encode()).decode()
