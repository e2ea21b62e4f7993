"""What refers to an image: found on every page, copied whatever its make, and never lost without a word."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.command_line import CommandLine
from tests.faulty_registry import REPOSITORY, FaultyRegistry, answering, faulty_registry, index_of, on
from tests.images import hello
from wasmdock.errors import RegistryError
from wasmdock.oci.image import Descriptor, Digest, Reference
from wasmdock.oci.manifest import INDEXES, OCI_INDEX, OCI_MANIFEST
from wasmdock.oci.referrer import SPDX, Referrer
from wasmdock.oci.registry_referrers import copy_referrers, pull_referrers, push_referrers
from wasmdock.oci.registry_transfer import copy, push

IMAGE = hello()
SBOM = Referrer.of(IMAGE.descriptor, SPDX, b"{}")
SHA512 = {"mediaType": OCI_MANIFEST, "digest": "sha512:" + "0" * 128, "size": 3}
LISTED = {"Content_Type": OCI_INDEX}


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        found.hold(IMAGE)
        yield found


def name(registry: FaultyRegistry, tag: str = "v1") -> Reference:
    return Reference(registry.name, REPOSITORY, tag)


def hold(registry: FaultyRegistry, *files: bytes, subject: Descriptor = IMAGE.descriptor) -> dict[str, Any]:
    """Have an artifact of these files, as `oras attach` makes them; its entry in a list."""
    blobs = {Digest.of(data): data for data in (b"{}", *files)}
    registry.blobs.update({str(digest): data for digest, data in blobs.items()})
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/x-notes",
            "config": Descriptor.of("application/vnd.oci.empty.v1+json", b"{}").document(),
            "layers": [Descriptor.of("text/plain", data).document() for data in files],
            "subject": Descriptor.of(subject.media_type, b"")
            ._replace(digest=subject.digest, size=subject.size)
            .document(),
            "annotations": {"note": "kept"},
        }
    ).encode()
    registry.hold_manifest(manifest, tag=f"artifact{len(registry.manifests)}")
    return {**Descriptor.of(OCI_MANIFEST, manifest).document(), "artifactType": "application/x-notes"}


def list_them(registry: FaultyRegistry, *entries: Mapping[str, Any], subject: Digest = IMAGE.digest) -> None:
    """By the tag that stands in for the API."""
    registry.hold_manifest(index_of(*entries), INDEXES[0], f"sha256-{subject.hex}")


def copied(registry: FaultyRegistry, other: FaultyRegistry, **patience: Any) -> int:
    client, target = registry.client(**patience), other.client()
    sent = copy(client, name(registry), target, name(other))
    return copy_referrers(client, name(registry), target, name(other), sent.manifests)


def test_an_artifact_of_several_files_is_copied_whole(registry: FaultyRegistry) -> None:
    entry = hold(registry, b"one", b"two")
    list_them(registry, entry)
    with faulty_registry() as other:
        assert copied(registry, other) == 1
        assert other.manifests[entry["digest"]] == registry.manifests[entry["digest"]]
        assert {b"one", b"two"} <= set(other.blobs.values())


def test_a_copied_artifact_is_listed_with_its_type_and_its_notes(registry: FaultyRegistry) -> None:
    entry = hold(registry, b"one")
    list_them(registry, entry)
    with faulty_registry() as other:
        copied(registry, other)
        listed = json.loads(other.manifests[f"sha256-{IMAGE.digest.hex}"][1])["manifests"]
        assert listed == [{**entry, "annotations": {"note": "kept"}}]


def test_what_refers_to_a_document_is_copied_too(registry: FaultyRegistry) -> None:
    entry = hold(registry, b"one")
    about = Descriptor(OCI_MANIFEST, Digest.parse(entry["digest"]), entry["size"])
    signature = hold(registry, b"signature", subject=about)
    list_them(registry, entry)
    list_them(registry, signature, subject=about.digest)
    with faulty_registry() as other:
        assert copied(registry, other) == 2
        assert b"signature" in other.blobs.values()


def test_what_is_there_already_is_not_copied_again(registry: FaultyRegistry) -> None:
    list_them(registry, hold(registry, b"one"))
    with faulty_registry() as other:
        assert (copied(registry, other), copied(registry, other)) == (1, 0)


def test_an_artifact_that_is_gone_does_not_keep_the_others_from_being_copied(registry: FaultyRegistry) -> None:
    gone = Descriptor(OCI_MANIFEST, Digest.of(b"gone"), 4).document()
    list_them(registry, gone, hold(registry, b"one"))
    told: list[str] = []
    with faulty_registry() as other:
        assert copied(registry, other, tell=told.append) == 1
    assert f'"sha256:{Digest.of(b"gone").short}..." is passed over: the registry does not have it' in told[0]


def test_a_registry_that_is_down_is_not_taken_for_an_artifact_that_is_gone(registry: FaultyRegistry) -> None:
    list_them(registry, hold(registry, b"one"))
    registry.faults.append(on("GET", "/manifests/sha256:", answering(503)))
    with pytest.raises(RegistryError, match="answered 503"):
        pull_referrers(registry.client(), name(registry), IMAGE.digest)


def test_documents_are_found_on_every_page(registry: FaultyRegistry) -> None:
    push_referrers(registry.client(), name(registry), [SBOM])

    def page(call: Any) -> None:
        if "page" in call.query:
            call.answer(200, index_of(SBOM.document), **LISTED)
        else:
            call.answer(200, index_of(), Link=f'<{call.path}?page=2>; rel="next"', **LISTED)

    registry.faults.append(on("GET", "/referrers/", page))
    assert pull_referrers(registry.client(), name(registry), IMAGE.digest) == [SBOM]


def test_pages_of_documents_in_a_circle_end(registry: FaultyRegistry) -> None:
    def page(call: Any) -> None:
        call.answer(200, index_of(), Link=f'<{call.path}?page=2>; rel="next"', **LISTED)

    registry.faults.append(on("GET", "/referrers/", page))
    with pytest.raises(RegistryError, match="looking for what refers to .*: its pages go in a circle"):
        pull_referrers(registry.client(), name(registry), IMAGE.digest)


def test_an_entry_that_cannot_be_read_is_passed_over_with_a_word(registry: FaultyRegistry) -> None:
    push_referrers(registry.client(), name(registry), [SBOM])
    registry.faults.append(on("GET", "/referrers/", answering(200, index_of(SHA512, SBOM.document), **LISTED)))
    told: list[str] = []
    assert pull_referrers(registry.client(tell=told.append), name(registry), IMAGE.digest) == [SBOM]
    assert told[0].startswith(f'looking for what refers to "{name(registry)}": ')
    assert "not a sha256 digest" in told[0]


def test_an_artifact_of_several_files_is_not_pulled_but_told(registry: FaultyRegistry) -> None:
    list_them(registry, hold(registry, b"one", b"two"))
    told: list[str] = []
    assert pull_referrers(registry.client(tell=told.append), name(registry), IMAGE.digest) == []
    assert "is passed over: an artifact of 2 files where one document is kept" in told[0]


def test_a_list_that_is_none_is_said_with_what_was_tried(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/referrers/", answering(200, b'{"manifests":7}', **LISTED)))
    with pytest.raises(RegistryError, match='^attaching to ".*": reading the registry.s answer: "manifests" should'):
        push_referrers(registry.client(), name(registry), [SBOM])


def test_a_copy_whose_documents_cannot_be_read_is_there_and_says_so(
    wasmdock: CommandLine, registry: FaultyRegistry
) -> None:
    registry.faults.append(on("GET", "/referrers/", answering(200, b'{"manifests":7}', **LISTED)))
    done = wasmdock("copy", str(name(registry)), str(name(registry, "v2")))
    assert (done.code, "v2" in registry.manifests) == (1, True)
    assert "the image is there, but not all that is said of it: copying what refers to" in done.stderr


def test_what_is_pushed_has_no_artifacts_of_others_in_its_way(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/referrers/", answering(200, index_of(SHA512), **LISTED)))
    push(registry.client(), name(registry, "v2"), IMAGE)
    assert push_referrers(registry.client(), name(registry), [SBOM]) == 1
