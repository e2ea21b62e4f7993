import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.hostile_layouts import HOSTILE
from tests.images import gzip_layer, hello, image_of, tar_of, tree
from wasmdock.errors import ImageError, UnavailableError
from wasmdock.oci.image import EAGER, Descriptor, Reference
from wasmdock.oci.layout import FolderBlobs, read_layout
from wasmdock.oci.lock import folder_lock, locked
from wasmdock.oci.store import Store
from wasmdock.pack import extract

NAME = Reference.parse("hello")
ROOT = Path(__file__).parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", clock=lambda: 1_000_000.0)


def _blobs(store: Store) -> int:
    return len(list((store.root / "blobs" / "sha256").iterdir()))


def test_what_was_put_is_got_by_every_name_it_has(store: Store) -> None:
    store.put(hello(), NAME)
    digest = hello().digest
    for name in (
        NAME,
        "hello",
        "hello:latest",
        "docker.io/library/hello",
        str(digest),
        digest.hex[:4],
        digest.short,
    ):
        assert store.get(name) == hello()


def test_a_line_of_the_store_tells_what_a_table_needs(store: Store) -> None:
    line = store.put(hello(created=60), NAME)
    assert store.images() == [line]
    assert store.resolve("hello") == line
    assert (str(line.reference), str(line.platform), line.stored) == ("hello:latest", "wasi/wasm", 1_000_000)
    assert (line.created, line.packed_size) == ("1970-01-01T00:01:00Z", hello(created=60).packed_size)


def test_the_store_is_an_oci_layout(store: Store) -> None:
    store.put(hello(), NAME)
    assert read_layout(store.root, NAME) == hello()


def test_an_empty_store_is_not_made_by_reading(store: Store) -> None:
    assert store.images() == []
    with pytest.raises(ImageError, match="not in the store"):
        store.get("hello")
    assert not store.root.exists()


@pytest.mark.parametrize("typo", ["helo", "hello:lates", "hello:2", "me/hello"])
def test_a_misspelt_name_is_answered_with_the_one_meant(store: Store, typo: str) -> None:
    store.put(hello(), NAME)
    with pytest.raises(ImageError, match=f'finding image "{typo}": not in the store') as caught:
        store.get(typo)
    assert caught.value.hint == "did you mean hello:latest?"


def test_a_name_unlike_any_other_is_answered_with_the_way_to_list(store: Store) -> None:
    store.put(hello(), NAME)
    with pytest.raises(ImageError) as caught:
        store.get("quite-something-else")
    assert "wasmdock images" in caught.value.hint


def test_a_beginning_that_two_digests_share_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.oci.store_entries._SHORTEST_PREFIX", 0)
    store.put(hello(), NAME)
    store.put(hello(args=["x"]), Reference.parse("other"))
    with pytest.raises(ImageError, match="several digests begin so"):
        store.get("sha256:")


def test_a_name_moves_to_the_new_image_and_the_old_blobs_go(store: Store) -> None:
    store.put(hello(args=["old"]), NAME)
    store.put(hello(), NAME)
    assert store.get("hello") == hello()
    assert (len(store.images()), _blobs(store)) == (1, 3)


def test_removing_keeps_the_blobs_another_image_needs(store: Store) -> None:
    store.put(hello(), NAME)
    store.put(hello(args=["x"]), Reference.parse("other"))
    store.remove("hello")
    assert (store.get("other").cmd, _blobs(store)) == (("x",), 3)
    store.remove("other")
    assert _blobs(store) == 0


def test_removing_by_digest_wants_the_name_where_there_are_two(store: Store) -> None:
    store.put(hello(), NAME)
    store.put(hello(), Reference.parse("again"))
    with pytest.raises(ImageError, match="it has several names") as caught:
        store.remove(hello().digest.short)
    assert caught.value.hint == "name one of again:latest, hello:latest"


def test_removing_what_is_not_there_is_an_image_error(store: Store) -> None:
    with pytest.raises(ImageError, match="not in the store"):
        store.remove("hello")


def test_an_image_is_not_stored_under_another_ones_digest(store: Store) -> None:
    other = Reference("docker.io", "library/hello", "", hello(args=["x"]).digest)
    with pytest.raises(ImageError, match="the image has the digest"):
        store.put(hello(), other)


def test_a_spoiled_blob_is_one_error_with_its_digest_and_cure(store: Store) -> None:
    store.put(hello(), NAME)
    digest = hello().layers[0].descriptor.digest
    path = store.root / "blobs" / "sha256" / digest.hex
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ImageError, match=f'reading "hello:latest" from the store: .*{digest}') as caught:
        store.get("hello")
    assert "wasmdock rmi" in caught.value.hint
    store.put(hello(), NAME)
    assert store.get("hello") == hello()


def test_a_spoiled_image_can_be_listed_and_removed(store: Store) -> None:
    store.put(hello(), NAME)
    (store.root / "blobs" / "sha256" / hello().digest.hex).write_bytes(b"{")
    assert len(store.images()) == 1
    store.remove("hello")
    assert _blobs(store) == 0


