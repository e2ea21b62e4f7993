"""What a guest in this process may reach: exactly the folders, variables and input it was given."""

import os
import socket
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.wat import image_of
from wasmdock.inprocess import InProcessRuntime
from wasmdock.runtime import Mount, Outcome, RunRequest, RunResult

NO_ENTRY, NOT_PERMITTED, BAD_DESCRIPTOR = 44, 63, 8  # errno of WASI preview 1


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    """A folder to grant, with a secret beside it."""
    (tmp_path / "secret").write_text("not yours")
    folder = tmp_path / "granted"
    (folder / "inner").mkdir(parents=True)
    (folder / "file").write_text("yours")
    (folder / "inner" / "file").write_text("yours too")
    return folder


def read(runtime: InProcessRuntime, path: str, *mounts: Mount) -> RunResult:
    return runtime.run(sample("read_file"), RunRequest(args=(path,), mounts=mounts))


def write(runtime: InProcessRuntime, path: str, *mounts: Mount) -> RunResult:
    return runtime.run(sample("write_file"), RunRequest(args=(path,), mounts=mounts))


def test_granted_folder_can_be_read(runtime: InProcessRuntime, granted: Path) -> None:
    assert read(runtime, "file", Mount(granted, "/")).stdout == b"yours"
    assert read(runtime, "inner/../inner/file", Mount(granted, "/")).stdout == b"yours too"


def test_granted_folder_can_be_written_to(runtime: InProcessRuntime, granted: Path) -> None:
    assert write(runtime, "new", Mount(granted, "/")).exit_code == 0
    assert (granted / "new").read_text() == "written by a guest\n"


def test_read_only_folder_can_only_be_read(runtime: InProcessRuntime, granted: Path) -> None:
    mount = Mount(granted, "/", read_only=True)
    assert read(runtime, "file", mount).stdout == b"yours"
    for name in ("new", "file"):
        assert write(runtime, name, mount).exit_code == NOT_PERMITTED
    assert ((granted / "file").read_text(), (granted / "new").exists()) == ("yours", False)


@pytest.mark.parametrize("path", ["../secret", "inner/../../secret", "./../granted/../secret", "..", "/etc/passwd"])
def test_path_that_leaves_the_folder_is_refused(runtime: InProcessRuntime, granted: Path, path: str) -> None:
    result = read(runtime, path, Mount(granted, "/"))
    assert (result.exit_code, result.stdout) == (NOT_PERMITTED, b"")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "inner/../../secret", "/proc/self/environ"])
def test_symlink_that_leaves_the_folder_is_refused(runtime: InProcessRuntime, granted: Path, target: str) -> None:
    (granted / "link").symlink_to(target)
    assert read(runtime, "link", Mount(granted, "/")).exit_code == NOT_PERMITTED
    assert write(runtime, "link", Mount(granted, "/")).exit_code == NOT_PERMITTED
    assert (granted.parent / "secret").read_text() == "not yours"


def test_absolute_symlink_into_the_folder_is_refused_too(runtime: InProcessRuntime, granted: Path) -> None:
    (granted / "link").symlink_to(granted / "file")
    assert read(runtime, "link", Mount(granted, "/")).exit_code == NOT_PERMITTED


def test_folder_reached_by_a_symlink_is_refused(runtime: InProcessRuntime, granted: Path) -> None:
    (granted / "up").symlink_to("..", target_is_directory=True)
    assert read(runtime, "up/secret", Mount(granted, "/")).exit_code == NOT_PERMITTED


def test_symlink_within_the_folder_is_followed(runtime: InProcessRuntime, granted: Path) -> None:
    (granted / "link").symlink_to("inner/file")
    assert read(runtime, "link", Mount(granted, "/")).stdout == b"yours too"


def test_missing_file_is_no_such_file(runtime: InProcessRuntime, granted: Path) -> None:
    assert read(runtime, "gone", Mount(granted, "/")).exit_code == NO_ENTRY


def test_guest_without_a_mount_has_no_folder(runtime: InProcessRuntime) -> None:
    for path in (".", "/", "tests", "/etc/passwd"):
        assert read(runtime, path).exit_code == BAD_DESCRIPTOR


def test_each_of_several_folders_has_its_own_mode(runtime: InProcessRuntime, granted: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    mounts = Mount(tmp_path / "other", "/out"), Mount(granted, "/in", read_only=True)
    assert write(runtime, "new", *mounts).exit_code == 0
    assert write(runtime, "new", *reversed(mounts)).exit_code == NOT_PERMITTED
    assert [path.name for path in tmp_path.rglob("new")] == ["new"]


def test_our_environment_is_not_the_guests(runtime: InProcessRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "not yours")
    assert runtime.run(sample("environ"), RunRequest()).stdout == b""


def test_our_stdin_is_not_the_guests(runtime: InProcessRuntime) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"not yours")
    ours = os.dup(0)
    os.dup2(reader, 0)
    try:
        assert runtime.run(sample("cat"), RunRequest()).stdout == b""
    finally:
        os.dup2(ours, 0)
        for descriptor in (reader, writer, ours):
            os.close(descriptor)


def test_our_descriptors_are_not_the_guests(runtime: InProcessRuntime, granted: Path) -> None:
    """Only 0, 1 and 2 are open, whatever this process has open."""
    image = image_of("""(module
      (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (local $fd i32)
        (loop $next
          (if (i32.eqz (call $stat (local.get $fd) (i32.const 64)))
            (then (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))))
          (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $fd) (i32.const 64))))
        (call $exit (i32.load (i32.const 0)))))""")
    with (granted / "file").open(), socket.socket():
        assert runtime.run(image, RunRequest()).exit_code == 3


def test_component_without_grants_has_no_folder(runtime: InProcessRuntime) -> None:
    """A component that asks for the folders it was given: there are none."""
    image = image_of("""(component
      (import "wasi:filesystem/types@0.2.0" (instance $types (export "descriptor" (type (sub resource)))))
      (alias export $types "descriptor" (type $descriptor))
      (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
        (alias outer 1 $descriptor (type $outer)) (export "descriptor" (type $d (eq $outer)))
        (export "get-directories" (func (result (list (tuple (own $d) string)))))))
      (core module $Memory (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
      (core instance $i (instantiate $Memory))
      (alias core export $i "memory" (core memory $memory))
      (alias core export $i "realloc" (core func $realloc))
      (core func $get (canon lower (func $preopens "get-directories") (memory $memory) (realloc (core func $realloc))))
      (core module $Program
        (import "host" "get" (func $get (param i32))) (import "host" "memory" (memory 1))
        (func (export "run") (result i32)
          (call $get (i32.const 16)) (i32.ne (i32.load (i32.const 20)) (i32.const 0))))
      (core instance $program (instantiate $Program (with "host" (instance
        (export "get" (func $get)) (export "memory" (memory $memory))))))
      (func $run (result (result)) (canon lift (core func $program "run")))
      (instance $cli (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $cli)))""")
    result = runtime.run(image, RunRequest())
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 0)


def test_module_has_no_socket(runtime: InProcessRuntime) -> None:
    """Preview 1 has no way to open a socket, only to use one that was granted: none is."""
    image = image_of("""(module
      (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (call $accept (i32.const 3) (i32.const 0) (i32.const 0)))))""")
    assert runtime.run(image, RunRequest()).exit_code == BAD_DESCRIPTOR


def test_component_cannot_open_a_socket(runtime: InProcessRuntime) -> None:
    result = runtime.run(sample("component_socket"), RunRequest())
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 1)
