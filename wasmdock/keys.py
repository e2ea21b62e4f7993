"""Signatures by keys in PEM files: Ed25519 and ECDSA over P-256 with SHA-256, by the cryptography library, offline."""

from wasmdock.errors import UnavailableError, UsageError

_MAKE = "make one: openssl genpkey -algorithm ed25519 -out key.pem"


def sign_bytes(message: bytes, private_key: bytes) -> bytes:
    """The signature by a private key (PEM, PKCS 8, no password). Raises UsageError for what is no such key."""
    _need_library()
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if b"ENCRYPTED" in private_key[:100]:
        raise UsageError("reading the signing key: it has a password, as those that cosign makes", _MAKE)
    try:
        key = serialization.load_pem_private_key(private_key, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError("reading the signing key: not a private key in PEM without a password", _MAKE) from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    raise UsageError("reading the signing key: neither Ed25519 nor ECDSA", _MAKE)


def verify_bytes(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the signature is by that key (PEM). Raises UsageError for what is no such key."""
    _need_library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    try:
        key = serialization.load_pem_public_key(public_key)
    except (ValueError, TypeError) as error:
        raise UsageError("reading the key: not a public key in PEM", "openssl pkey -in key.pem -pubout") from error
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            raise UsageError("reading the key: neither Ed25519 nor ECDSA", _MAKE)
    except InvalidSignature:
        return False
    return True


def check_public_key(public_key: bytes) -> None:
    """Raise UsageError for what is no public key in PEM."""
    verify_bytes(b"", b"", public_key)


def _need_library() -> None:
    try:
        import cryptography  # noqa: F401  # only to see whether it is there
    except ImportError as error:
        cure = "in a clone of wasmdock: pip install '.[sign]'; anywhere: pip install cryptography"
        raise UnavailableError("signing and verifying: cryptography is missing", cure) from error
