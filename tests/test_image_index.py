"""One name for several platforms: made, stored, chosen from, pushed whole."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.images import hello, image_with, tar_of
from wasmdock.errors import ImageError
from wasmdock.oci.archive import read_archive, read_archive_whole, write_archive
from wasmdock.oci.image import Digest, Image, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import read_layout, read_layout_whole, usual_platforms, write_layout
from wasmdock.oci.store import Store

NAME = Reference.parse("hello:v1")
_HERE = usual_platforms()[1]


def native(content: bytes = b"\x7fELF") -> Image:
    """An image for this machine."""
    return image_with(tar_of({"hello": content}), os=_HERE.os, architecture=_HERE.architecture)


INDEX = ImageIndex.of([hello(), native()])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_index_names_each_image_with_its_platform() -> None:
    entries = json.loads(INDEX.data)["manifests"]
    assert [entry["platform"]["os"] for entry in entries] == ["wasi", "linux"]
    assert [entry["digest"] for entry in entries] == [str(hello().digest), str(native().digest)]


def test_the_same_images_give_the_same_index() -> None:
    assert ImageIndex.of([hello(), native()]) == INDEX


def test_two_images_for_one_platform_are_no_index() -> None:
    with pytest.raises(ImageError, match="two images for one platform"):
        ImageIndex.of([hello(), hello(args=["x"])])


def test_an_index_of_other_images_is_refused() -> None:
    with pytest.raises(ImageError, match="does not list just the images"):
        ImageIndex(INDEX.data, (hello(),))


def test_a_stored_index_is_one_line_with_its_platforms(store: Store) -> None:
    put = store.put_index(INDEX, NAME)
    assert store.images() == [put]
    assert (put.digest, put.platform, put.platforms) == (INDEX.digest, hello().platform, INDEX.platforms)
    assert put.packed_size == INDEX.packed_size


def test_an_index_with_an_image_for_no_platform_does_not_spoil_the_store(store: Store) -> None:
    store.put(hello(), Reference.parse("other"))
    with pytest.raises(ImageError, match='reading platform "linux"'):
        store.put_index(ImageIndex.of([hello(), image_with(tar_of({"hello": b""}), os="linux", architecture="")]), NAME)
    assert [str(line.reference.familiar) for line in store.images()] == ["other:latest"]


def test_of_a_stored_index_the_wasm_image_is_used(store: Store) -> None:
    store.put_index(INDEX, NAME)
    assert store.get("hello:v1") == store.get(INDEX.digest.short) == hello()


def test_of_a_stored_index_the_platform_named_is_used(store: Store) -> None:
    store.put_index(INDEX, NAME)
    assert store.get("hello:v1", [_HERE]) == native()
    with pytest.raises(ImageError, match='choosing an image for "linux/s390x"'):
        store.get("hello:v1", [Platform("linux", "s390x")])


def test_a_stored_index_comes_out_as_it_went_in(store: Store) -> None:
    store.put_index(INDEX, NAME)
    assert store.content("hello:v1") == INDEX


def test_a_single_image_is_its_own_content(store: Store) -> None:
    store.put(hello(), NAME)
    assert store.content("hello:v1") == hello()


def test_removing_an_index_removes_what_no_other_name_needs(store: Store) -> None:
    store.put_index(INDEX, NAME)
    store.put(hello(), Reference.parse("other"))
    store.remove("hello:v1")
    assert store.get("other") == hello()
    store.remove("other")
    assert not list((store.root / "blobs" / "sha256").iterdir())


def test_an_index_takes_the_name_of_an_image_and_back(store: Store) -> None:
    store.put(hello(), NAME)
    store.put_index(INDEX, NAME)
    store.put(native(), NAME)
    assert [line.digest for line in store.images()] == [native().digest]


def test_the_repositories_that_have_a_blob_are_known(store: Store) -> None:
    store.put_index(INDEX, Reference.parse("localhost:5000/a/hello"))
    store.put(hello(), Reference.parse("localhost:5000/b/hello"))
    store.put(hello(), Reference.parse("localhost:5001/c/hello"))
    blob = hello().layers[0].descriptor.digest
    assert store.repositories("localhost:5000", blob) == ["a/hello", "b/hello"]
    assert store.repositories("localhost:5000", native().layers[0].descriptor.digest) == ["a/hello"]


@pytest.mark.parametrize("ending", ["folder", "file.tar"])
def test_an_index_is_written_whole_and_read_by_platform(ending: str, tmp_path: Path) -> None:
    path = tmp_path / ending
    if ending.endswith(".tar"):
        write_archive(INDEX, path, NAME)
        images = [read_archive(path, [platform])[0][1] for platform in INDEX.platforms]
    else:
        write_layout(INDEX, path, NAME)
        images = [read_layout(path, NAME, [platform]) for platform in INDEX.platforms]
    assert images == list(INDEX.images)


def without(path: Path, left_out: str) -> Path:
    """The archive once more, without one of its blobs."""
    cut = path.with_name("cut.tar")
    with tarfile.open(path) as before, tarfile.open(cut, "w") as after:
        for member in before:
            if not member.name.endswith(left_out):
                after.addfile(member, before.extractfile(member))
    return cut


def test_all_of_an_index_is_read_from_a_folder_and_from_an_archive(tmp_path: Path) -> None:
    write_layout(INDEX, tmp_path / "folder", NAME)
    write_archive(INDEX, tmp_path / "file.tar", NAME)
    assert read_layout_whole(tmp_path / "folder") == (INDEX, ())
    assert read_archive_whole(tmp_path / "file.tar") == [(NAME, (INDEX, ()))]


@pytest.mark.parametrize("blob", [native().digest, native().layers[0].descriptor.digest], ids=["manifest", "layer"])
def test_of_an_index_that_is_not_all_there_the_usual_image_is_read_and_the_others_named(
    blob: Digest, tmp_path: Path
) -> None:
    write_archive(INDEX, tmp_path / "file.tar", NAME)
    cut = without(tmp_path / "file.tar", blob.hex)
    assert read_archive_whole(cut) == [(NAME, (hello(), (native().platform,)))]


def test_an_index_that_holds_one_image_is_read_as_that(tmp_path: Path) -> None:
    write_archive(ImageIndex.of([hello()]), tmp_path / "file.tar", NAME)
    assert read_archive_whole(tmp_path / "file.tar") == [(NAME, (hello(), ()))]


def test_platform_that_a_name_lacks_is_said_by_that_name_with_those_there_are(store: Store) -> None:
    store.put(hello(), Reference.parse("another"))
    store.put(hello(), NAME)
    with pytest.raises(ImageError) as caught:
        store.resolve("hello:v1", [_HERE])
    assert caught.value.message == f'choosing an image for "{_HERE}": "hello:v1" has only wasi/wasm'
    assert caught.value.hint == ""


def test_an_engine_that_knows_no_index_is_given_the_native_image(tmp_path: Path) -> None:
    write_archive(INDEX, tmp_path / "file.tar")
    with tarfile.open(tmp_path / "file.tar") as tar:
        member = tar.extractfile("manifest.json")
        assert member
        [entry] = json.loads(member.read())
    assert entry["Config"] == f"blobs/sha256/{native().config_descriptor.digest.hex}"
