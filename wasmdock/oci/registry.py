"""One registry by the OCI distribution specification 1.1: manifests, blobs, uploads, tags and referrers."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from wasmdock.errors import ImageError, RegistryError
from wasmdock.oci.credentials import NOBODY, Login
from wasmdock.oci.fields import DOCUMENT_CAP, NOTHING, Fields, parse_object
from wasmdock.oci.image import Descriptor, Digest
from wasmdock.oci.manifest import INDEXES, MANIFESTS
from wasmdock.oci.registry_answers import (
    ERROR_CAP,
    Bearing,
    check_stored,
    is_index,
    read_manifest,
    refused,
    stating,
)
from wasmdock.oci.registry_auth import Authorizer
from wasmdock.oci.registry_hosts import host_of, is_loopback
from wasmdock.oci.registry_http import Answer, Transport, is_untrusted, origin

_ROUNDS = 3  # of login for one request: as nobody, with a token, with a new token
_TAGS_CAP = 100_000
_PAGES_CAP = 1_000
_LISTED_CAP = 10_000  # entries of a list of referrers
_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
_LINK = re.compile(r"<([^<>]*)>([^<]*)")  # a link and what is said of it
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
            return read_manifest(answer, name)

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

        def work() -> Answer:
            answer = self.call("PUT", where, doing=doing, scope=scope, headers=headers, body=data, expect=(201, 200))
            answer.drain()
            check_stored(answer, Digest.of(data))
            return answer

        return self.persist(work)

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

    def start_upload(self, repository: str, doing: str) -> Answer:
        """Begin an upload (202); some registries find the blob by themselves (201)."""
        where = f"/v2/{repository}/blobs/uploads/"
        return self.persist(lambda: self._post(where, doing, pushing(repository)))

    def mount(self, repository: str, doing: str, digest: Digest, source: str) -> Answer:
        """Have the registry take a blob from another of its repositories (201), or else begin an upload (202).

        Asked once: who may not read over there, may still send.
        """
        where = f"/v2/{repository}/blobs/uploads/?" + urlencode({"mount": str(digest), "from": source})
        return self._post(where, doing, f"{pushing(repository)} {pulling(source)}")

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
        try:
            for page in self._pages(f"/v2/{repository}/tags/list?n=1000", doing, pulling(repository)):
                with stating(doing):
                    found.update(page.texts("tags"))
                if len(found) > _TAGS_CAP:
                    raise RegistryError(f"{doing}: more than the {_TAGS_CAP} tags allowed")
        except RegistryError as error:
            if error.status == 404:  # the usual cure is this very list
                error.hint = f"check the repository's name; a private one needs wasmdock login {self.name}"
            raise
        return sorted(found)

    def referrers_by_tag(self, repository: str, digest: Digest, doing: str) -> list[Mapping[str, Any]]:
        """The entries of the tag that lists what refers to a manifest, as they are; empty where there is none."""
        where = f"/v2/{repository}/manifests/{referrers_tag(digest)}"
        return self._listed(self._pages(where, doing, pushing(repository), expect=(200, 404)), doing)

    def referrers(self, repository: str, digest: Digest, doing: str) -> tuple[Descriptor, ...]:
        """What refers to a manifest (its attestations), by the API or, where there is none, by the tag schema.

        What the registry lists and cannot be read is passed over, and told.
        """
        where = f"/v2/{repository}/referrers/{digest}"
        pages = self._pages(where, doing, pulling(repository), expect=(200, 404, 405, 400), only=is_index)
        if (first := next(pages, None)) is None:
            where = f"/v2/{repository}/manifests/{referrers_tag(digest)}"
            pages = self._pages(where, doing, pulling(repository), expect=(200, 404))
        entries = self._listed([*([first] if first else ()), *pages], doing)
        found: dict[Digest, Descriptor] = {}
        for each in entries:
            try:
                descriptor = Descriptor.parse(Fields("the list of referrers", each))
                found.setdefault(descriptor.digest, descriptor)
            except ImageError as error:
                self.tell(f"{doing}: what refers to it is passed over: {error.message}")
        return tuple(found.values())

    def tell(self, text: str) -> None:
        """Have the user hear of what is no failure."""
        self._transport.patience.tell(self._auth.redact(text))

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
        with self.redacting():
            for _ in range(_ROUNDS):
                private = self._auth.header(scope, doing) if origin(url) == origin(base) else {}
                sent = body() if callable(body) else body
                answer = self._transport.request(method, url, doing=doing, headers=headers, private=private, body=sent)
                if answer.status != 401 or origin(answer.url) != origin(base):
                    break
                if not self._auth.challenged(answer.lines("WWW-Authenticate"), scope, private, doing):
                    break
                answer.drain()
            if answer.status not in expect:
                raise refused(answer, self.name, self._auth.redact)
            return answer

    def persist(self, work: Callable[[], _T]) -> _T:
        """Do the work again while its failure may pass, with growing pauses or those the registry asks for."""
        patience, bearing = self._transport.patience, self.bearing()
        for number in range(patience.tries):
            try:
                with self.redacting():
                    return work()
            except RegistryError as error:
                if not bearing.takes(error) or number + 1 == patience.tries:
                    raise
                self.pause(error, number, f" ({number + 2} of {patience.tries})")
        raise AssertionError("a loop that returns or raises")

    @contextmanager
    def redacting(self) -> Iterator[None]:
        """Take our secrets out of errors: a registry may have sent them back, in a header, an address or its words."""
        try:
            yield
        except RegistryError as error:
            error.message, error.hint = self._auth.redact(error.message), self._auth.redact(error.hint)
            error.args = (error.message,)
            raise

    def pause(self, error: RegistryError, number: int, which: str = "") -> None:
        """Say that there is another try, `which` of them, and wait before it.

        Raises the error where the registry asks for more than is bearable.
        """
        patience = self._transport.patience
        asked = error.retry_after
        if asked is not None and asked > patience.longest_pause:
            hint = f"it asks to wait {asked:.0f} s: try again then"
            raise RegistryError(error.message, hint, error.status, error.code) from error
        pause = asked if asked is not None else min(patience.longest_pause, patience.pause * 2**number)
        patience.tell(f"{error.message}: trying again in {pause:g} s{which}")
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

    def bearing(self) -> Bearing:
        """How long silence is borne, for a new request."""
        return Bearing(self._transport.patience.silence)

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
            is_refused = scheme == "http" and answer.status == 400 and b"HTTPS" in answer.body(ERROR_CAP)
            answer.drain()
            if not is_refused:
                return f"{scheme}://{host}"
        if failures and is_loopback(host_of(host)) and all(_is_nobody(each) for each in failures):
            raise RegistryError(failures[0].message, failures[0].hint)  # of this machine: it will not pass by itself
        telling = next((each for each in failures if is_untrusted(each.__cause__)), None)  # plain http only hangs up
        if failures:
            raise telling or failures[0]
        raise RegistryError(f"{doing}: it speaks neither http nor https")

    def _post(self, where: str, doing: str, scope: str) -> Answer:
        return self.call("POST", where, doing=doing, scope=scope, headers={"Content-Length": "0"}, expect=(201, 202))

    def _pages(
        self,
        where: str,
        doing: str,
        scope: str,
        expect: Sequence[int] = (200,),
        only: Callable[[Answer], bool] = lambda _: True,
    ) -> Iterator[Fields]:
        """The pages of a list; none where there is no list there. Raises RegistryError, also for one without end."""
        within = self._transport.patience.listing
        until = time.monotonic() + within

        def work(at: str) -> tuple[Fields | None, str]:
            left = until - time.monotonic()
            if left <= 0:
                cause = f"its pages took longer than {within:.0f} s"
                raise RegistryError(f"{doing}: {cause}", "the registry is at fault, or the line is too slow")
            answer = self.call("GET", at, doing=doing, scope=scope, headers={"Accept": _ACCEPT}, expect=expect)
            if answer.status != 200 or not only(answer):
                answer.drain()
                return None, ""
            with stating(doing):
                return parse_object(answer.body(DOCUMENT_CAP, left), "the registry's answer"), self._following(answer)

        seen = set[str]()
        while where:
            if where in seen or len(seen) >= _PAGES_CAP:
                cause = "its pages go in a circle" if where in seen else f"more than the {_PAGES_CAP} pages allowed"
                raise RegistryError(f"{doing}: {cause}", "the registry is at fault")
            seen.add(where)
            page, where = self.persist(lambda at=where: work(at))  # type: ignore[misc]  # mypy cannot type defaults of a lambda
            if page:
                yield page

    def _listed(self, pages: Iterable[Fields], doing: str) -> list[Mapping[str, Any]]:
        """The manifests that the pages of an index list, as they are."""
        found: list[Mapping[str, Any]] = []
        with stating(doing):
            for page in pages:
                found += [each.members for each in page.children("manifests")]
                if len(found) > _LISTED_CAP:
                    raise RegistryError(f"{doing}: more than the {_LISTED_CAP} entries allowed")
        return found

    def _following(self, answer: Answer) -> str:
        """The next page by the Link header (RFC 8288), on this registry only; empty for none."""
        link = next((link for link, rest in _LINK.findall(answer.lines("Link")) if "next" in rest), "")
        if not link:
            return ""
        url = self._transport.resolve(answer.url, link, answer.doing)
        if origin(url) != origin(answer.url):
            raise RegistryError(f"{answer.doing}: the next page would be on another host")
        return url


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
