"""wasmdock pack, images, rmi, save, load, extract: images in and out of the store."""

import json
from pathlib import Path

import pytest
import zstandard

from tests.command_line import CommandLine, Done, guest
from tests.conftest import sample
from tests.images import WASM, hello, image_with, tar_of
from wasmdock.oci.archive import write_archive
from wasmdock.oci.image import Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import write_layout
from wasmdock.pack import extract

HELLO = b"Hello from a sample guest!\n"


def ok(done: Done) -> Done:
    assert (done.code, done.stderr) == (0, "")
    return done


@pytest.fixture
def packed(wasmdock: CommandLine) -> CommandLine:
    """A command line whose store holds hello:v1."""
    ok(wasmdock("pack", guest("hello"), "-t", "hello:v1"))
    return wasmdock


def test_empty_store_lists_its_columns_only(wasmdock: CommandLine) -> None:
    assert ok(wasmdock("images")).text.split() == ["IMAGE", "DIGEST", "PLATFORM", "PACKED", "STORED"]
    assert json.loads(ok(wasmdock("images", "--format", "json")).text) == []


def test_packed_file_is_listed_and_run_by_its_name(packed: CommandLine) -> None:
    assert "hello:v1 " in ok(packed("images")).text
    assert ok(packed("run", "hello:v1")).stdout == HELLO


def test_pack_names_the_image_after_the_file(wasmdock: CommandLine) -> None:
    assert ok(wasmdock("pack", guest("args"))).text.startswith("args:latest  ")
    assert ok(wasmdock("run", "args", "x")).text == "/args.wasm\nx\n"


