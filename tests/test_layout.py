import gzip
import io
import json
import os
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile_layouts import HOSTILE, Spoil, sound_layout
from tests.images import WASM, hello, image_of, plain_layer, tar_of, tree
from wasmdock.errors import ImageError, UnavailableError, UsageError
from wasmdock.oci.archive import read_archive, write_archive
from wasmdock.oci.image import Descriptor, Digest, Image, Platform, Reference
from wasmdock.oci.layout import blobs_of, index_document, read_layout, write_layout
from wasmdock.oci.manifest import OCI_INDEX
from wasmdock.pack import extract

NAME = Reference.parse("hello:1")


def test_a_layout_is_read_back_as_the_same_image(tmp_path: Path) -> None:
    write_layout(hello(), tmp_path / "layout")
    assert read_layout(tmp_path / "layout") == hello()


def test_a_layout_names_its_image_as_buildkit_does(tmp_path: Path) -> None:
    write_layout(hello(), tmp_path / "layout", NAME)
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert entry["annotations"] == {
        "io.containerd.image.name": "docker.io/library/hello:1",
        "org.opencontainers.image.ref.name": "1",
    }
    assert entry["platform"] == {"architecture": "wasm", "os": "wasi"}


@pytest.mark.parametrize("ref", [None, NAME, "hello:1", "1", str(hello().digest), f"hello@{hello().digest}"])
def test_an_image_of_a_layout_is_found_by_name_tag_or_digest(tmp_path: Path, ref: Reference | str | None) -> None:
    write_layout(hello(), tmp_path / "layout", NAME)
    assert read_layout(tmp_path / "layout", ref) == hello()


@pytest.mark.parametrize("ref", ["hello", "hello:2", "other:1", f"hello@{Digest.of(b'')}", "NOT A NAME"])
def test_a_name_a_layout_does_not_have_is_answered_with_those_it_has(tmp_path: Path, ref: str) -> None:
    write_layout(hello(), tmp_path / "layout", NAME)
    with pytest.raises(ImageError, match="it has hello:1$"):
        read_layout(tmp_path / "layout", ref)


def test_a_layout_replaces_an_older_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_layout(hello(args=["old"]), tmp_path / "layout")
    write_layout(hello(), tmp_path / "layout")
    assert read_layout(tmp_path / "layout") == hello()
    assert list(tmp_path.iterdir()) == [tmp_path / "layout"]
    assert len(list((tmp_path / "layout/blobs/sha256").iterdir())) == 3


