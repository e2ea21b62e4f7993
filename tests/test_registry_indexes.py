"""Several images under one name: pulled one by one or all, found by the index's digest, and not lost by a push."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.faulty_registry import REPOSITORY, FaultyRegistry, faulty_registry, index_of
from tests.images import hello, image_with, tar_of
from wasmdock.errors import ImageError
from wasmdock.oci.image import Descriptor, Digest, Platform, Reference
from wasmdock.oci.image_index import Attestation, ImageIndex
from wasmdock.oci.manifest import INDEXES, OCI_CONFIG, OCI_MANIFEST
from wasmdock.oci.registry_transfer import copy, pull, push
from wasmdock.oci.store import Store

WASM = hello()
NATIVE = image_with(tar_of({"hello": b"\x7fELF"}), os="linux", architecture="amd64")
INDEX = ImageIndex.of([NATIVE, WASM])
LINUX = (Platform("linux", "amd64"),)


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        push(found.client(), name(found), INDEX)
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def name(registry: FaultyRegistry, tag: str = "v1") -> Reference:
    return Reference(registry.name, REPOSITORY, tag)


def pinned(registry: FaultyRegistry, digest: Digest = INDEX.digest) -> Reference:
    return Reference(registry.name, REPOSITORY, "", digest)


def attested(registry: FaultyRegistry) -> Digest:
    """Have an index as buildx makes it: provenance beside the image."""
    statement, config = b'{"_type":"statement"}', b'{"architecture":"unknown","os":"unknown"}'
    layer, described = Descriptor.of("application/vnd.in-toto+json", statement), Descriptor.of(OCI_CONFIG, config)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
    manifest = json.dumps({**document, "config": described.document(), "layers": [layer.document()]}).encode()
    entry = Descriptor.of(OCI_MANIFEST, manifest, platform=Platform("unknown", "unknown"))
    registry.hold_manifest(manifest, tag="attestation")
    registry.blobs |= {str(layer.digest): statement, str(described.digest): config}
    registry.hold_manifest(index_of(WASM.descriptor.document(), entry.document()), INDEXES[0])
    return entry.digest


def test_an_image_knows_the_index_it_was_pulled_from(registry: FaultyRegistry, store: Store) -> None:
    assert pull(registry.client(), name(registry), store).part_of == INDEX.digest
    assert store.resolve(str(name(registry))).part_of == INDEX.digest


def test_an_image_that_was_pulled_by_itself_is_part_of_nothing(registry: FaultyRegistry, store: Store) -> None:
    assert pull(registry.client(), pinned(registry, WASM.digest), store).part_of is None


def test_an_image_is_found_by_the_digest_of_its_index(registry: FaultyRegistry, store: Store) -> None:
    pull(registry.client(), pinned(registry), store)
    assert store.get(str(pinned(registry))) == WASM
    assert store.get(str(INDEX.digest)) == store.get(INDEX.digest.short) == WASM
    with pytest.raises(ImageError, match="not in the store"):
        store.get(str(pinned(registry, Digest.of(b"another"))))


def test_of_the_images_of_an_index_that_for_the_platform_is_found(registry: FaultyRegistry, store: Store) -> None:
    for platforms in (LINUX, None):
        pull(registry.client(), pinned(registry), store, platforms=platforms)
    assert store.get(str(pinned(registry))) == WASM
    assert store.get(str(pinned(registry)), LINUX) == NATIVE


def test_a_pinned_name_is_found_again_without_the_registry(wasmdock: CommandLine, registry: FaultyRegistry) -> None:
    assert wasmdock("pull", str(pinned(registry))).code == 0
    registry.calls.clear()
    assert wasmdock("inspect", "--pull", "never", str(pinned(registry))).code == 0
    assert not registry.calls


def test_one_image_does_not_replace_the_index_it_is_from(registry: FaultyRegistry, store: Store) -> None:
    line = pull(registry.client(), name(registry), store)
    match = "pushing .*: the name holds several images there, of which only the one for wasi/wasm was pulled"
    with pytest.raises(ImageError, match=match) as caught:
        push(registry.client(), name(registry), store.get(str(line.digest)), part_of=line.part_of)
    assert "--all-platforms" in caught.value.hint
    assert registry.manifests["v1"][1] == INDEX.data


def test_one_image_goes_under_another_name(registry: FaultyRegistry, store: Store) -> None:
    line = pull(registry.client(), name(registry), store)
    push(registry.client(), name(registry, "v2"), store.get(str(line.digest)), part_of=line.part_of)
    assert registry.manifests["v2"][1] == WASM.manifest


def test_the_command_line_replaces_an_index_only_where_it_is_told_to(
    wasmdock: CommandLine, registry: FaultyRegistry
) -> None:
    assert wasmdock("pull", str(name(registry))).code == 0
    refused = wasmdock("push", str(name(registry)))
    assert (refused.code, "--platform-only sends this one" in refused.stderr) == (1, True)
    assert registry.manifests["v1"][1] == INDEX.data
    assert wasmdock("push", "--platform-only", str(name(registry))).code == 0
    assert registry.manifests["v1"][1] == WASM.manifest


def test_all_images_of_an_index_are_pulled_and_pushed_as_they_were(registry: FaultyRegistry, store: Store) -> None:
    line = pull(registry.client(), name(registry), store, whole=True)
    assert (line.digest, line.platforms) == (INDEX.digest, (Platform("linux", "amd64"), Platform("wasi", "wasm")))
    assert store.content(str(name(registry))) == INDEX
    assert store.get(str(name(registry)), LINUX) == NATIVE
    with faulty_registry() as other:
        push(other.client(), name(other), store.content(str(line.digest)))
        assert other.manifests["v1"][1] == INDEX.data


def test_an_index_is_pulled_by_its_digest(registry: FaultyRegistry, store: Store) -> None:
    pull(registry.client(), pinned(registry), store, whole=True)
    assert store.resolve(str(pinned(registry))).reference == pinned(registry)


def test_a_single_image_is_all_there_is_of_it(registry: FaultyRegistry, store: Store) -> None:
    push(registry.client(), name(registry, "v2"), WASM)
    assert pull(registry.client(), name(registry, "v2"), store, whole=True).digest == WASM.digest


def test_provenance_of_buildx_stays_in_the_index(registry: FaultyRegistry, store: Store) -> None:
    attestation = attested(registry)
    pull(registry.client(), name(registry), store, whole=True)
    assert store.get(str(name(registry))) == WASM
    with faulty_registry() as other:
        push(other.client(), name(other), store.content(str(name(registry))))
        assert other.manifests["v1"] == registry.manifests["v1"]
        assert other.manifests[str(attestation)] == registry.manifests[str(attestation)]
        assert {b'{"_type":"statement"}', WASM.config} <= set(other.blobs.values())


def test_provenance_of_buildx_stays_with_the_index_in_another_store(
    registry: FaultyRegistry, store: Store, tmp_path: Path
) -> None:
    attested(registry)
    pull(registry.client(), name(registry), store, whole=True)
    content = store.content(str(name(registry)))
    assert isinstance(content, ImageIndex)
    assert content.packed_size > WASM.packed_size + len(content.data)
    again = Store(tmp_path / "again")
    again.put_index(content, name(registry))
    assert again.content(str(name(registry))) == content


def test_an_index_is_not_made_of_what_it_does_not_list() -> None:
    other = Attestation(b'{"schemaVersion":2}', ())
    with pytest.raises(ImageError, match="does not list just the images"):
        ImageIndex(INDEX.data, INDEX.images, (other,))
    with pytest.raises(ImageError, match="it lists no image"):
        ImageIndex(index_of(), ())


def test_an_image_below_four_indexes_is_pulled_as_it_is_copied(registry: FaultyRegistry, store: Store) -> None:
    data = INDEX.data
    for _ in range(3):
        registry.hold_manifest(data, INDEXES[0])
        data = index_of(Descriptor.of(INDEXES[0], data).document())
    registry.hold_manifest(data, INDEXES[0])
    assert pull(registry.client(), name(registry), store).digest == WASM.digest
    assert copy(registry.client(), name(registry), registry.client(), name(registry, "v2")).digest == Digest.of(data)


def test_an_index_within_an_index_is_not_pulled_whole(registry: FaultyRegistry, store: Store) -> None:
    registry.hold_manifest(index_of(Descriptor.of(INDEXES[0], INDEX.data).document()), INDEXES[0])
    with pytest.raises(ImageError, match="it holds an index within an index") as caught:
        pull(registry.client(), name(registry), store, whole=True)
    assert caught.value.hint == "wasmdock copy takes it to another registry"


def test_the_command_line_says_which_platforms_it_has_pulled(wasmdock: CommandLine, registry: FaultyRegistry) -> None:
    assert "  linux/amd64, wasi/wasm  " in wasmdock("pull", "--all-platforms", str(name(registry))).text
    done = wasmdock("pull", "--all-platforms", "--format", "json", str(name(registry)))
    assert json.loads(done.text)["platforms"] == ["linux/amd64", "wasi/wasm"]
    assert wasmdock("pull", "--all-platforms", "--platform", "wasi/wasm", str(name(registry))).code == 2