def test_pack_gives_the_same_digest_each_time(wasmdock: CommandLine, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.tar" for number in range(2)]
    digests = [json.loads(ok(wasmdock("pack", guest("hello"), "-o", file, "--format", "json")).text) for file in files]
    assert digests[0]["digest"] == digests[1]["digest"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_source_date_epoch_becomes_the_time_of_creation(wasmdock: CommandLine) -> None:
    ok(wasmdock("pack", guest("hello"), SOURCE_DATE_EPOCH="86400"))
    [line] = json.loads(ok(wasmdock("images", "--format", "json")).text)
    assert line["created"] == "1970-01-02T00:00:00Z"
    assert wasmdock("pack", guest("hello"), SOURCE_DATE_EPOCH="soon").code == 2


def test_packed_variables_and_arguments_are_the_guests_defaults(wasmdock: CommandLine) -> None:
    ok(wasmdock("pack", guest("environ"), "-e", "A=1", "-e", "B=1"))
    assert sorted(ok(wasmdock("run", "-e", "B=2", "environ")).text.split()) == ["A=1", "B=2"]
    ok(wasmdock("pack", guest("args"), "--arg", "one", "--arg", "two"))
    assert ok(wasmdock("run", "args")).text == "/args.wasm\none\ntwo\n"


def test_packed_export_is_started_instead_of_the_command(wasmdock: CommandLine) -> None:
    ok(wasmdock("pack", guest("add"), "--export", "nothing"))
    assert ok(wasmdock("run", "add")).stdout == b""


@pytest.mark.parametrize("target", ["image.tar", "layout", "-"])
def test_saved_image_is_loaded_again_with_its_name_and_digest(packed: CommandLine, tmp_path: Path, target: str) -> None:
    [before] = json.loads(ok(packed("images", "--format", "json")).text)
    saved = ok(packed("save", "hello:v1", "-o", target if target == "-" else tmp_path / target))
    ok(packed("rmi", "hello:v1"))
    source = "-" if target == "-" else tmp_path / target
    ok(packed("load", source, "-t", "hello:v1", stdin=saved.stdout))
    [after] = json.loads(ok(packed("images", "--format", "json")).text)
    assert (after["name"], after["digest"]) == (before["name"], before["digest"])


def test_archive_and_layout_run_without_the_store(packed: CommandLine, tmp_path: Path) -> None:
    for target in (tmp_path / "image.tar", tmp_path / "layout"):
        ok(packed("save", "hello:v1", "-o", target))
    ok(packed("rmi", "hello:v1"))
    (tmp_path / "image.tar.zst").write_bytes(zstandard.compress((tmp_path / "image.tar").read_bytes()))
    for archive in ("image.tar", "image.tar.zst"):
        assert ok(packed("run", tmp_path / archive)).stdout == HELLO
    assert ok(packed("run", "layout", cwd=tmp_path)).stdout == HELLO


def test_name_in_the_store_comes_before_a_folder_of_that_name(packed: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "hello:v1").mkdir()
    assert ok(packed("run", "hello:v1", cwd=tmp_path)).stdout == HELLO


def test_image_is_found_by_the_beginning_of_its_digest(packed: CommandLine) -> None:
    [line] = json.loads(ok(packed("images", "--format", "json")).text)
    assert ok(packed("run", line["digest"].removeprefix("sha256:")[:12])).stdout == HELLO


def test_extracted_program_is_the_one_that_was_packed(packed: CommandLine, tmp_path: Path) -> None:
    program = extract(sample("hello"))
    assert packed("extract", "hello:v1", cwd=tmp_path).stderr == f"hello.wasm  {len(program)} bytes\n"
    assert (tmp_path / "hello.wasm").read_bytes() == program
    assert ok(packed("extract", "hello:v1", "-o", "-")).stdout == program


def test_image_does_not_choose_which_file_extract_replaces(packed: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "hello.wasm").write_text("mine")
    refused = packed("extract", "hello:v1", cwd=tmp_path)
    assert (refused.code, "there is one already" in refused.stderr, "-o FILE" in refused.stderr) == (2, True, True)
    assert (tmp_path / "hello.wasm").read_text() == "mine"
    assert packed("extract", "hello:v1", "-o", "hello.wasm", cwd=tmp_path).code == 0


@pytest.mark.parametrize("name", [".bashrc", "a\x1b[2J.wasm"])
def test_image_does_not_choose_a_hidden_name_for_extract(wasmdock: CommandLine, tmp_path: Path, name: str) -> None:
    image = image_with(tar_of({name: WASM}), run={"Entrypoint": [f"/{name}"]})
    write_layout(image, tmp_path / "layout")
    refused = wasmdock("extract", tmp_path / "layout", cwd=tmp_path)
    assert (refused.code, "name the file with -o FILE" in refused.stderr) == (2, True)
    assert [each.name for each in tmp_path.iterdir()] == ["layout"]


def test_quiet_says_nothing_but_errors(packed: CommandLine, tmp_path: Path) -> None:
    assert ok(packed("-q", "extract", "hello:v1", cwd=tmp_path)).stdout == b""
    assert packed("-q", "rmi", "nope").stderr.startswith("wasmdock: ")


def test_removed_image_is_gone(packed: CommandLine) -> None:
    assert ok(packed("rmi", "hello:v1")).text == "hello:v1\n"
    assert packed("run", "hello:v1").code == 125


def test_others_are_removed_where_one_is_missing(packed: CommandLine) -> None:
    ok(packed("pack", guest("hello"), "-t", "hello:v2"))
    done = packed("rmi", "hello:v1", "missing", "neither", "hello:v2")
    assert (done.code, done.text) == (1, "hello:v1\nhello:v2\n")
    assert done.stderr.count("not in the store") == 2


@pytest.mark.parametrize("target", ["image.tar", "layout"])
def test_loaded_index_keeps_all_of_its_images(wasmdock: CommandLine, tmp_path: Path, target: str) -> None:
    index = ImageIndex.of([hello(), image_with(tar_of({"hello": b"\x7fELF"}), os="linux", architecture="s390x")])
    write = write_archive if target.endswith(".tar") else write_layout
    write(index, tmp_path / target, Reference.parse("several:v1"))
    done = ok(wasmdock("load", tmp_path / target, "-t", "ml:1"))
    assert done.text == f"ml:1  {index.digest.short}  wasi/wasm, linux/s390x\n"
    [line] = json.loads(ok(wasmdock("images", "--format", "json")).text)
    assert line["platforms"] == ["wasi/wasm", "linux/s390x"]


def test_what_load_leaves_out_is_said(wasmdock: CommandLine, tmp_path: Path) -> None:
    index = ImageIndex.of([hello(), image_with(tar_of({"hello": b"\x7fELF"}), os="linux", architecture="s390x")])
    write_layout(index, tmp_path / "layout")
    (tmp_path / "layout" / "blobs" / "sha256" / index.images[1].digest.hex).unlink()
    done = wasmdock("load", tmp_path / "layout", "-t", "ml:1")
    assert (done.code, done.text) == (0, f"ml:1  {hello().digest.short}  wasi/wasm\n")
    assert done.stderr.startswith('wasmdock: left out of "ml:1": linux/s390x: ')


@pytest.mark.parametrize("data", [b"", b"no archive at all", 600 * b"x"])
def test_damaged_archive_is_refused_with_a_cure(wasmdock: CommandLine, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "cut.tar").write_bytes(data)
    done = wasmdock("load", tmp_path / "cut.tar")
    assert done.code == 1
    assert "\n    try: write it anew, with docker save or wasmdock save\n" in done.stderr


@pytest.mark.parametrize("name", ["gone.tar", "gone.wasm", "gone/gone.wat"])
@pytest.mark.parametrize("verb", ["inspect", "load", "pack"])
def test_file_that_is_not_there_is_a_mistake_of_the_caller(
    wasmdock: CommandLine, tmp_path: Path, verb: str, name: str
) -> None:
    assert wasmdock(verb, tmp_path / name).code == 2


@pytest.mark.parametrize("verb", ["inspect", "load", "pack"])
def test_file_that_cannot_be_read_is_a_failure(wasmdock: CommandLine, verb: str) -> None:
    done = wasmdock(verb, "/proc/self/mem")  # whose first byte nobody may read
    assert (done.code, "Input/output error" in done.stderr) == (1, True)


def test_layout_without_a_name_is_loaded_under_one_that_is_given(packed: CommandLine, tmp_path: Path) -> None:
    ok(packed("save", "hello:v1", "-o", tmp_path / "layout"))
    assert ok(packed("load", tmp_path / "layout", "-t", "other:v2")).text.startswith("other:v2  ")


def test_inspect_shows_an_image_as_text_and_as_json(packed: CommandLine) -> None:
    assert "wasi_snapshot_preview1" in ok(packed("inspect", "hello:v1")).text
    facts = json.loads(ok(packed("inspect", "hello:v1", "--format", "json")).text)
    assert facts["image"]["entrypoint"] == ["/hello.wasm"]
    assert facts["form"] == "module"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_the_verbs(wasmdock: CommandLine, shell: str) -> None:
    assert "invoke" in ok(wasmdock("completion", shell)).text
