"""One registry by the OCI distribution specification 1.1: manifests, blobs, uploads, tags and referrers."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from wasmdock.digits import read_digits
from wasmdock.errors import ImageError, RegistryError, WasmdockError
from wasmdock.oci.credentials import NOBODY, Login
from wasmdock.oci.fields import DOCUMENT_CAP, NOTHING, Fields, parse_json, parse_object, shown
from wasmdock.oci.image import Descriptor, Digest
from wasmdock.oci.manifest import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from wasmdock.oci.registry_auth import Authorizer
from wasmdock.oci.registry_http import CONNECTION, Answer, Transport, is_loopback, origin

_ERROR_CAP = 64 << 10  # bytes of an error's body that are looked at
_PASSING = (408, 429, 500, 502, 503, 504)
_ROUNDS = 3  # of login for one request: as nobody, with a token, with a new token
_TAGS_CAP = 100_000
_PAGES_CAP = 1_000
_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
_T = TypeVar("_T")

Body = bytes | Callable[[], Iterable[bytes]] | None


class Registry:
    """A registry; safe to use from several threads. Every method raises RegistryError."""

    def __init__(self, name: str, transport: Transport, find_login: Callable[[], Login] = lambda: NOBODY) -> None:
        """Keep the name (`docker.io`, `host:port`); nothing is sent yet."""
        self.name = name
        self._transport = transport
        self._auth = Authorizer(name, transport, find_login)
        self._base = ""
        self._lock = threading.Lock()

    def ping(self) -> None:
        """Ask for nothing but an answer; with a login this checks it."""
        doing = f'asking registry "{self.name}"'
        self.persist(lambda: self.call("GET", "/v2/", doing=doing, expect=(200,))).drain()

    def manifest(self, repository: str, name: str, doing: str) -> tuple[Descriptor, bytes]:
        """A manifest or index by tag or digest: what it is and its bytes, verified as far as can be."""
        where = f"/v2/{repository}/manifests/{quote(name, safe=':')}"

        def work() -> tuple[Descriptor, bytes]:
            answer = self.call(
                "GET", where, doing=doing, scope=pulling(repository), headers={"Accept": _ACCEPT}, expect=(200,)
            )
            return _read_manifest(answer, name, doing)

        return self.persist(work)

    def digest(self, repository: str, name: str, doing: str) -> Digest | None:
        """The digest a tag has, None where the registry has no such tag or does not say."""
        where = f"/v2/{repository}/manifests/{quote(name, safe=':')}"
        headers = {"Accept": _ACCEPT}
        scope = pushing(repository)
        answer = self.persist(
            lambda: self.call("HEAD", where, doing=doing, scope=scope, headers=headers, expect=(200, 404))
        )
        answer.drain()
        with suppress(ImageError):
            return Digest.parse(answer.headers.get("Docker-Content-Digest", "")) if answer.status == 200 else None
        return None

    def put_manifest(self, repository: str, name: str, media_type: str, data: bytes, doing: str) -> Answer:
        """Store a manifest under a tag or its own digest."""
        where = f"/v2/{repository}/manifests/{quote(name, safe=':')}"
        headers = {"Content-Type": media_type}
        scope = pushing(repository)
        answer = self.persist(
            lambda: self.call("PUT", where, doing=doing, scope=scope, headers=headers, body=data, expect=(201, 200))
        )
        answer.drain()
        _check_stored(answer, Digest.of(data), doing)
        return answer

    def has_blob(self, repository: str, digest: Digest, doing: str) -> bool:
        """Whether a blob is there."""
        where = f"/v2/{repository}/blobs/{digest}"
        answer = self.persist(
            lambda: self.call("HEAD", where, doing=doing, scope=pushing(repository), expect=(200, 404))
        )
        answer.drain()
        return answer.status == 200

    def open_blob(self, repository: str, digest: Digest, doing: str, start: int = 0) -> Answer:
        """A blob from byte `start` on: status 206, or 200 and all of it."""
        headers = {"Range": f"bytes={start}-"} if start else NOTHING
        where = f"/v2/{repository}/blobs/{digest}"
        return self.call("GET", where, doing=doing, scope=pulling(repository), headers=headers, expect=(200, 206))

    def start_upload(self, repository: str, doing: str, mount: tuple[Digest, str] | None = None) -> Answer:
        """Begin an upload (202), or have the registry take the blob from another of its repositories (201)."""
        where, scope = f"/v2/{repository}/blobs/uploads/", pushing(repository)
        if mount:
            where += "?" + urlencode({"mount": str(mount[0]), "from": mount[1]})
            scope = f"{scope} {pulling(mount[1])}"
        headers = {"Content-Length": "0"}
        return self.persist(
            lambda: self.call("POST", where, doing=doing, scope=scope, headers=headers, expect=(201, 202))
        )

    def send(
        self, method: str, url: str, repository: str, doing: str, headers: Mapping[str, str], body: Body, *expect: int
    ) -> Answer:
        """One step of an upload, sent once."""
        scope = pushing(repository)
        return self.call(method, url, doing=doing, scope=scope, headers=headers, body=body, expect=expect)

    def tags(self, repository: str) -> list[str]:
        """Every tag of a repository, sorted."""
        doing = f'listing the tags of "{self.name}/{repository}"'
        found: set[str] = set()
        where, seen = f"/v2/{repository}/tags/list?n=1000", set[str]()
        while where and len(seen) < _PAGES_CAP and where not in seen and len(found) < _TAGS_CAP:
            seen.add(where)
            answer, data = self._document(where, doing, pulling(repository))
            found.update(_parse(data, doing).texts("tags"))
            where = self._following(answer, doing)
        return sorted(found)

    def referrers_by_tag(self, repository: str, digest: Digest, doing: str) -> list[Mapping[str, Any]]:
        """The entries of the tag that lists what refers to a manifest, as they are; empty where there is none."""
        where = f"/v2/{repository}/manifests/{referrers_tag(digest)}"
        answer, data = self._document(where, doing, pushing(repository), expect=(200, 404))
        return [each.members for each in _parse(data, doing).children("manifests")] if answer.status == 200 else []

    def referrers(self, repository: str, digest: Digest, doing: str) -> tuple[Descriptor, ...]:
        """What refers to a manifest (its attestations), by the API or, where there is none, by the tag schema."""
        answer, data = self._document(
            f"/v2/{repository}/referrers/{digest}", doing, pulling(repository), expect=(200, 404, 405, 400)
        )
        if answer.status != 200 or not _is_index(answer):
            where = f"/v2/{repository}/manifests/{referrers_tag(digest)}"
            answer, data = self._document(where, doing, pulling(repository), expect=(200, 404))
        if answer.status != 200:
            return ()
        return tuple(Descriptor.parse(each) for each in _parse(data, doing).children("manifests"))

    def call(
        self,
        method: str,
        where: str,
        *,
        doing: str,
        scope: str = "",
        headers: Mapping[str, str] = NOTHING,
        body: Body = None,
        expect: Sequence[int] = (),
    ) -> Answer:
        """Send one request, logging in as the registry asks. Any status but those in `expect` is an error."""
        base = self._find_base()
        url = where if "://" in where else base + where
        for _ in range(_ROUNDS):
            private = self._auth.header(scope, doing) if origin(url) == origin(base) else {}
            sent = body() if callable(body) else body
            answer = self._transport.request(method, url, doing=doing, headers=headers, private=private, body=sent)
            if answer.status != 401 or origin(answer.url) != origin(base):
                break
            challenge = answer.headers.get("WWW-Authenticate", "")
            if not self._auth.challenged(challenge, scope, private, doing):
                break
            answer.drain()
        if answer.status not in expect:
            raise self._refused(answer, doing)
        return answer

    def persist(self, work: Callable[[], _T]) -> _T:
        """Do the work again while its failure may pass, with growing pauses or those the registry asks for."""
        patience = self._transport.patience
        for number in range(patience.tries):
            try:
                return work()
            except RegistryError as error:
                if number + 1 == patience.tries or not may_pass(error):
                    raise
                self.pause(error, number)
        raise AssertionError("a loop that returns or raises")

    def pause(self, error: RegistryError, number: int) -> None:
        """Wait before the next try. Raises the error where the registry asks for more than is bearable."""
        patience = self._transport.patience
        asked = error.retry_after
        if asked is not None and asked > patience.longest_pause:
            hint = f"it asks to wait {asked:.0f} s: try again then"
            raise RegistryError(error.message, hint, error.status, error.code) from error
        pause = asked if asked is not None else min(patience.longest_pause, patience.pause * 2**number)
        patience.tell(f"{error.message}: trying again in {pause:g} s")
        patience.sleep(pause)

    def resolve(self, answer: Answer, doing: str) -> str:
        """Where the answer's Location leads."""
        target = answer.headers.get("Location", "")
        if not target:
            raise RegistryError(f"{doing}: the registry's answer names no place to go on", "", answer.status)
        return self._transport.resolve(answer.url, target, doing)

    @property
    def tries(self) -> int:
        """How often a failure that may pass is tried."""
        return self._transport.patience.tries

    def _find_base(self) -> str:
        """https, except on this machine (or where --insecure allows it) if only plain http is spoken there."""
        with self._lock:
            if not self._base:
                self._base = self._probe()
            return self._base

    def _probe(self) -> str:
        host = _HUB_HOST if self.name == _HUB else self.name
        is_local = is_loopback(host_of(host))
        if not is_local and not self._transport.insecure:
            return f"https://{host}"
        schemes = ("http", "https") if is_local else ("https", "http")
        try:
            return self.persist(lambda: self._first_that_answers(host, schemes))
        except RegistryError as error:  # it was tried again already: who asks for more must not do it once more
            raise RegistryError(error.message, error.hint, error.status) from error

    def _first_that_answers(self, host: str, schemes: Sequence[str]) -> str:
        doing = f'reaching registry "{self.name}"'
        failures: list[RegistryError] = []
        for scheme in schemes:
            try:
                answer = self._transport.request("GET", f"{scheme}://{host}/v2/", doing=doing)
            except RegistryError as error:
                failures.append(error)
                continue
            refused = scheme == "http" and answer.status == 400 and b"HTTPS" in answer.body(_ERROR_CAP)
            answer.drain()
            if not refused:
                return f"{scheme}://{host}"
        if failures and is_loopback(host_of(host)) and all(_is_nobody(each) for each in failures):
            raise RegistryError(failures[0].message, failures[0].hint)  # of this machine: it will not pass by itself
        raise failures[0] if failures else RegistryError(f"{doing}: it speaks neither http nor https")

    def _document(self, where: str, doing: str, scope: str, expect: Sequence[int] = (200,)) -> tuple[Answer, bytes]:
        def work() -> tuple[Answer, bytes]:
            answer = self.call("GET", where, doing=doing, scope=scope, headers={"Accept": _ACCEPT}, expect=expect)
            return answer, answer.body(DOCUMENT_CAP)

        return self.persist(work)

    def _following(self, answer: Answer, doing: str) -> str:
        """The next page by the Link header (RFC 8288), on this registry only; empty for none."""
        link, _, rest = answer.headers.get("Link", "").strip().removeprefix("<").partition(">")
        if not link or "next" not in rest:
            return ""
        url = self._transport.resolve(answer.url, link, doing)
        if origin(url) != origin(answer.url):
            raise RegistryError(f"{doing}: the next page would be on another host")
        return url

    def _refused(self, answer: Answer, doing: str) -> RegistryError:
        """What an unexpected status means, in the registry's own words where it has some."""
        data = b""
        with suppress(RegistryError):
            data = answer.body(_ERROR_CAP)
        code, said = _said(data)
        cause = _MEANINGS.get(answer.status, f"the registry answered {answer.status}")
        words = self._auth.redact(shown(": ".join(filter(None, (code, said))), 200))
        if not words and b"<html" in data[:1024].lower():
            words = "an HTML page instead of JSON"
        hint = _HINTS.get(answer.status, "").format(self.name)
        text = f"{doing}: {cause}" + (f" ({words})" if words else "")
        return RegistryError(text, hint, answer.status, code, _retry_after(answer.headers.get("Retry-After", "")))


