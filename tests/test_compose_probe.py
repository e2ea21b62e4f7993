"""Health checks by curl and wget read as the request they are, and files granted to guests as folders."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from wasmdock.compose_granted import Granted, granted_mounts
from wasmdock.compose_probe import Probe, read_probe
from wasmdock.errors import UsageError
from wasmdock.runtime import Mount

READ = [
    ("CMD curl -f http://localhost:8080/health", Probe("/health", 8080)),
    ("CMD curl http://localhost:8080", Probe("/", 8080, strict=False)),
    ("CMD /usr/bin/curl -fsS -o /dev/null --max-time 3 http://127.0.0.1:8080/a?b=c", Probe("/a?b=c", 8080)),
    ("CMD curl -sfI localhost", Probe("/", 80, "HEAD")),
    ("CMD wget -q -O- http://a:8080/", Probe("/", 8080)),
    ("CMD wget --spider --tries=1 http://0.0.0.0:8080/x", Probe("/x", 8080, "HEAD")),
]
SHELL = [
    ("curl -f http://localhost:8080/ || exit 1", Probe("/", 8080)),
    ("curl --fail --silent 'http://localhost:8080/a b' > /dev/null 2>&1 || false", Probe("/a b", 8080)),
    ("wget -qO /dev/null http://localhost:8080/ || exit 1", Probe("/", 8080)),
]
NOT_READ = [
    "CMD curl -f http://elsewhere:8080/",
    "CMD curl -f https://localhost:8080/",
    "CMD curl -X POST http://localhost:8080/",
    "CMD curl -f http://localhost:8080/ http://localhost:8080/other",
    "CMD pg_isready",
    "CMD",
]


@pytest.mark.parametrize("text, probe", READ, ids=[row[0] for row in READ])
def test_request_to_itself_is_read(text: str, probe: Probe) -> None:
    assert read_probe(text.split(), "a") == probe


@pytest.mark.parametrize("line, probe", SHELL, ids=[row[0] for row in SHELL])
def test_shell_line_with_one_request_is_read(line: str, probe: Probe) -> None:
    assert read_probe(["CMD-SHELL", line], "a") == probe


@pytest.mark.parametrize("text", NOT_READ)
def test_anything_else_is_not_taken_for_a_request(text: str) -> None:
    assert read_probe(text.split(), "a") is None


@pytest.mark.parametrize("line", ["curl -f localhost && curl -f localhost/b", "curl -f 'localhost", "curl $(x)"])
def test_shell_program_is_not_taken_for_a_request(line: str) -> None:
    assert read_probe(["CMD-SHELL", line], "a") is None


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/ill" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_status_of_400_and_above_is_ill_where_curl_is_told_to_fail(port: int) -> None:
    assert Probe("/", 8080).is_answered("127.0.0.1", port)
    assert not Probe("/ill", 8080).is_answered("127.0.0.1", port)
    assert Probe("/ill", 8080, strict=False).is_answered("127.0.0.1", port)


def test_files_lie_in_folders_that_hold_nothing_else(tmp_path: Path) -> None:
    files = [
        Granted(PurePosixPath("/etc/app/a.conf"), "c.yaml:1", b"a"),
        Granted(PurePosixPath("/etc/app/b.conf"), "c.yaml:2", b"b"),
        Granted(PurePosixPath("/top"), "c.yaml:3", b"t"),
    ]
    mounts = granted_mounts(files, tmp_path, [])
    assert [(each.guest, each.read_only) for each in mounts] == [("/etc/app", True), ("/", True)]
    assert sorted(each.name for each in mounts[0].host.iterdir()) == ["a.conf", "b.conf"]
    assert [each.guest for each in granted_mounts(files[:1], tmp_path, [])] == ["/etc/app"]
    assert [each.name for each in mounts[0].host.iterdir()] == ["a.conf"]


def test_mounted_file_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("before")
    granted = Granted(PurePosixPath("/data/f"), "c.yaml:1", file=tmp_path / "f", read_only=False)
    (mount,) = granted_mounts([granted], tmp_path / "place", [])
    (mount.host / "f").write_text("after")
    assert ((tmp_path / "f").read_text(), mount.read_only) == ("after", False)


def test_file_in_a_folder_that_is_mounted_itself_is_refused(tmp_path: Path) -> None:
    granted = Granted(PurePosixPath("/data/f"), "c.yaml:1", b"x")
    with pytest.raises(UsageError, match=r"c.yaml:1: .* is mounted itself"):
        granted_mounts([granted], tmp_path, [Mount(tmp_path, "/data")])


def test_file_for_writing_on_another_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", elsewhere)
    (tmp_path / "f").write_text("x")
    target = PurePosixPath("/data/f")
    (mount,) = granted_mounts([Granted(target, "c:1", file=tmp_path / "f")], tmp_path / "place", [])
    assert (mount.host / "f").read_text() == "x"
    with pytest.raises(UsageError, match="for writing"):
        granted_mounts([Granted(target, "c:1", file=tmp_path / "f", read_only=False)], tmp_path / "place", [])
