"""What a registry's answers mean: errors in its own words, manifests, pauses it asks for."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from wasmdock.digits import read_digits
from wasmdock.errors import ImageError, RegistryError, WasmdockError
from wasmdock.oci.fields import DOCUMENT_CAP, parse_json, parse_object, shown
from wasmdock.oci.image import Descriptor, Digest
from wasmdock.oci.manifest import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from wasmdock.oci.registry_http import CONNECTION, Answer
from wasmdock.oci.registry_pace import SilentError

ERROR_CAP = 64 << 10  # bytes of an error's body that are looked at
_ERROR_WAIT = 10.0  # seconds for them
_PASSING = (408, 429, 500, 502, 503, 504)

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


def refused(answer: Answer, registry: str, redact: Callable[[str], str]) -> RegistryError:
    """What an unexpected status means, in the registry's own words where it has some, without secrets of ours."""
    data = b""
    with suppress(RegistryError):
        data = answer.body(ERROR_CAP, _ERROR_WAIT)
    code, said = _said(data)
    cause = _MEANINGS.get(answer.status, f"the registry answered {answer.status}")
    words = shown(redact(": ".join(filter(None, (code, said)))), 200)  # in this order: half a secret is one, too
    if not words and b"<html" in data[:1024].lower():
        words = "an HTML page instead of JSON"
    hint = _HINTS.get(answer.status, "").format(registry)
    text = f"{answer.doing}: {cause}" + (f" ({words})" if words else "")
    return RegistryError(text, hint, answer.status, code, _retry_after(answer.headers.get("Retry-After", "")))


def may_pass(error: RegistryError) -> bool:
    """Whether the same request may succeed a little later."""
    return error.code == CONNECTION or error.status in _PASSING


class Bearing:
    """How much longer a registry may be silent to one request, over all its tries."""

    def __init__(self, seconds: float) -> None:
        """So long in all."""
        self._left = self._seconds = seconds
        self._last: RegistryError | None = None

    def takes(self, error: RegistryError) -> bool:
        """Whether there may be another try after this failure, counted once however often it is asked about."""
        silent = error.__cause__
        if isinstance(silent, SilentError) and error is not self._last:
            self._left -= silent.seconds
        self._last = error
        return may_pass(error) and self._left > 0

    def renew(self) -> None:
        """Something came."""
        self._left = self._seconds


def is_index(answer: Answer) -> bool:
    """Whether the registry says that it sends an index."""
    return media_type(answer) == OCI_INDEX


def media_type(answer: Answer) -> str:
    """The media type an answer says it has."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def read_manifest(answer: Answer, name: str) -> tuple[Descriptor, bytes]:
    """The manifest or index that was asked for by that tag or digest. Raises RegistryError."""
    said, doing = media_type(answer), answer.doing
    if "html" in said:
        answer.close()
        hint = "is it a registry at all? a login page or a proxy may answer in its place"
        raise RegistryError(f"{doing}: the answer is an HTML page instead of a manifest", hint, answer.status)
    data = answer.body(DOCUMENT_CAP)
    with stating(doing):
        declared = parse_object(data, "the manifest")
        own = declared.text("mediaType")
    known = (*MANIFESTS, *INDEXES)
    if said in known and own not in ("", said):
        cause = f'it says it is "{shown(own)}", the registry "{shown(said)}"'
        raise RegistryError(f"{doing}: mixed media types: {cause}", "", answer.status)
    kind = own or (said if said in known else "")
    kind = kind or (OCI_INDEX if declared.has("manifests") else OCI_MANIFEST)
    for promised in (name if ":" in name else "", answer.headers.get("Docker-Content-Digest", "")):
        if promised.startswith("sha256:") and promised != str(Digest.of(data)):
            cause = f"its content has the digest {Digest.of(data)} instead of {shown(promised)}"
            raise RegistryError(f"{doing}: {cause}", "the registry or something on the way is damaged")
    return Descriptor.of(kind, data), data


@contextmanager
def stating(doing: str) -> Iterator[None]:
    """Say what was being done where what the registry sent is itself at fault."""
    try:
        yield
    except RegistryError:
        raise
    except ImageError as error:
        raise RegistryError(f"{doing}: {error.message}", error.hint, 200) from error


def check_stored(answer: Answer, digest: Digest) -> None:
    """Raise RegistryError where the registry says it has stored something else than was sent."""
    stored = answer.headers.get("Docker-Content-Digest", "")
    if stored.startswith("sha256:") and stored != str(digest):
        cause = f"the registry stored something else ({shown(stored)}) than was sent ({digest})"
        raise RegistryError(f"{answer.doing}: {cause}", "", answer.status)


def _said(data: bytes) -> tuple[str, str]:
    """The first error's code and message; empty for a body that is not the specification's."""
    try:
        document = parse_json(data, "the error", ERROR_CAP)
        error = document["errors"][0]
        return str(error.get("code", "")), str(error.get("message", ""))
    except (WasmdockError, KeyError, IndexError, TypeError, AttributeError, json.JSONDecodeError):
        return "", ""


def _retry_after(text: str) -> float | None:
    """Seconds or a date (RFC 9110 section 10.2.3) -> seconds."""
    if (seconds := read_digits(text.strip())) is not None:
        return float(seconds)
    import email.utils  # rarely needed, and slow to load

    with suppress(ValueError, TypeError, IndexError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None
