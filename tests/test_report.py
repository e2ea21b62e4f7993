"""Results read well as text, Markdown, CSV and JSON, and JSON is read back."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from wasmdock import claims
from wasmdock.budget import judge, parse_budget
from wasmdock.errors import UsageError
from wasmdock.report import (
    contrasts,
    failures,
    footing,
    regressions,
    render_csv,
    render_markdown,
    render_text,
    sentence,
    sentences,
    unjudged,
)
from wasmdock.report_ranking import ranking
from wasmdock.report_tables import base_name, seconds, size, tables
from wasmdock.results import (
    CaseResult,
    Density,
    LeftOut,
    Results,
    Throughput,
    Weight,
    read_results,
    schema,
    to_document,
    to_json,
)
from wasmdock.stats import CONFIDENCE, Sample


def case(
    name: str, start: str, centre: float, packed: int = 0, rounds: int = 20, program: str = "wasm", wobble: float = 0.01
) -> CaseResult:
    samples = tuple(
        Sample(
            number,
            round(centre * (1 + wobble * (number % 5)), 9),
            {"run": centre / 2, "compile": None},
            memory=1_114_112,
        )
        for number in range(rounds)
    )
    return CaseResult(name, program, "process", start, samples, {"packed": packed} if packed else {})


RESULTS = Results(
    subject="hello-world",
    created="2026-01-02T03:04:05+00:00",
    seed=42,
    cases=(
        case("wasm, in-process", "hot", 58e-6, 20_000),
        case("wasm, in-process", "cold", 4e-3, 20_000),
        case("native, slim", "warm", 0.25, 31_000_000, program="native"),
        case("native, slim", "cold", 0.9, 31_000_000, program="native"),
    ),
    command=("wasmdock", "bench", "my folder"),
    overhead=70e-9,
    environment={"cpu": "Abacus 3000", "cores": "2", "governor": ""},
    left_out=(LeftOut("wasm, docker", "no shim"),),
    density=(Density("wasm, in-process", 2 << 30, ((1, 1_000_000, 0.0), (100, 9_000_000, 0.5)), 80_000, "the limit"),),
    throughput=(Throughput("wasm, in-process", 8, 12_345.6, 1e-3, 2e-3, 3e-3),),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (58.2e-6, "58.2 us"),
        (0.004312, "4.31 ms"),
        (0.99996, "1.00 s"),
        (75.4, "75.4 s"),
        (4e-8, "40 ns"),
        (None, "unknown"),
    ],
)
def test_seconds_are_written_with_three_digits(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(999, "999 B"), (19_100, "19.1 kB"), (31_300_000, "31.3 MB"), (None, "-")])
def test_sizes_are_written_in_powers_of_1000(value: int | None, text: str) -> None:
    assert size(value) == text


def test_overview_has_a_row_per_case_and_a_column_per_start() -> None:
    table = tables(RESULTS)[0]
    assert table.columns == ("case", "image", "of base", "cold start", "warm start", "hot start")
    assert table.rows[0] == ("wasm, in-process", "20.0 kB", "1/1,550", "4.08 ms", "-", "59.2 us")
    assert table.rows[1] == ("native, slim", "31.0 MB", "-", "918 ms", "255 ms", "-")


def test_image_as_large_as_the_base_is_said_to_be_the_same() -> None:
    cases = (case("native", "warm", 1.0, 1000, program="native"), case("other", "warm", 1.0, 1000))
    assert [row[2] for row in tables(replace(RESULTS, cases=cases))[0].rows] == ["-", "the same"]


def test_one_image_on_two_roads_is_not_compared_with_itself() -> None:
    roads = (case("wasm, in-process", "hot", 1.0, 1000), case("wasm, docker", "warm", 1.0, 1000))
    cases = tuple(replace(each, digest="ab") for each in roads)
    assert [row[2] for row in tables(replace(RESULTS, cases=cases))[0].rows] == ["-", "-"]


def test_case_without_a_run_has_not_failed() -> None:
    cases = (case("a", "warm", 1.0, rounds=0), replace(case("b", "warm", 1.0, rounds=0), dropped="no such program"))
    assert [row[1] for row in tables(replace(RESULTS, cases=cases))[0].rows] == ["not measured", "failed"]


def test_text_has_the_tables_that_were_asked_for() -> None:
    text = render_text(RESULTS)
    titles = ("hello-world: medians", "Density", "Throughput", "wasm, in-process (hot) is 4,310 times faster")
    assert [block for block in text.split("\n\n") if block.startswith(titles)] == text.split("\n\n")[:4]
    assert "wasm, in-process, 8 at once    12,345.6" in text


def test_text_says_machine_seed_overhead_and_how_to_repeat_it() -> None:
    text = render_text(RESULTS)
    for part in ("Abacus 3000", "seed 42", "20 rounds", "adds 70 ns", "wasmdock bench 'my folder'"):
        assert part in text
    assert "governor" not in text


def test_footing_names_the_level_of_the_intervals_and_so_does_the_readme() -> None:
    level = f"{CONFIDENCE * 100:g} %"
    assert f"intervals: {level}, by bootstrap" in "\n".join(footing(RESULTS))
    assert f"{level} bootstrap intervals" in (Path(__file__).parent.parent / "README.md").read_text()


def test_text_names_what_was_left_out_and_why() -> None:
    assert "left out: wasm, docker: no shim" in sentences(RESULTS)


def test_hot_start_is_compared_with_the_warm_start_of_the_base() -> None:
    assert base_name(RESULTS) == "native, slim"
    found = {each.case.start: each.base.start for each in contrasts(RESULTS)}
    assert found == {"hot": "warm", "cold": "cold"}


def test_faster_is_said_in_times_with_its_interval() -> None:
    assert sentences(RESULTS)[0].startswith("wasm, in-process (hot) is 4,310 times faster (4,")


def test_cases_of_several_apps_are_each_compared_with_their_own_base() -> None:
    cases = tuple(
        replace(case(f"{app}: {program}", "warm", centre, 1000, program=program), subject=app)
        for app, program, centre in [
            ("a", "wasm", 1.0),
            ("a", "native", 2.0),
            ("b", "wasm", 10.0),
            ("b", "native", 40.0),
        ]
    )
    found = contrasts(replace(RESULTS, cases=cases))
    assert {each.case.name: each.base.name for each in found} == {"a: wasm": "a: native", "b: wasm": "b: native"}


def test_busy_machine_is_warned_of() -> None:
    busy = replace(RESULTS, environment={"load": "3.2", "cores": "2"})
    assert "warning: the machine was busy (load 3.2 on 2 cores): run it again when it is quiet" in sentences(busy)


def test_layers_and_sections_have_a_table() -> None:
    cases = (replace(RESULTS.cases[0], parts={"layer 1": 19_100, "section code": 40_000}),)
    table = next(each for each in tables(replace(RESULTS, cases=cases)) if each.title == "Layers and sections")
    assert table.rows[1] == ("wasm, in-process: section code", "40.0 kB")


def test_noisy_cases_get_no_winner() -> None:
    cases = (case("a", "warm", 1.0, rounds=3), case("b", "warm", 2.0, rounds=3))
    assert sentences(replace(RESULTS, cases=cases, left_out=())) == [
        "b (warm) and a (warm) cannot be told apart: 3 rounds are too few to tell: 8 at least"
    ]


def test_cases_that_cannot_be_told_apart_say_between_what_they_may_differ() -> None:
    cases = tuple(case(name, "warm", centre, wobble=0.1) for name, centre in (("a", 1.0), ("b", 1.08)))
    swapped = replace(cases[1], samples=tuple(reversed([replace(each) for each in cases[1].samples])))
    shifted = replace(swapped, samples=tuple(replace(each, round=n) for n, each in enumerate(swapped.samples)))
    (said,) = sentences(replace(RESULTS, cases=(cases[0], shifted), left_out=()))
    assert re.fullmatch(r"b \(warm\) and a \(warm\) cannot be told apart \(between -\d+\.\d % and \+\d+\.\d %\)", said)


def test_runs_that_failed_are_said_to_have_failed() -> None:
    cases = (case("a", "warm", 1.0), failing(case("b", "warm", 1.0), 9))
    said = sentences(replace(RESULTS, cases=cases, left_out=()))
    assert "b (warm): 9 of 20 runs failed and are not timed: exit code 1" in said


def test_many_cases_without_a_winner_for_one_reason_share_a_sentence() -> None:
    cases = tuple(case(name, "warm", 1.0, rounds=3) for name in "abcd")
    assert sentences(replace(RESULTS, cases=cases, left_out=())) == [
        "3 comparisons name no winner: 3 rounds are too few to tell: 8 at least"
    ]


def test_density_beyond_its_limit_in_older_results_is_not_shown() -> None:
    found = Density("a", 1000, ((1, 400, 0.1), (2, 900, 0.2), (3, 1400, 0.3)), 500, "the memory limit")
    (table,) = (each for each in tables(replace(RESULTS, density=(found,))) if each.title == "Density")
    assert table.rows == (("a", "2", "900 B", "500 B", "200 ms", "the memory limit"),)
    assert "after their command has ended" in table.note


def test_memory_says_who_counted_it() -> None:
    weighed = replace(
        RESULTS.cases[2], weights=(Weight(3_000_000, 2_000_000), Weight(5_000_000)), weighed_by="cgroup: x"
    )
    table = next(each for each in tables(replace(RESULTS, cases=(RESULTS.cases[0], weighed))) if each.title == "Memory")
    assert table.rows == (
        ("wasm, in-process (hot)", "1.11 MB", "1.11 MB", "-", "linear memory"),
        ("native, slim (warm)", "3.00 MB", "5.00 MB", "2.00 MB", "cgroup"),
    )
    assert "cgroup: x" in table.note


def test_layers_of_one_image_on_two_roads_are_listed_once() -> None:
    parts = {"layer 1": 19_100}
    cases = (replace(RESULTS.cases[0], parts=parts), replace(RESULTS.cases[1], name="wasm, docker", parts=parts))
    table = next(each for each in tables(replace(RESULTS, cases=cases)) if each.title == "Layers and sections")
    assert [row[0] for row in table.rows] == ["wasm, in-process: layer 1"]


def test_ranking_is_the_same_where_no_benchmark_is_sure_of_another_order() -> None:
    first = replace(RESULTS, cases=(case("a", "warm", 1.0), case("b", "warm", 1.001), case("c", "warm", 2.0)))
    second = replace(RESULTS, cases=(case("a", "warm", 1.001), case("b", "warm", 1.0), case("c", "warm", 2.0)))
    assert ranking([first, second]) == [
        "the same ranking of 3 cases in 2 benchmarks",
        "too close to rank: a (warm) and b (warm)",
    ]


def test_ranking_that_another_benchmark_contradicts_is_named() -> None:
    first = replace(RESULTS, cases=(case("a", "warm", 1.0), case("b", "warm", 2.0)))
    second = replace(RESULTS, cases=(case("a", "warm", 2.0), case("b", "warm", 1.0)))
    assert ranking([first, second]) == ["ranked otherwise: a (warm) and b (warm)"]


def test_nothing_is_ranked_by_too_few_rounds() -> None:
    first = replace(RESULTS, cases=(case("a", "warm", 1.0, rounds=7), case("b", "warm", 10.0, rounds=7)))
    second = replace(RESULTS, cases=(case("a", "warm", 10.0, rounds=7), case("b", "warm", 1.0, rounds=7)))
    assert ranking([first, second]) == [
        "no ranking can be compared: no two cases of one app can be ranked",
        "not ranked: a (warm): 7 rounds are too few to tell: 8 at least",
        "not ranked: b (warm): 7 rounds are too few to tell: 8 at least",
    ]


@pytest.mark.parametrize("here", [0, 1])
def test_case_that_is_missing_from_a_benchmark_is_named(here: int) -> None:
    cases = tuple(case(name, "warm", centre) for name, centre in (("a", 1.0), ("b", 2.0), ("c", 3.0)))
    both = [replace(RESULTS, cases=cases), replace(RESULTS, cases=cases[:2])]
    assert ranking([both[here], both[1 - here]]) == [
        "the same ranking of 2 cases in 2 benchmarks",
        "not ranked: c (warm): it was not measured in 1 of 2 benchmarks",
    ]


def test_publishing_wants_the_sentence_that_a_ranking_is_the_same_and_no_case_left_out() -> None:
    script = (Path(__file__).parent.parent / "scripts" / "publish-bench").read_text()
    (refused,), (wanted,) = (re.findall(f"grep {flag} '(.*?)'", script) for flag in ("-E", "-q"))
    cases = tuple(case(name, "warm", centre) for name, centre in (("a", 1.0), ("b", 2.0)))
    same, other = (replace(RESULTS, cases=each) for each in (cases, (*cases, case("c", "warm", 3.0))))
    few = replace(RESULTS, cases=tuple(case(each.name, "warm", 1.0, rounds=7) for each in cases))
    passes = []
    for many in ([same] * 3, [same, same, other], [few] * 3):
        said = "\n".join(ranking(many))
        passes.append(bool(re.search(wanted, said, re.MULTILINE)) and not re.search(refused, said, re.MULTILINE))
    assert passes == [True, False, False]


def test_wasm_that_loses_is_said_to_lose() -> None:
    cases = (case("native", "warm", 1.0, program="native"), case("wasm", "warm", 2.0))
    assert "wasm (warm) is 2.00 times slower" in sentences(replace(RESULTS, cases=cases))[0]


def test_phase_that_cannot_be_seen_is_unknown() -> None:
    table = next(table for table in tables(RESULTS) if table.title.startswith("Phases"))
    assert table.columns == ("case", "compile", "run")
    hot, cold, native = (row[1] for row in table.rows[:3])
    assert (hot, cold, native) == ("-", "unknown", "-")  # a hot start compiles nothing, nor does a native program


def test_full_text_has_every_table() -> None:
    text = render_text(RESULTS, full=True)
    for title in ("Distributions", "Phases", "Sizes", "Memory", "Density", "Throughput"):
        assert title in text


def test_time_over_a_link_is_computed_from_the_packed_size() -> None:
    table = next(table for table in tables(RESULTS) if table.title == "Sizes")
    assert table.rows[1] == ("native, slim", "31.0 MB", "24.8 s", "2.48 s", "248 ms")
    assert "computed" in table.note


def test_markdown_is_a_table_with_the_rest_folded_away() -> None:
    text = render_markdown(RESULTS)
    assert "| case | image | of base | cold start | warm start | hot start |" in text
    assert "<details><summary>Distributions</summary>" in text


def test_markdown_of_a_name_with_a_bar_stays_a_table() -> None:
    cases = (replace(RESULTS.cases[0], name="a|b<c"),)
    assert "a\\|b&lt;c" in render_markdown(replace(RESULTS, cases=cases))


def test_csv_has_a_line_per_sample_and_a_column_per_phase() -> None:
    lines = list(csv.DictReader(io.StringIO(render_csv(RESULTS))))
    assert len(lines) == 80
    assert lines[0]["case"] == "wasm, in-process"
    assert (float(lines[0]["phase run"]), lines[0]["phase compile"]) == (29e-6, "")


def test_json_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(to_json(RESULTS))
    assert read_results(path) == RESULTS


def test_samples_are_written_to_the_nanosecond() -> None:
    odd = replace(case("a", "warm", 1.0), samples=(Sample(0, 0.1 + 0.2, {"run": 1e-4 / 3}),))
    (written,) = json.loads(to_json(replace(RESULTS, cases=(odd,))))["cases"]
    assert (written["samples"][0]["seconds"], written["samples"][0]["phases"]) == (0.3, {"run": 0.000033333})


@pytest.mark.parametrize("name", ["@0@", '\n   "samples": null'])
def test_name_of_a_case_may_be_any_text(name: str, tmp_path: Path) -> None:
    results = replace(RESULTS, cases=(case(name, "warm", 1.0), case("b", "warm", 2.0)))
    path = tmp_path / "results.json"
    path.write_text(to_json(results))
    assert read_results(path) == results


@pytest.mark.parametrize("results", [RESULTS, Results("nothing", "2026-01-01T00:00:00+00:00", 0, ())])
def test_json_keeps_to_the_published_schema(results: Results) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked by jsonschema: pip install '.[dev]'")
    jsonschema.Draft202012Validator.check_schema(schema())
    weighed = [replace(each, weights=(Weight(5), Weight(6, 4)), weighed_by="cgroup") for each in results.cases]
    jsonschema.validate(json.loads(to_json(results.with_cases(weighed))), schema())


def test_quantile_that_nobody_knows_is_null_and_read_back(tmp_path: Path) -> None:
    results, path = replace(RESULTS, throughput=(Throughput("a", 1, 0.0, None, None, None, 3),)), tmp_path / "r.json"
    path.write_text(to_json(results))
    assert read_results(path) == results
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked by jsonschema: pip install '.[dev]'")
    jsonschema.validate(json.loads(path.read_text()), schema())


def test_schema_describes_every_key() -> None:
    document, known = to_document(RESULTS), schema()
    cases, definitions = document["cases"][0], known["$defs"]
    assert set(document) == set(known["properties"])
    assert set(cases) == set(definitions["case"]["properties"])
    assert set(cases["samples"][0]) == set(definitions["sample"]["properties"])
    assert set(cases["summary"]) == set(definitions["summary"]["required"])


def test_json_names_its_schema_and_carries_summaries() -> None:
    document = json.loads(to_json(RESULTS))
    assert document["schema"] == "wasmdock.bench/1"
    assert document["cases"][0]["summary"]["n"] == 20


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"schema": "wasmdock.bench/1", "cases": 3}'])
def test_file_that_is_no_results_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="other.json"):
        read_results(path)


def test_regression_beyond_the_allowance_is_found() -> None:
    slower = replace(RESULTS, cases=(case("wasm, in-process", "hot", 70e-6),))
    compared, worse = regressions(RESULTS, slower, 0.10)
    assert len(compared) == len(worse) == 1


def test_regression_within_the_allowance_passes() -> None:
    slower = replace(RESULTS, cases=(case("wasm, in-process", "hot", 61e-6),))
    assert regressions(RESULTS, slower, 0.10)[1] == []


def failing(of: CaseResult, times: int) -> CaseResult:
    samples = [replace(each, failure="exit code 1") if each.round < times else each for each in of.samples]
    return replace(of, samples=tuple(samples))


def test_case_that_has_gone_or_fails_now_is_named() -> None:
    known = [case(name, "warm", 1.0) for name in ("gone", "left", "given up", "failing", "sound")]
    now = [replace(known[2], samples=(), dropped="no shim"), failing(known[3], 20), known[4]]
    said = failures(
        replace(RESULTS, cases=tuple(known)),
        replace(RESULTS, cases=tuple(now), left_out=(LeftOut("left", "no engine"),)),
    )
    assert said == [
        "gone (warm) is no longer measured: there is no case of that name",
        "left (warm) is no longer measured: no engine",
        "given up (warm) is given up now: no shim",
        "failing (warm) fails now in 20 of 20 runs: exit code 1",
    ]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (0, 1, ["a (warm) fails now in 1 of 20 runs: exit code 1"]),
        (0, 9, ["a (warm) fails now in 9 of 20 runs: exit code 1"]),
        (2, 9, ["a (warm) fails now in 9 of 20 runs, before in 2 of 20: exit code 1"]),
        (2, 4, []),
        (2, 0, []),
    ],
)
def test_failures_that_are_new_are_named(before: int, now: int, said: list[str]) -> None:
    earlier, later = (replace(RESULTS, cases=(failing(case("a", "warm", 1.0), each),)) for each in (before, now))
    assert failures(earlier, later) == said


def test_case_without_enough_rounds_for_a_verdict_is_named() -> None:
    enough, few = (replace(RESULTS, cases=(case("a", "warm", 1.0, rounds=each),)) for each in (8, 7))
    said = "a (warm) has 7 rounds {}, and a verdict needs 8 at least"
    assert (unjudged(enough, few), unjudged(few, enough)) == ([said.format("now")], [said.format("before")])
    assert unjudged(enough, enough) == []


def test_case_that_never_succeeded_is_not_missed() -> None:
    assert failures(replace(RESULTS, cases=(failing(case("a", "warm", 1.0), 20),)), RESULTS) == []


def test_case_is_held_against_itself_before() -> None:
    now = replace(RESULTS, cases=(case("a", "warm", 2.0),))
    before = replace(RESULTS, cases=(case("a", "warm", 1.0),))
    ((slower,), _), ((same,), _) = regressions(before, now, 0.1), regressions(now, now, 0.1)
    assert sentence(slower).startswith("a (warm) is 2.00 times slower (")
    assert sentence(slower).endswith(") than before")
    assert sentence(same).startswith("a (warm): no difference beyond 3 % (between -")


def test_noise_is_no_regression() -> None:
    noisy = replace(RESULTS, cases=(case("wasm, in-process", "hot", 33e-6, wobble=0.4),))
    assert regressions(RESULTS, noisy, 0.0)[1] == []


@pytest.mark.parametrize(
    ("text", "figure", "met"),
    [
        ("wasm, in-process (hot) <= 100us", "59.2 us", True),
        ("wasm, in-process <= 50us", "59.2 us", False),
        ("native, slim (warm) / wasm, in-process (hot) >= 1000", "4,310", True),
        ("size of native, slim / size of wasm, in-process >= 500", "1,550", True),
        ("size of wasm, in-process <= 30kB", "20.0 kB", True),
        ("native, slim (cold) - native, slim (warm) <= 1s", "663 ms", True),
        ("nobody <= 1s", "unknown", None),
    ],
)
def test_budget_is_held_against_the_results(text: str, figure: str, met: bool | None) -> None:
    found = judge(parse_budget(text), RESULTS)
    assert (found.figure, found.met) == (figure, met)


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (["native, slim <= 1s"], "confirmed: it is so (native, slim: 255 ms)"),
        (["native, slim <= 1s", "native, slim >= 1s"], "refuted: it is so (native, slim: 255 ms, not >= 1s)"),
        (["run of nobody <= 1s"], "unknown: it is so (run of nobody: unknown)"),
        (["run of native, slim (warm) <= 1s"], "confirmed: it is so (run of native, slim (warm): 125 ms)"),
    ],
)
def test_claim_is_confirmed_or_refuted_by_its_figures(holds: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(f'[[claim]]\ntext = "it is so"\nholds = {json.dumps(holds)}\n')
    assert claims.sentences(claims.read_claims(path), RESULTS) == [said]


CLAIM = '[[claim]]\ntext = "x"\nholds = '


@pytest.mark.parametrize(
    "text",
    ["", "[[claim]]", f"{CLAIM}[]", f'{CLAIM}["a <= 5MB"]', f"{CLAIM}[1]", "claim = [1]", "claim = 1", "["],
)
def test_claims_that_make_no_sense_are_refused_by_the_files_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"claims\.toml"):
        claims.read_claims(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a <= 5MB", "the figure is a time, the limit is a size"),
        ("a <= 1", "the figure is a time, the limit is a ratio"),
        ("run of a - a <= 10%", "the figure is a time, the limit is a ratio"),
        ("size of a <= 1s", "the figure is a size, the limit is a time"),
        ("a / b <= 5s", "the figure is a ratio, the limit is a time"),
        ("a / size of b <= 5", "a time and a size have nothing in common"),
    ],
)
def test_budget_of_another_unit_than_its_figure_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_budget(text)


def test_budget_of_a_ratio_may_be_a_percentage() -> None:
    assert judge(parse_budget("size of wasm, in-process / size of native, slim <= 1%"), RESULTS).met


@pytest.mark.parametrize("text", ["", "fast", "a < 3", "a <= 3 parsecs", "a / b / c <= 3"])
def test_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        parse_budget(text)
