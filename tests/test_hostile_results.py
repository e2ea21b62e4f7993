"""Results of unknown origin: what cannot have been measured is refused, and what is shown does nothing but show."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine
from tests.test_report import RESULTS
from wasmdock import claims
from wasmdock.errors import UsageError
from wasmdock.report import render_csv, render_markdown, render_text, text_bars
from wasmdock.results import from_document, read_results, to_document

HUGE = 10**400


def crafted(change: Callable[[Any], object]) -> Any:
    """The document of results, changed."""
    document = json.loads(json.dumps(to_document(RESULTS)))
    change(document)
    return document


def sample(**more: object) -> Callable[[Any], object]:
    return lambda document: document["cases"][0]["samples"][0].update(more)


@pytest.mark.parametrize(
    "change",
    [
        sample(phases={"run": "nan"}),
        sample(phases={"run": -5}),
        sample(phases={"run": "inf"}),
        sample(memory=HUGE),
        sample(memory=-4),
        sample(memory="many"),
        sample(seconds=1e308),
        sample(seconds="1"),
        sample(seconds=True),
        sample(round=-3),
        sample(round=10**30),
        lambda document: document["cases"][0]["sizes"].update(packed=HUGE),
        lambda document: document["cases"][0]["sizes"].update(packed=-5),
        lambda document: document["cases"][0]["parts"].update(layer=HUGE),
        lambda document: document["cases"][0].update(weights=[{"peak": HUGE, "steady": None}]),
        lambda document: document["density"][0].update(curve=[[-1, -5, 0]]),
        lambda document: document["density"][0].update(per_instance=HUGE),
        lambda document: document["throughput"][0].update(concurrency=0),
        lambda document: document["throughput"][0].update(failures=-1),
    ],
)
def test_what_cannot_have_been_measured_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(UsageError, match="not the form of"):
        from_document(crafted(change))


NAME = "\x1b[31mred\x07\n<img src=x>|[a](b) \ud800"


def test_names_do_nothing_to_a_terminal_and_are_no_markup() -> None:
    results = from_document(
        crafted(
            lambda document: (
                document.update(subject=f"<script>{NAME}", command=["wasmdock", NAME], environment={NAME: NAME}),
                document["cases"][0].update(name=NAME, dropped=NAME, weighed_by=f"{NAME}: {NAME}"),
                [each.update(phases={NAME: 1.0}, failure=NAME) for each in document["cases"][0]["samples"][:5]],
                document["left_out"][0].update(what=NAME, why=NAME),
            )
        )
    )
    for text in (render_text(results, full=True), text_bars(results), render_csv(results)):
        assert all(char == "\n" or char.isprintable() for char in text)
        assert "\\x1b[31mred\\x07\\n<img src=x>" in text
        assert text.encode()
    text = render_markdown(results)
    assert all(char == "\n" or char.isprintable() for char in text)
    assert not {"<script", "<img", " [a](b)"} & {part for part in ("<script", "<img", " [a](b)") if part in text}


def test_names_are_no_markup_of_a_page() -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install '.[bench]'")
    from wasmdock.report_html import render_html

    results = from_document(crafted(lambda document: document["cases"][0].update(name=NAME)))
    page = render_html([results])
    assert "\x1b" not in page
    assert "<img" not in page
    assert page.encode()


@pytest.mark.parametrize("read", [read_results, claims.read_claims])
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device_is_no_file_of_results(read: Callable[[Path], object], device: str) -> None:
    with pytest.raises(UsageError, match=f'"{device}": a device, and no file'):
        read(Path(device))


def test_results_and_claims_that_are_too_large_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2 << 20)
    with pytest.raises(UsageError, match=r"larger than 1 MiB"):
        claims.read_claims(large)


def test_results_come_through_a_pipe(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(to_document(RESULTS)))
    done = wasmdock.shell(f"cat {path} | wasmdock report /dev/stdin")
    assert (done.code, "wasm, in-process" in done.text) == (0, True)


def test_case_whose_name_is_no_text_is_refused(wasmdock: CommandLine) -> None:
    done = wasmdock.shell("wasmdock bench --case $(printf 'a\\377=true') --rounds 1")
    assert (done.code, "Traceback" in done.stderr, "not UTF-8" in done.stderr) == (2, False, True)


@pytest.mark.filterwarnings("error")
def test_cases_that_took_no_time_are_drawn_on_another_scale() -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install '.[bench]'")
    from wasmdock.plots import draw_all

    def stop(document: Any) -> None:
        for case in document["cases"]:
            for each in case["samples"]:
                each["seconds"] = 0

    titles = [plot.title for plot in draw_all(from_document(crafted(stop)))]
    assert titles[:3] == ["Start-up, logarithmic", "Start-up, linear", "Distributions"]
