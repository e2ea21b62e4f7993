"""The names of images: digests, references and platforms, parsed by the rules of the OCI and Docker."""

import hashlib
import re
from typing import NamedTuple

from wasmdock.errors import ImageError
from wasmdock.oci.fields import shown

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
# The grammar of github.com/distribution/reference, which Docker and containerd share.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_HEX_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_LONGEST_NAME = 255
_HUB = "docker.io"
_NAME_HINT = "write [registry[:port]/]name[:tag][@sha256:...], in lower case, such as hello-world:1.0"


class Digest(NamedTuple):
    """A sha256 digest; its text is `sha256:` and 64 lower-case hex digits."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read `sha256:<64 hex>`. Raises ImageError."""
        match = _DIGEST.fullmatch(text)
        if not match:
            raise ImageError(
                f'reading digest "{shown(text)}": not a sha256 digest',
                "a digest is sha256: and 64 lower-case hex digits; other algorithms are not supported",
            )
        return cls(match[1])

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """The digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """The first 12 hex digits, as Docker shows an image's id."""
        return self.hex[:12]

    def __str__(self) -> str:
        """`sha256:<hex>`."""
        return f"sha256:{self.hex}"


class Reference(NamedTuple):
    """A Docker-style image name, complete: the registry and the tag are filled in as Docker does.

    tag is empty only where the name was given by digest alone.
    """

    registry: str
    repository: str
    tag: str = "latest"
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read `hello-world`, `host:5000/a/b:tag`, `name@sha256:...`. Raises ImageError."""
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _malformed(text, f'"{shown(tag)}" is not a tag')
        registry, repository = _split_registry(name)
        _check_name(text, registry, repository)
        return cls(registry, repository, tag if tag is not None else "" if digest else "latest", digest)

    @property
    def name(self) -> str:
        """The complete name without tag and digest: `docker.io/library/hello-world`."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name as people write it, without tag and digest: `hello-world`."""
        if self.registry != _HUB:
            return self.name
        official = self.repository.removeprefix("library/")
        return self.repository if "/" in official else official

    @property
    def canonical(self) -> str:
        """The complete name with tag and digest: `docker.io/library/hello-world:latest`."""
        return self.name + self._suffix

    @property
    def familiar(self) -> str:
        """The name as people write it, with its tag: `hello-world:latest`."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def __str__(self) -> str:
        """The familiar form."""
        return self.familiar


def _split_tag(rest: str) -> tuple[str, str | None]:
    """A colon starts a tag only after the last slash; before it, it is a port's."""
    colon = rest.rfind(":")
    if colon <= rest.rfind("/"):
        return rest, None
    return rest[:colon], rest[colon + 1 :]


def _split_registry(name: str) -> tuple[str, str]:
    """The first part is a registry when it could not be a Docker Hub account."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        registry = _HUB if first == "index.docker.io" else first
    else:
        registry, rest = _HUB, name
    if registry == _HUB and "/" not in rest:
        rest = f"library/{rest}"
    return registry, rest


def _check_name(text: str, registry: str, repository: str) -> None:
    familiar = repository.removeprefix("library/") if registry == _HUB else repository
    if not familiar:
        raise _malformed(text, "there is no name")
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        raise _malformed(text, f"the name is longer than {_LONGEST_NAME} characters")
    if familiar != familiar.lower():
        raise _malformed(text, "the name must be in lower case")
    if not _DOMAIN.fullmatch(registry):
        raise _malformed(text, f'"{shown(registry)}" is not a registry')
    if not all(_PATH.fullmatch(part) for part in repository.split("/")):
        raise _malformed(text, f'"{shown(familiar)}" is not a name')
    if _HEX_NAME.fullmatch(familiar):
        raise _malformed(text, "64 hex digits are a digest, not a name")


def _malformed(text: str, cause: str) -> ImageError:
    return ImageError(f'reading image name "{shown(text)}": {cause}', _NAME_HINT)


_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armhf": "arm",
    "wasm32": "wasm",
}
WASM_SYSTEMS = ("wasi", "wasip1", "wasip2")


class Platform(NamedTuple):
    """What an image is for: operating system, architecture and, rarely, a variant of it."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read `os/architecture[/variant]` as people write it. Raises ImageError."""
        return cls.explain(text)[0]

    @classmethod
    def explain(cls, text: str) -> tuple["Platform", str]:
        """The platform and a note for the user where its spelling was not the usual one (else empty)."""
        parts = text.strip().lower().split("/")
        if len(parts) not in (2, 3) or not all(_WORD.fullmatch(part) for part in parts):
            raise ImageError(
                f'reading platform "{shown(text)}": not os/architecture',
                "write wasi/wasm, linux/amd64 or linux/arm64",
            )
        system, architecture, *variant = parts
        platform = cls(system, _ARCHITECTURES.get(architecture, architecture), *variant)
        return platform, _note(text, platform)

    @classmethod
    def explain_list(cls, text: str) -> dict["Platform", str]:
        """Read platforms with a comma between: each once, with its note as `explain` gives it. Raises ImageError."""
        return dict(map(cls.explain, text.split(",")))

    @property
    def is_wasm(self) -> bool:
        """Whether it takes a Wasm runtime; `wasm32` is how early Docker documentation spelt it."""
        return self.architecture in ("wasm", "wasm32")

    def matches(self, wanted: "Platform") -> bool:
        """Whether an image for this platform serves `wanted`: any Wasm system serves wasi/wasm."""
        if self.is_wasm and wanted.is_wasm:
            return wanted.os == "wasi" or self.os in (wanted.os, "wasi")
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and (not wanted.variant or not self.variant or self.variant == wanted.variant)

    def __str__(self) -> str:
        """`os/architecture[/variant]`."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _note(text: str, platform: Platform) -> str:
    if platform.is_wasm and platform.os not in WASM_SYSTEMS:
        return f'"{shown(text)}" names no WASI system: Docker knows Wasm as wasi/wasm'
    if platform.is_wasm and platform.os != "wasi":
        return f'"{shown(text)}" names one version of WASI; Docker and containerd know Wasm as wasi/wasm'
    if str(platform) != text:
        return f'"{shown(text)}" is understood as {platform}'
    return ""


WASI = Platform("wasi", "wasm")
