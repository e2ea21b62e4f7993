"""Images no engine has seen: for cold starts that find neither a layer nor compiled code of an earlier one."""

import secrets
from collections.abc import Callable
from pathlib import PurePosixPath

from wasmdock.docker import Docker
from wasmdock.errors import WasmdockError
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Image
from wasmdock.pack import entry, extract, pack
from wasmdock.wasm_sniff import Form, form_of

_SECTION = b"wasmdock-bench"


class FreshImages:
    """Gives an image for each cold start, and removes the one before: see `renewed`."""

    def __init__(self, docker: Docker, nonce: Callable[[], bytes] = lambda: secrets.token_bytes(16)) -> None:
        """Nothing is removed before the second image."""
        self._docker, self._nonce = docker, nonce
        self._last: Image | None = None

    def __call__(self, image: Image) -> Image:
        """The next image; the engine has none of its name."""
        self.forget()
        self._last = renewed(image, self._nonce())
        self._docker.remove(held_as(self._last), force=True)
        return self._last

    def forget(self) -> None:
        """Remove the last image."""
        if self._last is not None:
            self._docker.remove(held_as(self._last), force=True)


def held_as(image: Image) -> str:
    """The name DockerRuntime gives an image it loads."""
    return f"wasmdock/run:{image.digest.hex[:24]}"


def renewed(image: Image, nonce: bytes) -> Image:
    """The same Wasm program with the nonce in a custom section, which no runtime looks at, in an image of its own.

    A containerd runtime keeps compiled code by the program's content: only a new content is compiled again. A native
    image, and one whose program is not /NAME.wasm, comes back as it is.
    """
    if not image.platform.is_wasm:
        return image
    start = entry(image)
    path = PurePosixPath(start.path)
    data = extract(image)
    target = Target.WASIP2 if form_of(data) is Form.COMPONENT else Target.WASIP1
    artifact = Artifact(path.stem, target, data + _custom(nonce))
    try:
        made = pack(artifact, env=image.env, args=image.cmd, labels=image.labels, entrypoint=image.entrypoint)
        extract(made)
    except WasmdockError:
        return image
    return made


def _custom(content: bytes) -> bytes:
    """A custom section (WebAssembly 5.5.3): id 0, size, name, content; all sizes here are below 128."""
    payload = bytes([len(_SECTION)]) + _SECTION + content
    return bytes([0, len(payload)]) + payload
