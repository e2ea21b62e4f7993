import gzip
import struct
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile_layers import HOSTILE
from tests.images import WASM, gzip_layer, image_of, image_with, plain_layer, special, tar_of
from wasmdock.errors import ImageError
from wasmdock.oci.image import Digest, Layer
from wasmdock.oci.layer import list_files, read_file
from wasmdock.oci.manifest import OCI_LAYER, OCI_LAYER_GZIP
from wasmdock.oci.tar import PieceSource, members


@pytest.mark.parametrize("path", ["/app.wasm", "app.wasm", "./app.wasm", "//app.wasm"])
def test_a_file_is_found_by_its_name_however_it_is_written(path: str) -> None:
    assert read_file(image_with(tar_of({"./app.wasm": WASM})), path) == WASM


def test_a_file_of_a_gzipped_layer_is_found() -> None:
    assert read_file(image_of(gzip_layer(tar_of({"a": b"x", "app.wasm": WASM}))), "/app.wasm") == WASM


def test_gzip_in_many_members_is_one_layer() -> None:
    tar = tar_of({"app.wasm": WASM})
    packed = b"".join(gzip.compress(tar[start : start + 100]) for start in range(0, len(tar), 100)) + bytes(8)
    assert read_file(image_of((Layer.of(OCI_LAYER_GZIP, packed), Digest.of(tar))), "/app.wasm") == WASM


def test_a_file_of_a_zstd_layer_is_found_however_many_frames_it_has() -> None:
    tar = tar_of({"app.wasm": WASM})
    packed = b"".join(zstandard.compress(tar[start : start + 100]) for start in range(0, len(tar), 100))
    assert read_file(image_of((Layer.of(f"{OCI_LAYER}+zstd", packed), Digest.of(tar))), "/app.wasm") == WASM


def test_what_a_signals_handler_raises_meanwhile_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        eof = False

        def decompress(self, _data: bytes) -> bytes:
            raise LookupError("told to")

    layer = gzip_layer(tar_of({"app.wasm": WASM}))
    monkeypatch.setattr("wasmdock.oci.compression.zlib.decompressobj", lambda **_: Interrupted())
    with pytest.raises(LookupError, match="told to"):
        read_file(image_of(layer), "/app.wasm")


def test_the_topmost_layer_wins() -> None:
    assert read_file(image_with(tar_of({"a": b"low"}), tar_of({"a": b"high"})), "/a") == b"high"


def test_the_last_entry_of_a_layer_wins() -> None:
    assert read_file(image_with(tar_of({"a": b"first", "./a": b"last"})), "/a") == b"last"


@pytest.mark.parametrize(
    "name",
    ["d/.wh.a", ".wh.d", "d/.wh..wh..opq", ".wh..wh..opq"],
    ids=["file", "folder", "opaque", "opaque root"],
)
def test_a_whiteout_hides_the_layers_below(name: str) -> None:
    image = image_with(tar_of({"d/a": b"x"}), tar_of({name: b""}))
    with pytest.raises(ImageError, match=r"there is no such file \(a layer removed it\)"):
        read_file(image, "/d/a")
    assert list_files(image) == ()


def test_a_whiteout_leaves_its_own_layer_alone() -> None:
    image = image_with(tar_of({"d/a": b"x", "d/b": b"y"}), tar_of({"d/.wh..wh..opq": b"", "d/a": b"new"}))
    assert read_file(image, "/d/a") == b"new"
    assert list_files(image) == ("/d/a",)


def test_a_folder_replaced_by_a_link_hides_what_was_in_it() -> None:
    image = image_with(tar_of({"d/a": b"x"}), tar_of({"d": special("d", tarfile.SYMTYPE, "/etc")}))
    with pytest.raises(ImageError, match='"/d" is a symbolic link'):
        read_file(image, "/d/a")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "named pipe"),
        (tarfile.DIRTYPE, "directory"),
        (b"Z", "entry of unknown type"),
    ],
)
def test_only_an_ordinary_file_can_be_read(kind: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=f"it is a.? {words}"):
        read_file(image_with(tar_of({"a": special("a", kind, "/etc/passwd")})), "/a")


def test_a_long_name_in_gnu_or_pax_format_is_read(tmp_path: Path) -> None:
    name = "d/" * 200 + "app.wasm"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / "long.tar"
        with tarfile.open(path, "w", format=form) as tar:
            tar.addfile(tarfile.TarInfo(name))
        assert list_files(image_with(path.read_bytes())) == (f"/{name}",)


