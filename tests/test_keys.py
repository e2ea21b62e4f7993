"""Keys in PEM files: which are taken, and what is said of those that are not."""

import subprocess
from pathlib import Path

import pytest

from tests.test_provenance import keys
from wasmdock.cli.key_file import read_public_key, read_signing_key
from wasmdock.errors import UsageError
from wasmdock.keys import check_private_key, check_public_key, public_key_of, sign_bytes, verify_bytes

# A curve of 160 bits that openssl knows and the library does not.
_ODD_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MD4wEAYHKoZIzj0CAQYFK4EEAAkDKgAEPFn26OcXx6CW5Mog7ugnPwJE5Ieabx8r
1TBrxRov/mT8o5SQzwClYQ==
-----END PUBLIC KEY-----
"""
_ODD_PRIVATE = b"""-----BEGIN EC PRIVATE KEY-----
MFECAQEEFQBOLxQu/irDFi8Z4RxhRUBRBYRngqAHBgUrgQQACaEsAyoABDxZ9ujn
F8egluTKIO7oJz8CROSHmm8fK9Uwa8UaL/5k/KOUkM8ApWE=
-----END EC PRIVATE KEY-----
"""


@pytest.mark.parametrize("kind", ["ed25519", "EC"])
def test_a_private_key_gives_the_public_one(kind: str, tmp_path: Path) -> None:
    private, public = keys(tmp_path, kind)
    assert public_key_of(private) == public
    assert verify_bytes(b"message", sign_bytes(b"message", private), public)


def test_a_key_on_an_unknown_curve_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="on a curve that is not known here"):
        check_public_key(_ODD_PUBLIC)
    with pytest.raises(UsageError, match="on a curve that is not known here"):
        check_private_key(_ODD_PRIVATE)


def test_a_key_of_another_kind_is_a_usage_error(tmp_path: Path) -> None:
    argv = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(tmp_path / "rsa.pem")]
    subprocess.run(argv, check=True, capture_output=True)
    with pytest.raises(UsageError, match=r'reading key ".*rsa.pem": neither Ed25519 nor ECDSA'):
        read_signing_key(tmp_path / "rsa.pem")


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(b"no key")
    with pytest.raises(UsageError, match=r'reading key ".*k.pem": not a public key in PEM'):
        read_public_key(tmp_path / "k.pem")
    with pytest.raises(UsageError, match=r'reading key ".*gone.pem": No such file or directory'):
        read_public_key(tmp_path / "gone.pem")
