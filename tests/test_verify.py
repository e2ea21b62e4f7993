"""wasmdock verify: which documents and signatures count for an image, and which do not."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command_line import CommandLine, Done
from tests.faulty_registry import REPOSITORY, FaultyRegistry, faulty_registry
from tests.images import HELLO, hello, image_of, plain_layer, tar_of
from tests.test_provenance import keys, statement
from wasmdock.cosign import push_signature
from wasmdock.oci.image import Descriptor, Image, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.referrer import IN_TOTO, Referrer
from wasmdock.oci.registry_transfer import push
from wasmdock.oci.store import Store
from wasmdock.provenance import sign

GOOD, EVIL = hello(), hello(args=["evil"])


class Verifying:
    """`wasmdock verify` of an image to which documents are attached, with a key."""

    def __init__(self, wasmdock: CommandLine, folder: Path) -> None:
        """Make a key."""
        self.private, public = keys(folder)
        self.key = folder / "key.pub"
        self.key.write_bytes(public)
        self.store = Store(Path(wasmdock.environment["WASMDOCK_HOME"], "images"))
        self._wasmdock = wasmdock

    def __call__(self, image: Image, *documents: bytes, with_key: bool = True) -> tuple[int, dict[str, str]]:
        """The exit code, and what is said of each check."""
        self.store.put(image, Reference.parse("image"))
        for each in documents:
            self.store.attach(Referrer.of(image.descriptor, IN_TOTO, each))
        return self.said(self._wasmdock("verify", "image", *(("--key", self.key) if with_key else ())))

    def said(self, done: Done) -> tuple[int, dict[str, str]]:
        """The exit code, and `ok what was found` by check."""
        lines = [line.split(maxsplit=2) for line in done.text.splitlines()]
        return done.code, {what: f"{holds} {found}" for holds, what, found in lines}


@pytest.fixture
def verifying(wasmdock: CommandLine, tmp_path: Path) -> Verifying:
    return Verifying(wasmdock, tmp_path)


def other_kind(image: Image, kind: str = "https://spdx.dev/Document", **predicate: str) -> bytes:
    subject = [{"name": "x", "digest": {"sha256": image.digest.hex}}]
    head = {"_type": "https://in-toto.io/Statement/v1", "predicateType": kind}
    return json.dumps({**head, "subject": subject, "predicate": predicate}).encode()


def test_a_signature_made_for_another_image_does_not_count(verifying: Verifying) -> None:
    code, said = verifying(EVIL, sign(statement(GOOD), verifying.private), statement(EVIL))
    assert (code, said["signature"]) == (1, "FAILED none by the key given")
    assert said["provenance"] == "- none about this image by the key given"


def test_signed_provenance_counts_whatever_else_is_attached(verifying: Verifying) -> None:
    documents = (sign(statement(GOOD), verifying.private), b"{", statement(EVIL), other_kind(GOOD))
    code, said = verifying(GOOD, *documents)
    assert (code, said["signature"]) == (0, "ok the provenance, by the key given")
    assert said["provenance"].endswith(", signed by the key given")


def test_with_a_key_only_what_it_signed_is_told(verifying: Verifying) -> None:
    unsigned = statement(GOOD, replace(HELLO, name="unsigned"))
    _, said = verifying(GOOD, sign(statement(GOOD), verifying.private), unsigned)
    assert "guest hello" in said["provenance"]


def test_without_a_key_a_signature_is_not_called_checked(verifying: Verifying) -> None:
    envelope = json.loads(sign(statement(GOOD), verifying.private))
    envelope["signatures"][0]["sig"] = base64.b64encode(b"garbage").decode()
    code, said = verifying(GOOD, json.dumps(envelope).encode(), with_key=False)
    assert (code, said["provenance"].partition("signed")[1:]) == (0, ("signed", ", not checked (--key)"))


def test_a_statement_of_another_kind_is_no_provenance(verifying: Verifying) -> None:
    assert verifying(GOOD, other_kind(GOOD), with_key=False)[1]["provenance"] == "- none is attached"


VERDICT = "https://example.com/verdict/v1"
READ = f"- signed statement of type {VERDICT}: read it yourself"


def rejected(image: Image) -> bytes:
    return other_kind(image, VERDICT, verdict="REJECTED: malware found")


def test_a_signed_statement_of_another_kind_approves_nothing_and_is_named(verifying: Verifying) -> None:
    code, said = verifying(GOOD, sign(rejected(GOOD), verifying.private))
    assert (code, said["signature"], said["statement"]) == (1, "FAILED none by the key given", READ)


def test_a_statement_beside_signed_provenance_is_named(verifying: Verifying) -> None:
    code, said = verifying(GOOD, *(sign(each(GOOD), verifying.private) for each in (rejected, statement)))
    assert (code, said["signature"], said["statement"]) == (0, "ok the provenance, by the key given", READ)


def test_a_statement_the_key_did_not_sign_is_not_named(verifying: Verifying) -> None:
    code, said = verifying(GOOD, rejected(GOOD), sign(rejected(EVIL), verifying.private))
    assert (code, "statement" in said) == (1, False)


def test_provenance_of_another_image_or_program_fails(verifying: Verifying) -> None:
    assert verifying(GOOD, statement(EVIL), with_key=False)[1]["provenance"] == "FAILED it is about another image"
    other = statement(EVIL, replace(HELLO, data=b"\0asm\1\0\0\0\0\1\0"))
    assert verifying(EVIL, other, with_key=False)[1]["provenance"] == "FAILED it is about another program"


@pytest.mark.parametrize("flag", ["--key", "--rebuild"])
def test_a_file_that_is_not_there_is_a_usage_error(flag: str, verifying: Verifying, wasmdock: CommandLine) -> None:
    verifying(GOOD)
    done = wasmdock("verify", "image", flag, "missing")
    assert (done.code, done.text, '"missing": ' in done.stderr) == (2, "", True)


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        yield found


NATIVE = image_of(plain_layer(tar_of({"app": b"\x7fELF"})), os="linux", architecture="amd64")


@pytest.mark.parametrize("where", ["store", "registry", "digest"])
def test_the_signature_of_an_index_is_that_of_the_images_in_it(
    where: str, verifying: Verifying, registry: FaultyRegistry, wasmdock: CommandLine
) -> None:
    index, name = ImageIndex.of([GOOD, NATIVE]), Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, index)
    push_signature(registry.client(), name, index.digest, verifying.private)
    if where == "store":
        verifying.store.put_index(index, name)
    asked = f"{registry.name}/{REPOSITORY}@{index.digest}" if where == "digest" else str(name)
    code, said = verifying.said(wasmdock("verify", asked, "--key", verifying.key))
    assert (code, said["signature"]) == (0, "ok the index of the image, as cosign signs, by the key given")


def attest(registry: FaultyRegistry, name: Reference, image: Image, *envelopes: bytes) -> None:
    """As cosign does it, by a tag beside the image."""
    push(registry.client(), name, image)
    layers = [Descriptor.of("application/vnd.dsse.envelope.v1+json", each) for each in envelopes]
    registry.blobs.update({str(layer.digest): each for layer, each in zip(layers, envelopes, strict=True)})
    document = {"layers": [layer.document() for layer in layers]}
    registry.hold_manifest(json.dumps(document).encode(), tag=f"sha256-{image.digest.hex}.att")


@pytest.mark.parametrize("kind, expected", [
    ("https://slsa.dev/provenance/v0.2", (0, "ok the provenance, as cosign attests, by the key given", None)),
    ("https://slsa.dev/provenance/v1", (0, "ok the provenance, as cosign attests, by the key given", None)),
    (VERDICT, (1, "FAILED none by the key given", READ)),
])  # fmt: skip
def test_of_what_cosign_attested_only_provenance_approves(
    kind: str, expected: object, verifying: Verifying, registry: FaultyRegistry, wasmdock: CommandLine
) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    attest(registry, name, GOOD, sign(other_kind(GOOD, kind), verifying.private))
    code, said = verifying.said(wasmdock("verify", str(name), "--key", verifying.key))
    assert (code, said["signature"], said.get("statement")) == expected


def test_a_signed_image_stays_so_whatever_is_attested(
    verifying: Verifying, registry: FaultyRegistry, wasmdock: CommandLine
) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    attest(registry, name, GOOD, sign(rejected(GOOD), verifying.private))
    push_signature(registry.client(), name, GOOD.digest, verifying.private)
    for reading in (READ, None):
        code, said = verifying.said(wasmdock("verify", str(name), "--key", verifying.key))
        assert (code, said["signature"]) == (0, "ok the image, as cosign signs, by the key given")
        assert said.get("statement") == reading
        registry.hold_manifest(b"{", tag=f"sha256-{GOOD.digest.hex}.att")


def test_the_signature_of_an_index_without_the_image_does_not_count(
    verifying: Verifying, registry: FaultyRegistry, wasmdock: CommandLine
) -> None:
    index, name = ImageIndex.of([GOOD, NATIVE]), Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, index)
    push_signature(registry.client(), name, index.digest, verifying.private)
    verifying.store.put(EVIL, name)
    code, said = verifying.said(wasmdock("verify", str(name), "--key", verifying.key))
    assert (code, said["signature"]) == (1, "FAILED none by the key given")


def test_an_image_that_its_registry_does_not_have_yet_is_verified(
    verifying: Verifying, registry: FaultyRegistry, wasmdock: CommandLine
) -> None:
    name = Reference(registry.name, REPOSITORY, "never-pushed")
    verifying.store.put(GOOD, name)
    code, said = verifying.said(wasmdock("verify", str(name), "--key", verifying.key))
    assert (code, said["signature"]) == (1, "FAILED none by the key given")
