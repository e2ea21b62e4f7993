"""Signatures as cosign keeps them: made, found, and not taken for more than they are."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.faulty_registry import REPOSITORY, FaultyRegistry, answering, faulty_registry, on
from tests.images import hello
from tests.test_provenance import keys
from wasmdock.cosign import is_signed, push_signature
from wasmdock.oci.image import Reference
from wasmdock.oci.registry_transfer import push

DIGEST = hello().digest
TAG = f"sha256-{DIGEST.hex}.sig"


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        push(found.client(), Reference(found.name, REPOSITORY, "v1"), hello())
        yield found


def name(registry: FaultyRegistry) -> Reference:
    return Reference(registry.name, REPOSITORY, "v1")


@pytest.mark.parametrize("kind", ["ed25519", "EC"])
def test_a_signature_is_found_by_its_key_alone(kind: str, registry: FaultyRegistry, tmp_path: Path) -> None:
    private, public = keys(tmp_path, kind)
    (tmp_path / "other").mkdir()
    assert not is_signed(registry.client(), name(registry), DIGEST, public)
    push_signature(registry.client(), name(registry), DIGEST, private)
    assert is_signed(registry.client(), name(registry), DIGEST, public)
    assert not is_signed(registry.client(), name(registry), DIGEST, keys(tmp_path / "other", kind)[1])


def test_a_second_signature_stands_beside_the_first(registry: FaultyRegistry, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    both = keys(tmp_path), keys(tmp_path / "other", "EC")
    for private, _ in both:
        push_signature(registry.client(), name(registry), DIGEST, private)
    assert all(is_signed(registry.client(), name(registry), DIGEST, public) for _, public in both)


def test_the_signature_is_what_cosign_keeps(registry: FaultyRegistry, tmp_path: Path) -> None:
    """The payload's members, and a signature that openssl, too, finds right."""
    private, public = keys(tmp_path, "EC")
    push_signature(registry.client(), name(registry), DIGEST, private)
    [layer] = json.loads(registry.manifests[TAG][1])["layers"]
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    payload = registry.blobs[layer["digest"]]
    assert json.loads(payload)["critical"] == {
        "identity": {"docker-reference": f"{registry.name}/{REPOSITORY}"},
        "image": {"docker-manifest-digest": str(DIGEST)},
        "type": "cosign container image signature",
    }
    signature = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
    files = {"key": public, "signature": signature, "payload": payload}
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    argv = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "signature", "payload"]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, check=True).stdout == b"Verified OK\n"