def test_a_path_longer_than_linux_takes_is_refused() -> None:
    name = "a/" * 2048 + "x"
    for image, path in ((image_with(tar_of({name: b""})), "/a"), (image_with(), name)):
        with pytest.raises(ImageError, match="more than the 4096 bytes allowed"):
            read_file(image, path)


def test_deep_paths_are_listed_in_time_that_grows_with_their_letters() -> None:
    tar = tar_of({f"{number}/" + "a/" * 2000: special(f"{number}/" + "a/" * 2000 + "x", b"0") for number in range(300)})
    began = time.process_time()
    assert len(list_files(image_with(tar, tar))) == 300
    assert time.process_time() - began < 2  # the square of it took ten times as long


@pytest.mark.parametrize(
    ("layers", "seen"),
    [
        (({"d/x": b"", "d.x": b"", "d/y/z": b""}, {"d": b""}), ("/d", "/d.x")),
        (({"d/x/y": b"", "e": b""}, {"d/.wh.x": b""}), ("/e",)),
        (({"d/x": b""}, {".wh..wh..opq": b"", "e": b""}), ("/e",)),
        (({"d/x": b""}, {"d/.wh.x": b""}, {"d/x": b""}), ("/d/x",)),
        (({"d/x": b""}, {"d": b""}, {"d": special("d", tarfile.DIRTYPE), "d/y": b""}), ("/d/y",)),
    ],
    ids=["file for a folder", "folder removed", "all removed", "removed and made again", "file between folders"],
)
def test_files_of_lower_layers_are_listed_where_nothing_hides_them(
    layers: Sequence[Mapping[str, bytes | tarfile.TarInfo]], seen: tuple[str, ...]
) -> None:
    assert list_files(image_with(*map(tar_of, layers))) == seen


def test_headers_without_a_member_are_not_kept() -> None:
    records = b"".join(b"%d c%07d=\n" % (13, number) for number in range(80_000))
    header = tarfile.TarInfo("pax")
    header.type, header.size = b"x", len(records)
    packed = header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    tracemalloc.start()
    with pytest.raises(ImageError, match="after an extended header"):
        list(members(PieceSource([packed]), "headers"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(records)


def test_a_file_beyond_the_cap_is_refused_and_not_kept() -> None:
    with pytest.raises(ImageError, match="it has 100 bytes, more than the 99 allowed"):
        read_file(image_with(tar_of({"a": bytes(100)})), "/a", file_cap=99)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_stopped_at_the_cap(pack: Callable[[bytes], bytes]) -> None:
    tar = tar_of({"a": bytes(50 << 20)})
    bomb = image_of((Layer.of(OCI_LAYER, pack(tar)), Digest.of(tar)))
    with pytest.raises(ImageError, match="it grows beyond the 1048576 bytes allowed"):
        read_file(bomb, "/a", layer_cap=1 << 20)


def test_a_layer_that_is_not_what_the_config_promises_is_refused() -> None:
    layer, _ = plain_layer(tar_of({"a": b"x"}))
    with pytest.raises(ImageError, match="its digest is not the sha256:"):
        read_file(image_of((layer, Digest.of(b"another"))), "/a")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ImageError, match='reading "/nope" in the image: there is no such file'):
        read_file(image_with(tar_of({"a": b""})), "nope")


@pytest.mark.parametrize(("data", "cause"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_layer_is_one_error(data: bytes, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = image_of((Layer.of(OCI_LAYER, data), Digest.of(data)))
    with pytest.raises(ImageError) as caught:
        read_file(image, "/app.wasm")
    assert cause in caught.value.message
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_a_tar_or_an_image_error(data: bytes) -> None:
    try:
        list(members(PieceSource([data]), "noise"))
    except ImageError as error:
        assert "noise" in error.message


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 1023), st.binary(min_size=1, max_size=12), st.booleans())
def test_any_damage_to_a_tar_is_survived(start: int, damage: bytes, mend: bool) -> None:
    tar = bytearray(tar_of({"é" * 60: b"", "app.wasm": WASM}))
    tar[start : start + len(damage)] = damage
    if mend:  # so that what follows the checksum is reached
        for block in range(0, 1536, 512):
            header = bytes(tar[block : block + 512])
            total = sum(header) - sum(header[148:156]) + 256
            tar[block + 148 : block + 156] = struct.pack("8s", b"%06o\0 " % total)
    try:
        for member in members(PieceSource([bytes(tar)]), "damaged"):
            assert ".." not in member.name.split("/")
    except ImageError as error:
        assert error.message
