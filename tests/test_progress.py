"""The line that shows how far a transfer has come."""

import re
import threading

import pytest

from wasmdock.cli import progress
from wasmdock.cli.context import Context
from wasmdock.cli.progress import Bar, progress_of
from wasmdock.cli.toolchain import telling
from wasmdock.oci.registry_giving import Silence


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """What is drawn, with nothing left out to save time."""
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    return capsys


def test_the_line_tells_how_much_of_how_much(shown: pytest.CaptureFixture[str]) -> None:
    bar = Bar("pulling x")
    bar.expect(4_000_000)
    bar.moved(1_000_000)
    line = shown.readouterr().err
    assert re.fullmatch(r"\r\x1b\[Kpulling x  1\.0 of 4\.0 MB  [0-9.]+ MB/s", line)


def test_the_line_is_gone_at_the_end(shown: pytest.CaptureFixture[str]) -> None:
    bar = Bar("pulling x")
    bar.moved(1)
    bar.clear()
    assert shown.readouterr().err.endswith("\r\x1b[K")


def test_a_short_transfer_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("pulling x")
    bar.moved(1)
    bar.clear()
    assert capsys.readouterr().err == ""


def test_threads_are_counted_together(shown: pytest.CaptureFixture[str]) -> None:
    bar = Bar("x")

    def move() -> None:
        for _ in range(1000):
            bar.moved(1000)

    threads = [threading.Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "4.0 of" in shown.readouterr().err.rpartition("\r")[2]


def test_nobody_is_shown_anything_without_a_terminal() -> None:
    with progress_of("x", Context({})) as found:
        assert isinstance(found, Silence)


def test_toolchain_off_a_terminal_is_announced_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell = telling(Context({}), "building x for wasip1")
    tell(b"   Compiling a\n")
    tell(b"   Compiling b\n")
    assert capsys.readouterr().err == "wasmdock: building x for wasip1: the first time this may take minutes\n"


def test_later_builds_are_not_said_to_take_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    telling(Context({}), "building x for wasip1", first=False)(b"   Compiling a\n")
    assert capsys.readouterr().err == "wasmdock: building x for wasip1\n"
