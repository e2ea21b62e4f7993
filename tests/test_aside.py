"""Files that are there as a whole, or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import sample
from wasmdock.aside import is_device, write_aside, write_output
from wasmdock.oci.archive import write_archive


def test_file_holds_its_parts_and_is_its_owners_alone(tmp_path: Path) -> None:
    write_aside(tmp_path / "file", b"one ", b"two")
    assert (tmp_path / "file").read_bytes() == b"one two"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(OSError):
        write_aside(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_of_many_writers_one_is_read(tmp_path: Path) -> None:
    texts = [bytes([65 + number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_aside(tmp_path / "file", text), texts))
    assert (tmp_path / "file").read_bytes() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_aside(pipe, b"a", b"b")
    assert os.read(reader, 10) == b"ab" and pipe.is_fifo()
    os.close(reader)
    assert is_device(Path("/dev/stdout")) and not is_device(tmp_path / "none") and is_device(Path("/dev/null"))


def test_archive_for_a_pipe_goes_into_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.tar"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_archive(sample("hello"), pipe)
    assert b"ustar" in os.read(reader, 512) and pipe.is_fifo()
    os.close(reader)


def test_output_goes_where_a_link_leads_and_keeps_the_mode_that_is_there(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to("file")
    write_output(link, b"after")
    assert (link.is_symlink(), file.read_text(), file.stat().st_mode & 0o777) == (True, "after", 0o640)
    write_output(tmp_path / "new", b"")
    assert (tmp_path / "new").stat().st_mode & 0o600 == 0o600
    assert len(list(tmp_path.iterdir())) == 3
