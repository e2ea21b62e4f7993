"""The HTML report is one page that needs nothing else, says in text what it shows, and lets no name break out."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.test_report import RESULTS, case
from wasmdock.errors import UnavailableError
from wasmdock.plot_canvas import drawing, time_axis
from wasmdock.plot_curves import draw_history
from wasmdock.plot_theme import VARIABLES
from wasmdock.plots import draw_all, draw_png
from wasmdock.report_html import render_html
from wasmdock.report_tables import tables
from wasmdock.results import CaseResult, Density, Results, Throughput, Weight
from wasmdock.stats import Sample

pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install '.[bench]'")

COMMANDS = Results(
    "commands",
    "2026-01-02T03:04:05+00:00",
    7,
    tuple(
        CaseResult(name, "command", "command", "warm", tuple(Sample(number, seconds) for number in range(9)))
        for name, seconds in (("a", 0.0135), ("b", 0.0224))
    ),
)


class Page(HTMLParser):
    """Every tag with its attributes, and the text outside of style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return render_html([replace(RESULTS, created="2026-01-01T00:00:00+00:00"), RESULTS])


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_asks_for_nothing_outside_itself(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")


def test_page_forbids_every_request(page: Page) -> None:
    (policy,) = (each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'")


def test_style_sheet_fetches_nothing(html: str) -> None:
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_every_plot_has_a_text_that_stands_for_it_and_a_table(page: Page) -> None:
    plots = page.all("svg")
    assert len(plots) == 8
    assert all(each["role"] == "img" and len(each["aria-label"]) > 30 for each in plots)
    assert len(page.all("details")) == len(plots)


def test_plot_without_a_table_of_its_own_has_the_main_one() -> None:
    page = Page(render_html([COMMANDS]))
    assert len(page.all("svg")) == len(page.all("details")) == 3
    assert page.text.count("13.5 ms") >= 3


def test_table_without_a_plot_is_on_the_page_too() -> None:
    cases = (replace(RESULTS.cases[0], parts={"section code": 40_000}), *RESULTS.cases[1:])
    text = Page(render_html([replace(RESULTS, cases=cases)])).text
    assert "Layers and sections" in text
    assert "section code" in text


def test_title_says_what_was_measured() -> None:
    assert "<h1>hello-world: Wasm and native, measured</h1>" in render_html([RESULTS])
    assert "<h1>commands, measured</h1>" in render_html([COMMANDS])


def test_page_names_the_machine_and_all_the_rest_it_rests_on() -> None:
    text = Page(render_html([replace(RESULTS, environment={})])).text
    assert "shuffled by seed 42" in text
    assert "Abacus 3000" in Page(render_html([RESULTS])).text


def test_alternative_text_says_the_numbers() -> None:
    assert "native, slim (warm) 255 ms" in draw_all(RESULTS)[0].alt


def test_page_fits_a_phone(page: Page) -> None:
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert all("width" not in each for each in page.all("svg"))


def test_text_of_plots_is_10_pixels_high_on_a_phone(html: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        (width,) = re.findall(r'viewBox="0 0 ([\d.]+) ', svg)
        sizes = re.findall(r"font(?:-size)?: (?:[a-z]+ )*([\d.]+)px", svg)
        assert min(map(float, sizes)) * (390 - 32) / float(width) >= 10


def test_name_of_a_case_is_cut_where_it_is_wider_than_the_plot() -> None:
    results = replace(COMMANDS, cases=(replace(COMMANDS.cases[0], name="long " * 30),))
    svg = draw_all(results)[0].svg
    assert "\u2026</text>" in svg
    assert max(map(len, re.findall(r">([^<]*)</text>", svg))) <= 50


def test_name_of_a_case_is_no_formula() -> None:
    results = replace(COMMANDS, subject="a $x^{$", cases=(replace(COMMANDS.cases[0], name="$PATH: $x^{$"),))
    assert ">$PATH: $x^{$ (warm)</text>" in draw_all(results)[0].svg
    assert draw_png(results)


def test_name_of_a_case_may_begin_as_what_a_legend_hides() -> None:
    density = (Density("_hidden", 100, ((1, 50, 0.1), (2, 100, 0.2)), 50),)
    (drawn,) = (plot for plot in draw_all(replace(COMMANDS, density=density)) if plot.title == "Density")
    assert "_hidden</text>" in drawn.svg


@pytest.mark.filterwarnings("error")
def test_curves_of_many_cases_have_room_beside_their_names() -> None:
    names = [f"case {number}" for number in range(20)]
    density = tuple(Density(name, 100, ((1, 50, 0.1), (2, 100, 0.2)), 50) for name in names)
    throughput = tuple(Throughput(name, at, 10.0 * at, None, None, None) for name in names for at in (1, 8))
    drawn = {plot.title: plot for plot in draw_all(replace(COMMANDS, density=density, throughput=throughput))}
    assert all(f">{name}</text>" in drawn[title].svg for name in names for title in ("Density", "Throughput"))


def test_curve_of_nothing_is_not_drawn() -> None:
    nothing = (Density("a", 100, ((0, 0, 0.0), (1, 0, 0.1)), 0), Density("b", 100, (), 0))
    failed = (Throughput("a", 1, 0.0, None, None, None, 3),)
    drawn = [plot.title for plot in draw_all(replace(COMMANDS, density=nothing, throughput=failed))]
    assert not {"Density", "Throughput"}.intersection(drawn)


@pytest.mark.parametrize("high", [0.011, 0.02, 0.05, 0.2, 1.0, 30.0, 1e5])
def test_axis_has_some_labels_and_not_too_many(high: float) -> None:
    with drawing() as new:
        figure, axes = new(1.0)
        axes.set_xscale("log")
        axes.set_xlim(0.01, high)
        time_axis(axes.xaxis)
        figure.draw_without_rendering()
        shown = [tick for tick in axes.get_xticks() if 0.01 <= tick <= high]
    assert 2 <= len(shown) <= 8


def test_phase_has_one_colour_in_bars_and_legend() -> None:
    svg = draw_all(RESULTS)[0].svg
    assert set(re.findall(r"var\(--(c\d)\)", svg)) == {"c4", "c6"}  # run, and what is not told apart


def test_plots_take_their_colours_from_the_page_so_that_it_can_be_dark(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert not [colour for colour in VARIABLES if colour in html]
    assert html.count("var(--ink)") > 50


def test_ids_are_unique_on_the_page(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_name_of_a_case_cannot_become_part_of_the_page() -> None:
    evil = '<script>alert(1)</script>" onload="x'
    results = replace(RESULTS, subject=evil, cases=(replace(RESULTS.cases[0], name=evil), *RESULTS.cases[1:]))
    text = render_html([results])
    assert "<script" not in text
    assert not any("onload" in attributes for _, attributes in Page(text).tags)


def test_history_needs_two_benchmarks() -> None:
    assert draw_history([RESULTS]) is None
    assert draw_history([RESULTS, RESULTS]) is not None


def test_page_of_nothing_measured_is_still_a_page() -> None:
    assert "<h1>" in render_html([Results("nothing", "2026-01-01T00:00:00+00:00", 0, ())])


def test_case_that_failed_is_named_and_breaks_no_plot() -> None:
    failed = replace(case("broken", "warm", 1.0), samples=(), dropped="no shim")
    assert "broken (warm) was given up: no shim" in Page(render_html([replace(RESULTS, cases=(failed,))])).text


def chromium() -> str:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on PATH")
    return browser


def test_chromium_shows_the_page_without_a_complaint_or_a_request(html: str, tmp_path: Path) -> None:
    browser = chromium()
    (tmp_path / "r.html").write_text(html)
    log, shot = tmp_path / "net.json", tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path}/p"]
    flags += ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    flags += ["--window-size=400,4000", f"--log-net-log={log}"]
    done = subprocess.run(
        [browser, *flags, f"--screenshot={shot}", f"file://{tmp_path}/r.html"], capture_output=True, timeout=120
    )
    assert shot.read_bytes().startswith(b"\x89PNG"), done.stderr
    assert b"CONSOLE" not in done.stderr
    asked = set(re.findall(r'"url": ?"(?!file:|data:|chrome)([^"]*)"', log.read_text()))
    browsers_own = re.compile(r"//[^/]*(google|gvt1|gstatic)")
    assert not [url for url in asked if not browsers_own.search(url)]


def test_page_prints_the_tables_that_are_folded_away(html: str, tmp_path: Path) -> None:
    browser, reader = chromium(), shutil.which("pdftotext")
    if reader is None:
        pytest.skip("no pdftotext on PATH (poppler-utils)")
    (tmp_path / "r.html").write_text(html)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/p"]
    argv = [browser, *flags, f"--print-to-pdf={tmp_path}/r.pdf", f"file://{tmp_path}/r.html"]
    subprocess.run(argv, capture_output=True, timeout=120)
    text = subprocess.run([reader, tmp_path / "r.pdf", "-"], capture_output=True, timeout=60).stdout.decode()
    for column in ("outliers", "over 10 Mbit/s", "to start them", "counted by"):
        assert column in re.sub(r"\s+", " ", text)


def test_png_is_one() -> None:
    assert draw_png(RESULTS).startswith(b"\x89PNG")


def test_png_of_nothing_that_succeeded_is_refused_in_a_line() -> None:
    failed = replace(case("broken", "warm", 1.0), samples=(), dropped="no such program")
    with pytest.raises(UnavailableError, match="no case succeeded, so there is nothing to draw"):
        draw_png(replace(RESULTS, cases=(failed,)))


def test_memory_is_the_same_in_plot_and_table() -> None:
    weighed = replace(RESULTS.cases[2], weights=(Weight(1_000_000), Weight(9_000_000)), weighed_by="cgroup: x")
    results = replace(RESULTS, cases=(weighed,))
    (plot,) = (each for each in draw_all(results) if each.table == "Memory")
    (table,) = (each for each in tables(results) if each.title == "Memory")
    assert table.rows[0][1] == "1.00 MB"
    assert "1.00 MB" in plot.alt