_HINTS = {
    401: "wasmdock login {0}",
    403: "wasmdock login {0}",
    404: "check the name (wasmdock tags {0}/NAME lists tags); a private one needs wasmdock login {0}",
}
_MEANINGS = {
    401: "the registry asks for a login, or refused it",
    403: "the registry does not allow it",
    404: "the registry does not have it",
    413: "too large for the registry",
    429: "too many requests, says the registry",
}


def host_of(name: str) -> str:
    """The host of `host:port`."""
    return urlsplit(f"//{name}").hostname or ""


def _is_nobody(error: RegistryError) -> bool:
    return isinstance(error.__cause__, ConnectionRefusedError)


def pulling(repository: str) -> str:
    """The scope of a token that may read a repository."""
    return f"repository:{repository}:pull"


def pushing(repository: str) -> str:
    """The scope of a token that may write to a repository."""
    return f"repository:{repository}:pull,push"


def referrers_tag(digest: Digest) -> str:
    """The tag that lists what refers to a manifest where the registry has no referrers API."""
    return f"sha256-{digest.hex}"


def may_pass(error: RegistryError) -> bool:
    """Whether the same request may succeed a little later."""
    return error.code == CONNECTION or error.status in _PASSING


def _is_index(answer: Answer) -> bool:
    return _media_type(answer) == OCI_INDEX


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _read_manifest(answer: Answer, name: str, doing: str) -> tuple[Descriptor, bytes]:
    said = _media_type(answer)
    if "html" in said:
        answer.close()
        hint = "is it a registry at all? a login page or a proxy may answer in its place"
        raise RegistryError(f"{doing}: the answer is an HTML page instead of a manifest", hint, answer.status)
    data = answer.body(DOCUMENT_CAP)
    declared = _declared(data, doing)
    known = (*MANIFESTS, *INDEXES)
    if said in known and declared.text("mediaType") not in ("", said):
        cause = f'it says it is "{shown(declared.text("mediaType"))}", the registry "{shown(said)}"'
        raise RegistryError(f"{doing}: mixed media types: {cause}", "", answer.status)
    kind = declared.text("mediaType") or (said if said in known else "")
    kind = kind or (OCI_INDEX if declared.has("manifests") else OCI_MANIFEST)
    for promised in (name if ":" in name else "", answer.headers.get("Docker-Content-Digest", "")):
        if promised.startswith("sha256:") and promised != str(Digest.of(data)):
            cause = f"its content has the digest {Digest.of(data)} instead of {shown(promised)}"
            raise RegistryError(f"{doing}: {cause}", "the registry or something on the way is damaged")
    return Descriptor.of(kind, data), data