def test_a_layout_never_replaces_something_else(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(UsageError, match="something else is there"):
        write_layout(hello(), tmp_path)
    assert tree(tmp_path) == {"precious": b"mine"}


def test_another_platform_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    write_layout(hello(), tmp_path / "layout")
    with pytest.raises(ImageError, match='choosing an image for "linux/amd64": there is only wasi/wasm'):
        read_layout(tmp_path / "layout", platforms=[Platform("linux", "amd64")])


@pytest.mark.parametrize(("spoil", "cause"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_layout_is_one_error_and_writes_nothing(spoil: Spoil, cause: str, tmp_path: Path) -> None:
    sound_layout(tmp_path / "layout")
    spoil(tmp_path / "layout")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ImageError) as caught:
        read_layout(tmp_path / "layout")
    assert cause in caught.value.message
    assert caught.value.message.isprintable()
    assert sorted(tmp_path.rglob("*")) == before


def _add_to_index(folder: Path, *images: Image, attested: bool = False) -> None:
    """Put images behind one nested index, as buildx does, with what it attests beside them."""
    blobs = folder / "blobs" / "sha256"
    entries = [image.descriptor.document() for image in images]
    if attested:
        platform = {"os": "unknown", "architecture": "unknown"}
        notes = {"vnd.docker.reference.type": "attestation-manifest"}
        entries.append({**entries[0], "platform": platform, "annotations": notes, "digest": str(Digest.of(b""))})
    for image in images:
        for digest, data in blobs_of(image):
            (blobs / digest.hex).write_bytes(data)
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    descriptor = Descriptor.of(OCI_INDEX, data)
    (blobs / descriptor.digest.hex).write_bytes(data)
    (folder / "index.json").write_bytes(index_document([descriptor.document()]))


def test_an_index_with_attestations_is_read_as_buildx_writes_it(tmp_path: Path) -> None:
    write_layout(hello(), tmp_path / "layout")
    _add_to_index(tmp_path / "layout", hello(), attested=True)
    assert read_layout(tmp_path / "layout") == hello()


def test_of_wasm_and_native_the_wasm_image_is_taken_unless_told_otherwise(tmp_path: Path) -> None:
    native = image_of(plain_layer(tar_of({"hello": b"ELF"})), os="linux", architecture="amd64")
    write_layout(hello(), tmp_path / "layout")
    _add_to_index(tmp_path / "layout", native, hello())
    assert read_layout(tmp_path / "layout") == hello()
    assert read_layout(tmp_path / "layout", platforms=[Platform("linux", "amd64")]) == native


def test_a_folder_that_is_no_layout_is_one_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ImageError, match="it is not there"):
            read_layout(folder)


def _archive(image: Image, name: Reference | None = NAME) -> bytes:
    buffer = io.BytesIO()
    write_archive(image, buffer, name)
    return buffer.getvalue()


def test_a_layout_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_layout(hello(), tmp_path / "layout")
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(UnavailableError, match="No space left"):
        write_layout(hello(env={"A": "b"}), tmp_path / "layout")
    assert (read_layout(tmp_path / "layout"), list(tmp_path.iterdir())) == (hello(), [tmp_path / "layout"])


def test_an_archive_is_read_back_with_its_name() -> None:
    assert read_archive(io.BytesIO(_archive(hello()))) == [(NAME, hello())]


def test_an_archive_without_a_name_is_read_back_without_one() -> None:
    assert read_archive(io.BytesIO(_archive(hello(), None))) == [(None, hello())]


def test_an_archive_holds_what_docker_load_and_oci_tools_want() -> None:
    with tarfile.open(fileobj=io.BytesIO(_archive(hello()))) as tar:
        names = tar.getnames()
        (entry,) = json.load(tar.extractfile("manifest.json") or io.BytesIO())
    assert names[:3] == ["oci-layout", "index.json", "manifest.json"]
    assert entry["RepoTags"] == ["hello:1"]
    assert {entry["Config"], *entry["Layers"]} < set(names)


def test_an_archive_is_the_same_bytes_each_time_to_a_file_or_a_stream(tmp_path: Path) -> None:
    write_archive(hello(), tmp_path / "a.tar", NAME)
    assert (tmp_path / "a.tar").read_bytes() == _archive(hello())
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tar"]


def test_an_archive_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    with pytest.raises(UnavailableError, match="writing archive"):
        write_archive(hello(), tmp_path / "a.tar")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tar"]


def test_a_gzipped_archive_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(_archive(hello())))
    assert read_archive(tmp_path / "a.tar.gz") == [(NAME, hello())]


def test_an_archive_packed_with_zstd_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar.zst").write_bytes(zstandard.compress(_archive(hello())))
    assert read_archive(tmp_path / "a.tar.zst") == [(NAME, hello())]


def test_an_archive_is_read_from_a_pipe(tmp_path: Path) -> None:
    write_archive(hello(), tmp_path / "a.tar", NAME)
    with subprocess.Popen(["cat", tmp_path / "a.tar"], stdout=subprocess.PIPE) as cat:
        assert cat.stdout
        assert read_archive(cat.stdout) == [(NAME, hello())]  # type: ignore[arg-type]  # IO[bytes] has all of BinaryIO