def test_nothing_is_collected_while_a_manifest_cannot_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(hello(), NAME)
    store.put(hello(env={"A": "b"}), Reference.parse("other"))
    real = FolderBlobs.read

    def read(blobs: FolderBlobs, descriptor: Descriptor) -> bytes:
        if descriptor.digest == hello().digest:
            raise ImageError("reading: Input/output error")
        return real(blobs, descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(FolderBlobs, "read", read)
        store.remove("other")
    assert (store.get("hello"), _blobs(store)) == (hello(), 5)
    store.put(hello(env={"A": "b"}), Reference.parse("other"))
    store.remove("other")
    assert _blobs(store) == 3


def test_a_manifest_that_is_none_keeps_nothing_from_being_collected(store: Store) -> None:
    store.put(hello(), NAME)
    store.put(hello(env={"A": "b"}), Reference.parse("other"))
    path = store.root / "blobs" / "sha256" / hello().digest.hex
    path.write_bytes(b"x" * path.stat().st_size)
    store.remove("other")
    assert _blobs(store) == 1


def test_a_large_layer_is_read_only_when_it_is_used(store: Store) -> None:
    image = image_of(gzip_layer(tar_of({"app.wasm": os.urandom(EAGER)})))
    store.put(image, NAME)
    path = store.root / "blobs" / "sha256" / image.layers[0].descriptor.digest.hex
    loaded = store.get("hello")
    assert extract(loaded) == extract(image)
    path.unlink()
    with pytest.raises(ImageError, match="it is not there"):
        _ = loaded.layers[0].data


_INDEXES = [name for name in HOSTILE if "index" in name.split()[0] or "entry" in name or name.startswith("layer")]


@pytest.mark.parametrize("name", _INDEXES)
def test_a_spoiled_store_is_one_error_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put(hello(), NAME)
    HOSTILE[name][0](store.root)
    before = sorted(tmp_path.rglob("*"))
    if name == "no index":
        assert store.images() == []
        return
    with pytest.raises(ImageError):
        store.get(hello().digest.short)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    for use in (lambda: store.put(hello(), NAME), store.images):
        with pytest.raises(UnavailableError, match="Not a directory"):
            use()


def test_files_half_written_by_a_killed_process_go_after_an_hour(store: Store) -> None:
    store.put(hello(), NAME)
    for name, age in (("old", 3601), ("young", 3599)):
        path = store.root / "ingest" / name
        path.write_bytes(b"half")
        os.utime(path, (1_000_000 - age,) * 2)
    store.put(hello(args=["x"]), NAME)
    assert [path.name for path in (store.root / "ingest").iterdir()] == ["young"]


_PUT = """
import sys
from pathlib import Path
from tests.images import hello
from wasmdock.oci.image import Reference
from wasmdock.oci.store import Store
store, name = Store(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    store.put(hello(args=[name, str(number)]), Reference.parse(f"{name}:{number % 4}"))
    if number % 3 == 2:
        store.remove(f"{name}:{number % 4}")
    print(number, flush=True)
"""


def _putting(store: Store, name: str, times: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _PUT, str(store.root), name, str(times)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_processes_put_and_remove_at_once(store: Store) -> None:
    with _putting(store, "one", 20) as one, _putting(store, "two", 20) as two:
        while one.poll() is None or two.poll() is None:
            for line in store.images():  # reading meanwhile never fails
                assert line.packed_size
            time.sleep(0.01)
    assert (one.returncode, two.returncode) == (0, 0)
    for line in store.images():
        assert store.get(line.reference).cmd[0] == line.reference.familiar_name
    assert {line.reference.familiar_name for line in store.images()} == {"one", "two"}


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.01, 0.02])
def test_a_killed_process_leaves_a_sound_store_and_no_lock(store: Store, delay: float) -> None:
    store.put(hello(), NAME)
    with _putting(store, "killed", 10_000) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    for line in store.images():
        assert store.get(line.reference).digest == line.digest
        store.remove(line.reference)
    assert _blobs(store) == 0


def test_a_write_cut_short_is_never_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(hello(), NAME)
    before = tree(store.root)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UnavailableError, match="No space left on device"):
        store.put(hello(args=["x"]), Reference.parse("other"))
    assert tree(store.root) == before


def test_a_lock_that_is_held_for_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        locked(path),
        pytest.raises(UnavailableError, match="another process has held the lock"),
        locked(path, 0.05),
    ):
        pass


def test_where_there_is_no_flock_a_folder_locks_and_expires(tmp_path: Path) -> None:
    path = tmp_path / "lock.d"
    with folder_lock(path):
        with pytest.raises(UnavailableError), folder_lock(path, patience=0.05):
            pass
        with folder_lock(path, patience=1, abandoned=-1):  # its holder is taken for dead
            pass
        path.mkdir()
    assert not path.exists()


def test_threads_of_one_process_share_a_store(store: Store) -> None:
    def put(number: int) -> None:
        store.put(hello(args=[str(number)]), Reference.parse(f"hello:{number}"))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.images()) == 8