def _declared(data: bytes, doing: str) -> Fields:
    try:
        return parse_object(data, "the manifest")
    except ImageError as error:
        raise RegistryError(f"{doing}: {error.message}", error.hint, 200) from error


def _parse(data: bytes, doing: str) -> Fields:
    try:
        return parse_object(data, "the registry's answer")
    except ImageError as error:
        raise RegistryError(f"{doing}: {error.message}", error.hint, 200) from error


def _check_stored(answer: Answer, digest: Digest, doing: str) -> None:
    stored = answer.headers.get("Docker-Content-Digest", "")
    if stored.startswith("sha256:") and stored != str(digest):
        cause = f"the registry stored something else ({shown(stored)}) than was sent ({digest})"
        raise RegistryError(f"{doing}: {cause}", "", answer.status)


def _said(data: bytes) -> tuple[str, str]:
    """The first error's code and message; empty for a body that is not the specification's."""
    try:
        document = parse_json(data, "the error", _ERROR_CAP)
        error = document["errors"][0]
        return str(error.get("code", "")), str(error.get("message", ""))
    except (WasmdockError, KeyError, IndexError, TypeError, AttributeError, json.JSONDecodeError):
        return "", ""


def _retry_after(text: str) -> float | None:
    """Seconds or a date (RFC 9110 section 10.2.3) -> seconds."""
    if (seconds := read_digits(text.strip())) is not None:
        return float(seconds)
    import email.utils  # rarely needed, and slow to load

    with suppress(ValueError, TypeError, IndexError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None