def _legacy(**changes: bytes | tarfile.TarInfo) -> dict[str, bytes | tarfile.TarInfo]:
    """The files of `docker save` before version 25."""
    layer = tar_of({"app.wasm": WASM})
    image = image_of(plain_layer(layer))
    entry = {"Config": "c.json", "RepoTags": ["hello:1", "hello:2"], "Layers": ["a/layer.tar"]}
    files: dict[str, bytes | tarfile.TarInfo] = {
        "c.json": image.config,
        "a/layer.tar": layer,
        "manifest.json": json.dumps([entry]).encode(),
    }
    return {**files, **changes}


def _read(files: Mapping[str, bytes | tarfile.TarInfo]) -> list[tuple[Reference | None, Image]]:
    return read_archive(io.BytesIO(tar_of(files)))


def test_a_docker_archive_of_old_is_read_with_all_its_names() -> None:
    images = _read(_legacy())
    assert [str(name) for name, _ in images] == ["hello:1", "hello:2"]
    assert extract(images[0][1]) == WASM


def _link(name: str, target: str) -> tarfile.TarInfo:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    return link


def test_a_link_between_the_layers_of_a_docker_archive_is_followed() -> None:
    files = _legacy()
    files["b/layer.tar"] = files.pop("a/layer.tar")
    files["a/layer.tar"] = _link("a/layer.tar", "../b/layer.tar")
    assert extract(_read(files)[0][1]) == WASM


def _docker(**changes: Any) -> dict[str, bytes | tarfile.TarInfo]:
    (entry,) = json.loads(_legacy()["manifest.json"])  # type: ignore[arg-type]  # bytes here
    return _legacy(**{"manifest.json": json.dumps([{**entry, **changes}]).encode()})


def test_a_layer_named_many_times_in_a_docker_archive_is_read_once_and_not_kept() -> None:
    layer = bytes(20 << 20)
    config = image_of(*[plain_layer(layer)] * 100).config
    entry = {"Config": "c.json", "RepoTags": ["hello:1"], "Layers": ["a/layer.tar"] * 100}
    packed = tar_of({"c.json": config, "a/layer.tar": layer, "manifest.json": json.dumps([entry]).encode()})
    tracemalloc.start()
    ((_, image),) = read_archive(io.BytesIO(packed))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(image.layers), len(set(map(id, image.layers)))) == (100, 1)
    assert peak < 2 * len(layer)


def test_documents_that_many_entries_of_an_archive_share_are_counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.oci.archive._DOCUMENTS_CAP", 100_000)
    (entry,) = json.loads(_legacy()["manifest.json"])  # type: ignore[arg-type]  # bytes here
    with pytest.raises(ImageError, match="manifests and configs of its images take more than the 100000 bytes"):
        _read(_legacy(**{"manifest.json": json.dumps([entry] * 1000).encode()}))


def test_threads_read_the_layers_of_one_archive(tmp_path: Path) -> None:
    layers = [plain_layer(bytes([number]) * (9 << 20)) for number in range(2)]
    write_archive(image_of(*layers), tmp_path / "a.tar", NAME)
    ((_, image),) = read_archive(tmp_path / "a.tar")
    with ThreadPoolExecutor(4) as threads:
        read = threads.map(lambda layer: layer.data, image.layers * 10)
        assert all(len(data) == 9 << 20 for data in read)