def test_a_signature_of_another_image_is_none_of_this(registry: FaultyRegistry, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    other = hello(args=["x"]).digest
    push_signature(registry.client(), name(registry), other, private)
    registry.manifests[TAG] = registry.manifests[f"sha256-{other.hex}.sig"]
    assert not is_signed(registry.client(), name(registry), DIGEST, public)


def test_signatures_that_are_none_are_passed_over(registry: FaultyRegistry, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    push_signature(registry.client(), name(registry), DIGEST, private)
    document = json.loads(registry.manifests[TAG][1])
    good = document["layers"][0]
    note = "dev.cosignproject.cosign/signature"
    spoiled = [{**good, "annotations": {note: text}} for text in ("!", "\u00e9")]
    bad = [*spoiled, {**good, "annotations": {}}, {**good, "size": 1 << 30}]
    registry.hold_manifest(json.dumps({**document, "layers": bad}).encode(), tag=TAG)
    assert not is_signed(registry.client(), name(registry), DIGEST, public)
    registry.hold_manifest(json.dumps({**document, "layers": [*bad, good]}).encode(), tag=TAG)
    assert is_signed(registry.client(), name(registry), DIGEST, public)


def test_signing_again_replaces_the_signature_by_the_same_key(registry: FaultyRegistry, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours, others = keys(tmp_path, "EC"), keys(tmp_path / "other", "EC")
    for private, _ in (others, ours, ours, ours):
        push_signature(registry.client(), name(registry), DIGEST, private)
    assert len(json.loads(registry.manifests[TAG][1])["layers"]) == 2
    assert all(is_signed(registry.client(), name(registry), DIGEST, public) for _, public in (ours, others))


def test_a_signature_behind_many_others_is_found(registry: FaultyRegistry, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    (tmp_path / "other").mkdir()
    push_signature(registry.client(), name(registry), DIGEST, keys(tmp_path / "other")[0])
    document = json.loads(registry.manifests[TAG][1])
    registry.hold_manifest(json.dumps({**document, "layers": document["layers"] * 101}).encode(), tag=TAG)
    push_signature(registry.client(), name(registry), DIGEST, private)
    layers = json.loads(registry.manifests[TAG][1])["layers"]
    registry.hold_manifest(json.dumps({**document, "layers": layers[::-1]}).encode(), tag=TAG)
    assert (len(layers), is_signed(registry.client(), name(registry), DIGEST, public)) == (102, True)


def test_a_signature_of_another_payload_by_the_same_key_stays(registry: FaultyRegistry, tmp_path: Path) -> None:
    private, _ = keys(tmp_path)
    push_signature(registry.client(), name(registry), DIGEST, private)
    document = json.loads(registry.manifests[TAG][1])
    foreign = {**document["layers"][0], "digest": f"sha256:{'0' * 64}"}
    registry.hold_manifest(json.dumps({**document, "layers": [foreign]}).encode(), tag=TAG)
    push_signature(registry.client(), name(registry), DIGEST, private)
    assert json.loads(registry.manifests[TAG][1])["layers"][1] == foreign


def copying(registry: FaultyRegistry, other: FaultyRegistry, wasmdock: CommandLine, folder: Path) -> tuple[int, str]:
    """A signed image is copied: the exit code, and what was said."""
    push_signature(registry.client(), name(registry), DIGEST, keys(folder)[0])
    done = wasmdock("copy", str(name(registry)), str(name(other)))
    assert "v1" in other.manifests
    return done.code, done.stderr


def test_a_signature_is_copied_where_tags_are_not_listed(
    registry: FaultyRegistry, wasmdock: CommandLine, tmp_path: Path
) -> None:
    with faulty_registry() as other:
        registry.faults.append(on("GET", "/tags/", answering(405)))
        assert copying(registry, other, wasmdock, tmp_path) == (0, "")
        assert other.manifests[TAG] == registry.manifests[TAG]


def test_a_signature_that_could_not_be_copied_is_a_failure_and_one_line(
    registry: FaultyRegistry, wasmdock: CommandLine, tmp_path: Path
) -> None:
    with faulty_registry() as other:
        other.faults.append(on("PUT", "[.]sig$", answering(403)))
        code, said = copying(registry, other, wasmdock, tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    cause = f'copying the signatures of "{name(registry)}": "{TAG}": the registry does not allow it'
    assert said.startswith(f"wasmdock: the image is there, but not all that is said of it: {cause}")


def test_a_signature_nobody_may_look_for_is_a_failure_too_and_the_others_are_copied(
    registry: FaultyRegistry, wasmdock: CommandLine, tmp_path: Path
) -> None:
    with faulty_registry() as other:
        registry.faults.append(on("GET", "[.]att$", answering(403)))
        code, said = copying(registry, other, wasmdock, tmp_path)
        assert TAG in other.manifests
    assert (code, f'looking for "sha256-{DIGEST.hex}.att": the registry does not allow it' in said) == (1, True)


def test_a_copy_within_a_repository_has_its_signatures_there(
    registry: FaultyRegistry, wasmdock: CommandLine, tmp_path: Path
) -> None:
    push_signature(registry.client(), name(registry), DIGEST, keys(tmp_path)[0])
    before = len(registry.calls)
    assert wasmdock("copy", str(name(registry)), str(name(registry)._replace(tag="v2"))).code == 0
    assert not [call for call in registry.calls[before:] if call.path.endswith(".sig")]
