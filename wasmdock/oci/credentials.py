"""Who we are to a registry: Docker's config.json and its credential helpers."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wasmdock.aside import write_aside
from wasmdock.errors import CommandError, UnavailableError, UsageError, WasmdockError
from wasmdock.oci.fields import parse_object, shown
from wasmdock.oci.lock import locked

if TYPE_CHECKING:
    from wasmdock.process import Completed, Runner

_HELPER_TIMEOUT = 30.0  # seconds; some ask the user to unlock a keyring
_LOCK = ".config.json-lock"  # it stays: whoever removed it would take it from under another
_CONFIG_CAP = 4 << 20
_HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # docker-credential-helpers: the secret is then an identity token


class Login(NamedTuple):
    """A user and a secret, or an identity token alone; both empty: nobody."""

    user: str = ""
    secret: str = ""
    identity_token: str = ""
    bearer: str = ""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Login(user={self.user!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        basic = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode() if self.secret else ""
        return tuple(filter(None, (self.secret, self.identity_token, self.bearer, basic)))


NOBODY = Login()


class Credentials:
    """The logins of one user of this machine, where `docker login` keeps them."""

    def __init__(self, environment: Mapping[str, str], runner: "Runner | None" = None) -> None:
        """Keep where to look; nothing is read yet. runner: what runs a helper, None for the real one."""
        home = environment.get("HOME", "")
        folder = environment.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
        self.path = Path(folder, "config.json") if folder else None
        self._environment = environment
        self._runner = runner

    def find(self, registry: str) -> Login:
        """The login for a registry, NOBODY where there is none.

        Raises UsageError for a config.json that cannot be read, CommandError or UnavailableError for a helper
        that fails: going on as nobody would only fail later, with a worse message.
        """
        config = self._read()
        helper = _helper(config, registry)
        if helper:
            found = self._ask(helper, registry)
            if found is not None:
                return found
        auths = _table(config, "auths")
        for key in _keys(registry):
            if isinstance(auths.get(key), dict):
                return _stored_login(auths[key], registry)
        return NOBODY

    def save(self, registry: str, login: Login) -> str:
        """Keep a login: in the helper where one is set, else in config.json. Gives where, in words."""
        config = self._read()
        helper = _helper(config, registry)
        key = _keys(registry)[0]
        if helper:
            document = {"ServerURL": key, "Username": login.user, "Secret": login.secret}
            self._call(helper, "store", json.dumps(document).encode()).check(f'keeping the login for "{registry}"')
            return f"the credential helper {helper}"
        basic = base64.b64encode(f"{login.user}:{login.secret}".encode()).decode()
        self._change(lambda auths: {**auths, key: {"auth": basic}})
        return str(self.path)

    def forget(self, registry: str) -> bool:
        """Forget a login. False where there was none."""
        config = self._read()
        helper = _helper(config, registry)
        known = False
        if helper:
            known = self._ask(helper, registry) is not None
            if known:
                self._call(helper, "erase", _keys(registry)[0].encode()).check(f'forgetting "{registry}"')
        keys = set(_keys(registry))
        if keys.isdisjoint(_table(config, "auths")):
            return known
        self._change(lambda auths: {key: value for key, value in auths.items() if key not in keys})
        return True

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            data = self.path.read_bytes()
            return dict(parse_object(data, f'"{self.path}"', _CONFIG_CAP).members)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, WasmdockError) as error:
            cause = error.message if isinstance(error, WasmdockError) else str(error)
            raise UsageError(f"reading logins: {cause}", "mend the file, or name another with DOCKER_CONFIG") from error

    def _change(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Read, change and write the logins; of two that do so at once, one waits for the other."""
        if self.path is None:
            raise UsageError("keeping a login: neither DOCKER_CONFIG nor HOME is set", "set DOCKER_CONFIG")
        path = self.path.resolve()  # a link in its place stays one
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(path.parent / _LOCK):
                config = self._read()
                changed = {**config, "auths": change(_table(config, "auths"))}
                write_aside(path, json.dumps(changed, indent="\t").encode() + b"\n")
        except OSError as error:
            raise UnavailableError(f'writing "{path}": {error.strerror or error}') from error

    def _ask(self, helper: str, registry: str) -> Login | None:
        done = self._call(helper, "get", _keys(registry)[0].encode())
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        if done.code and "credentials not found" in said.lower():
            return None
        if done.code or done.timed_out:
            how = "no end in time" if done.timed_out else f"exit code {done.code}: {shown(said.strip(), 100)}"
            name = f"docker-credential-{helper}"
            hint = f'run it by hand, or take "{helper}" out of {self.path}'
            raise CommandError(f'asking {name} for the login of "{registry}": {how}', hint, (name,), done.code)
        return _helper_login(done.stdout, helper)

    def _call(self, helper: str, verb: str, stdin: bytes) -> "Completed":
        if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise UsageError(f'reading logins: "{shown(helper)}" is no name of a credential helper')
        try:
            argv = (f"docker-credential-{helper}", verb)
            run = _runner_of(self._runner)
            return run(argv, timeout=_HELPER_TIMEOUT, stdin=stdin, env=self._environment, cap=1 << 20)
        except UnavailableError as error:
            hint = f'install it, or take "{helper}" out of {self.path}'
            raise UnavailableError(error.message, hint) from error


def _runner_of(given: "Runner | None") -> "Runner":
    """The runner given, else the real one: few logins need a helper, and every pull would wait for the import."""
    if given is not None:
        return given
    from wasmdock.process import run_command

    return run_command


def _helper(config: Mapping[str, Any], registry: str) -> str:
    helpers = _table(config, "credHelpers")
    for key in _keys(registry):
        if isinstance(helpers.get(key), str):
            return str(helpers[key])
    store = config.get("credsStore", "")
    return store if isinstance(store, str) else ""


def _table(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return dict(value) if isinstance(value, dict) else {}


def _keys(registry: str) -> tuple[str, ...]:
    """How a registry is spelt in config.json, Docker's own way first."""
    if registry == _HUB:
        return (_HUB_KEY, _HUB, "index.docker.io", "registry-1.docker.io", "https://registry-1.docker.io/v2/")
    spellings = ("{}", "https://{}", "http://{}", "https://{}/", "https://{}/v1/", "https://{}/v2/", "{}/v2/")
    return tuple(spelling.format(registry) for spelling in spellings)


def _stored_login(entry: Mapping[str, Any], registry: str) -> Login:
    auth, token, bearer = (entry.get(key) or "" for key in ("auth", "identitytoken", "registrytoken"))
    if not all(isinstance(each, str) for each in (auth, token, bearer)):
        raise UsageError(f'reading the login of "{registry}": it is not text', "log in again: wasmdock login")
    try:
        user, _, secret = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
    except ValueError as error:  # no base64, not even ASCII, or no UTF-8 in it
        cause = f'reading the login of "{registry}": it is not base64 of user:password'
        raise UsageError(cause, "log in again: wasmdock login") from error
    plain_user, plain_secret = entry.get("username") or user, entry.get("password") or secret
    return Login(str(plain_user), str(plain_secret), token, bearer)


def _helper_login(data: bytes, helper: str) -> Login:
    fields = parse_object(data, f"the answer of docker-credential-{helper}", 1 << 20)
    user, secret = fields.text("Username"), fields.text("Secret")
    if user == _TOKEN_USER:
        return Login(identity_token=secret)
    return Login(user, secret) if user or secret else NOBODY