_LOOP = {"a/layer.tar": _link("a/layer.tar", "layer.tar")}
_OUT = {"a/layer.tar": _link("a/layer.tar", "../../../../etc/passwd")}
HOSTILE_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "neither index.json nor manifest.json"),
    "zeros": (lambda: bytes(2048), "neither index.json nor manifest.json"),
    "text": (lambda: b"hello " * 200, "the tar is damaged"),
    "cut short": (lambda: _archive(hello())[:3000], "the tar is damaged"),
    "damaged gzip": (lambda: gzip.compress(_archive(hello()))[:50], "cut short"),
    "damaged zstd": (lambda: zstandard.compress(_archive(hello()))[:-9], "zstd data is cut short"),
    "nothing known": (lambda: tar_of({"a": b"b"}), "neither index.json nor manifest.json"),
    "traversal": (lambda: tar_of({"../a": b"b"}), "leads out of the image"),
    "absolute": (lambda: tar_of({"/etc/x": b"b"}), "neither index.json nor manifest.json"),
    "manifest an object": (lambda: tar_of(_legacy(**{"manifest.json": b"{}"})), "not a list of objects"),
    "manifest empty": (lambda: tar_of(_legacy(**{"manifest.json": b"[]"})), "manifest.json has no image"),
    "manifest too deep": (lambda: tar_of(_legacy(**{"manifest.json": b"[" * 200_000})), "nested too deep"),
    "no config": (lambda: tar_of(_docker(Config=None)), '"Config" is missing'),
    "config not there": (lambda: tar_of(_docker(Config="x")), 'reading "x" in archive'),
    "config leads out": (lambda: tar_of(_docker(Config="../../etc/passwd")), "it is not there"),
    "layer not there": (lambda: tar_of(_docker(Layers=["x"])), 'reading "x" in archive'),
    "layer missing": (lambda: tar_of(_docker(Layers=[])), "1 diff_ids for 0 layers"),
    "too many layers": (lambda: tar_of(_docker(Layers=["a/layer.tar"] * 128)), "more than 127 layers"),
    "layer changed": (lambda: tar_of(_legacy(**{"a/layer.tar": tar_of({})})), "its config promises"),
    "layer a loop": (lambda: tar_of(_legacy(**_LOOP)), "more than 8 links in a row"),
    "layer a link out": (lambda: tar_of(_legacy(**_OUT)), "it is not there"),
    "bad name": (lambda: tar_of(_docker(RepoTags=["BAD NAME"])), "reading image name"),
}


@pytest.mark.parametrize(("make", "cause"), HOSTILE_ARCHIVES.values(), ids=HOSTILE_ARCHIVES.keys())
def test_a_hostile_archive_is_one_error_and_writes_nothing(
    make: Callable[[], bytes], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError) as caught:
        read_archive(io.BytesIO(make()))
    assert cause in caught.value.message
    assert list(tmp_path.iterdir()) == []


_SMALL = {name: spoil for name, (spoil, _) in HOSTILE.items() if name not in ("index of two GB", "layer longer")}


@pytest.mark.parametrize("spoil", _SMALL.values(), ids=_SMALL.keys())
def test_a_hostile_layout_in_an_archive_is_one_error(spoil: Spoil, tmp_path: Path) -> None:
    sound_layout(tmp_path / "layout")
    spoil(tmp_path / "layout")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "layout", ".")
    with pytest.raises(ImageError):
        read_archive(tmp_path / "a.tar")


def test_a_missing_archive_and_a_folder_are_image_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ImageError, match="reading archive"):
            read_archive(path)


@settings(deadline=None)
@given(st.binary(max_size=1500))
def test_any_bytes_are_an_archive_or_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_archive(io.BytesIO(data))


@pytest.mark.docker
def test_docker_load_takes_an_archive(tmp_path: Path) -> None:
    from tests.requirements import require_docker

    environment = {**os.environ, "DOCKER_HOST": require_docker()}
    name = Reference.parse("wasmdock-test-load:1")
    write_archive(hello(), tmp_path / "a.tar", name)

    def docker(*args: str) -> str:
        command = ["docker", *args]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    try:
        assert "wasmdock-test-load:1" in docker("load", "-i", str(tmp_path / "a.tar"))
        (tmp_path / "saved.tar").write_bytes(b"")
        docker("save", "-o", str(tmp_path / "saved.tar"), str(name))
        assert read_archive(tmp_path / "saved.tar") == [(name, hello())]
    finally:
        docker("rmi", str(name))
