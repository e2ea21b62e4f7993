"""The folder of compiled code: found by content, never trusted without its digest, safe against accidents."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wasmdock.code_cache import CodeCache

KEY = "0" * 64


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_code_put_under_a_key_comes_back(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "code")
    cache.put(KEY, b"machine code")
    assert cache.get(KEY) == b"machine code"
    assert CodeCache(tmp_path / "code").get(KEY) == b"machine code", "another process finds it too"


def test_unknown_key_is_nothing(tmp_path: Path) -> None:
    assert CodeCache(tmp_path / "code").get(KEY) is None


def test_folder_is_made_on_the_first_write_for_its_owner_alone(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "a" / "code")
    assert not (tmp_path / "a").exists()
    cache.put(KEY, b"code")
    assert (tmp_path / "a" / "code").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("spoil", ["flip", "cut", "empty", "grow"])
def test_spoiled_entry_is_thrown_away(tmp_path: Path, spoil: str) -> None:
    cache = CodeCache(tmp_path)
    cache.put(KEY, b"machine code")
    [path] = tmp_path.iterdir()
    data = path.read_bytes()
    changed = {"flip": data[:-1] + b"E", "cut": data[:-1], "empty": b"", "grow": data + b"!"}
    path.write_bytes(changed[spoil])
    assert cache.get(KEY) is None
    assert entries(tmp_path) == []


def test_dropped_entry_is_gone_and_dropping_it_twice_is_no_error(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path)
    cache.put(KEY, b"code")
    cache.drop(KEY)
    cache.drop(KEY)
    assert cache.get(KEY) is None


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_folder_that_others_may_write_to_is_not_used(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "code"
    cache = CodeCache(folder)
    cache.put(KEY, b"code")
    folder.chmod(mode)
    cache.put("1" * 64, b"more code")
    assert cache.get(KEY) is None
    assert len(entries(folder)) == 1


def test_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CodeCache(tmp_path)
    cache.put(KEY, b"code")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    assert cache.get(KEY) is None


def test_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CodeCache(tmp_path / "file" / "code")
    cache.put(KEY, b"code")
    assert cache.get(KEY) is None


def test_disk_that_is_full_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    cache = CodeCache(tmp_path)
    monkeypatch.setattr(Path, "replace", refuse)
    cache.put(KEY, b"code")
    assert entries(tmp_path) == []


def test_oldest_entries_go_when_the_limit_is_passed(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path, limit=5000)
    for number in range(5):
        cache.put(f"{number:064}", bytes(1500))
        os.utime(tmp_path / f"{number:064}.code", (number, number))
    kept = [number for number in range(5) if cache.get(f"{number:064}") is not None]
    assert kept == [2, 3, 4]


def test_what_a_killed_writer_left_goes_after_an_hour(tmp_path: Path) -> None:
    left, fresh = tmp_path / ".new-left", tmp_path / ".new-fresh"
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(left, (time.time() - 4000, time.time() - 4000))
    CodeCache(tmp_path).put(KEY, b"code")
    assert entries(tmp_path) == [".new-fresh", f"{KEY}.code"]


def test_killed_writer_never_leaves_a_half_entry(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from wasmdock.code_cache import CodeCache\n"
        "cache = CodeCache(pathlib.Path(sys.argv[1]))\n"
        "while True: cache.put('0' * 64, bytes(4 << 20)); print(flush=True)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "code")]
    for _ in range(3):
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        assert CodeCache(tmp_path / "code").get(KEY) == bytes(4 << 20)


def test_two_writers_of_one_key_leave_one_whole_entry(tmp_path: Path) -> None:
    def write(fill: int) -> None:
        cache = CodeCache(tmp_path)
        for _ in range(30):
            cache.put(KEY, bytes([fill]) * 100_000)
            assert cache.get(KEY) in (bytes([1]) * 100_000, bytes([2]) * 100_000)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (1, 2)))
    assert entries(tmp_path) == [f"{KEY}.code"]
