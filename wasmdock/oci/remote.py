"""A name is enough to bring an image to its registry and back, with the logins and proxies an environment names."""

from collections.abc import Mapping, Sequence

from wasmdock.oci.credentials import Credentials
from wasmdock.oci.fields import NOTHING
from wasmdock.oci.image import Image, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Patience, Transport
from wasmdock.oci.registry_transfer import Sent, pull, push
from wasmdock.oci.store import Store, StoredImage


def connect(
    name: str, environment: Mapping[str, str] = NOTHING, insecure: bool = False, patience: Patience | None = None
) -> Registry:
    """The registry of that name (`ghcr.io`, `localhost:5000`); nothing is sent yet.

    environment: DOCKER_CONFIG or HOME (logins), HTTPS_PROXY, SSL_CERT_FILE, ... insecure: plain http and unverified
    TLS are taken from any host. patience: how long is waited, and who hears of it.
    """
    credentials = Credentials(environment)
    return Registry(name, Transport(environment, insecure=insecure, patience=patience), lambda: credentials.find(name))


def push_image(
    content: Image | ImageIndex,
    reference: Reference,
    *,
    environment: Mapping[str, str] = NOTHING,
    insecure: bool = False,
) -> Sent:
    """Give a registry an image, or an index with its images: `push_image(image, Reference.parse("ghcr.io/me/x:v1"))`.

    Blobs the registry has are not sent. environment and insecure as in `connect`. Raises RegistryError, ImageError.
    """
    return push(connect(reference.registry, environment, insecure), reference, content)


def pull_image(
    reference: Reference,
    store: Store,
    *,
    platforms: Sequence[Platform] | None = None,
    whole: bool = False,
    environment: Mapping[str, str] = NOTHING,
    insecure: bool = False,
) -> StoredImage:
    """Bring an image into a store, every byte verified; of several the one for the first of `platforms`, or all.

    environment and insecure as in `connect`. Raises RegistryError, ImageError, UnavailableError; the store then is as
    it was.
    """
    return pull(connect(reference.registry, environment, insecure), reference, store, platforms=platforms, whole=whole)
