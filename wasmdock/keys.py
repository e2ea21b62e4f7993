"""Signatures by keys in PEM files: Ed25519 and ECDSA over P-256 with SHA-256, by the cryptography library, offline."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasmdock.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAKE = "make one: openssl genpkey -algorithm ed25519 -out key.pem"
_PUBLISH = "openssl pkey -in key.pem -pubout"


def sign_bytes(message: bytes, private_key: bytes) -> bytes:
    """The signature by a private key (PEM, PKCS 8, no password). Raises UsageError for what is no such key."""
    key = _private(private_key)
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    return key.sign(message)


def verify_bytes(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the signature is by that key (PEM). Raises UsageError for what is no such key."""
    key = _public(public_key)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def check_public_key(public_key: bytes) -> None:
    """Raise UsageError for what is no public key in PEM that signatures can be checked with."""
    _public(public_key)


def check_private_key(private_key: bytes) -> None:
    """Raise UsageError for what is no private key in PEM that can sign."""
    _private(private_key)


def public_key_of(private_key: bytes) -> bytes:
    """The public key (PEM) that verifies what the private one signs. Raises UsageError."""
    key = _private(private_key)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private(pem: bytes) -> "Ed25519PrivateKey | EllipticCurvePrivateKey":
    _need_library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if b"ENCRYPTED" in pem[:100]:
        raise UsageError("reading the signing key: it has a password, as those that cosign makes", _MAKE)
    with _reading("the signing key", "not a private key in PEM without a password", _MAKE):
        key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise UsageError("reading the signing key: neither Ed25519 nor ECDSA", _MAKE)
    return key


def _public(pem: bytes) -> "Ed25519PublicKey | EllipticCurvePublicKey":
    _need_library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    with _reading("the key", "not a public key in PEM", _PUBLISH):
        key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise UsageError("reading the key: neither Ed25519 nor ECDSA", _MAKE)
    return key


@contextmanager
def _reading(what: str, is_none: str, cure: str) -> Iterator[None]:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(f"reading {what}: {is_none}", cure) from error
    except UnsupportedAlgorithm as error:
        raise UsageError(f"reading {what}: of a kind or on a curve that is not known here", _MAKE) from error


def _need_library() -> None:
    try:
        import cryptography  # noqa: F401  # only to see whether it is there
    except ImportError as error:
        cure = "in a clone of wasmdock: pip install '.[sign]'; anywhere: pip install cryptography"
        raise UnavailableError("signing and verifying: cryptography is missing", cure) from error
