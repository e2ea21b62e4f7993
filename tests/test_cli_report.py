"""wasmdock report as users meet it: each benchmark held against an earlier one, and when that is a failure."""

import json
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from wasmdock.results import CaseResult, Results, from_document, read_results, to_json
from wasmdock.stats import Sample

OLD = 1.0


def written(path: Path, seconds: float, *, name: str = "a", failure: str = "", rounds: int = 20) -> Path:
    """The results of a benchmark whose first case takes so long, beside one that is always the same."""
    cases = []
    for each, took, why in ((name, seconds, failure), ("b", OLD, "")):
        samples = tuple(Sample(number, took, failure=why) for number in range(rounds))
        cases.append(CaseResult(each, "command", "command", "warm", samples))
    path.write_text(to_json(Results("commands", "2026-01-01T00:00:00+00:00", 0, tuple(cases))))
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path / "old.json", OLD)


@pytest.mark.parametrize("text", [None, "{}", "no JSON"])
def test_report_of_no_results_is_refused_by_the_files_name(
    wasmdock: CommandLine, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    done = wasmdock("report", path)
    assert (done.code, done.text) == (2, "")
    assert done.stderr.startswith(f'wasmdock: reading results "{path}": ')


@pytest.mark.parametrize(
    ("there", "instead"),
    [('"seconds": 1.0', '"seconds": NaN'), ('"seconds": 1.0', '"seconds": -1'), ('"seconds": 1.0', '"seconds": 1e999'),
     ('"seed": 0', '"seed": 1e999'), ('"seed": 0', '"seed": ' + 9999 * "[")],
    ids=["no number", "negative", "infinite", "no integer", "nested"],
)  # fmt: skip
def test_report_of_amounts_that_cannot_be_is_refused(
    wasmdock: CommandLine, old: Path, there: str, instead: str
) -> None:
    old.write_text(old.read_text().replace(there, instead))
    done = wasmdock("report", old, "--plot")
    assert (done.code, done.text) == (2, "")
    assert done.stderr.startswith(f'wasmdock: reading results "{old}": not ')


def test_bars_leave_out_what_took_no_time(wasmdock: CommandLine, tmp_path: Path) -> None:
    done = wasmdock("report", written(tmp_path / "r.json", 0.0), "--plot")
    assert done.code == 0
    assert [line.split()[0] for line in done.text.partition("\n\n")[0].splitlines()] == ["Medians,", "b"]


def test_full_disk_leaves_the_file_that_was_there(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    target = tmp_path / "t.csv"
    target.write_text("as before")
    done = wasmdock.shell(f"ulimit -f 0; wasmdock report {old} --export {target}")
    assert (done.code, target.read_text()) == (1, "as before")
    assert f'wasmdock: writing "{target}": File too large' in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["old.json", "t.csv"]


def test_file_that_cannot_be_made_does_not_cost_the_others(wasmdock: CommandLine, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install '.[bench]'")
    found = written(tmp_path / "r.json", OLD)
    found.write_text(found.read_text().replace('"failure": ""', '"failure": "exit code 1"'))
    done = wasmdock("report", found, "--export", f"{tmp_path}/r.png,{tmp_path}/r.md")
    assert (done.code, "no case succeeded" in done.stderr, (tmp_path / "r.md").is_file()) == (1, True, True)


def test_results_of_before_programs_had_a_digest_are_read(old: Path) -> None:
    document = json.loads(old.read_text())
    for case in document["cases"]:
        del case["digest"]
    assert from_document(document) == read_results(old)


def test_gate_fails_on_a_regression_and_says_which(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    new = written(tmp_path / "new.json", 1000.0)
    done = wasmdock("report", new, "--baseline", old, "--fail-above", "10%", "--ci")
    assert done.code == 1
    assert "slower than allowed: a (warm) is 1,000 times slower" in done.stderr
    assert "| case | median |" in done.text
    assert wasmdock("report", old, "--baseline", old, "--fail-above", "10%", "--ci").code == 0


@pytest.mark.parametrize("few", ["old", "new"])
def test_gate_without_enough_rounds_is_no_gate(wasmdock: CommandLine, tmp_path: Path, few: str) -> None:
    rounds = {"old": 20, "new": 20, few: 7}
    old, new = (
        written(tmp_path / f"{name}.json", took, rounds=rounds[name]) for name, took in (("old", 1), ("new", 10))
    )
    done = wasmdock("report", new, "--baseline", old, "--ci", "--fail-above", "10%")
    assert done.code == 1
    assert "wasmdock: no gate: a (warm) has 7 rounds" in done.stderr
    assert wasmdock("report", new, "--baseline", old).code == 0


def test_report_holds_each_file_against_the_one_before(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    done = wasmdock("report", old, written(tmp_path / "new.json", 1000.0))
    assert (done.code, "a (warm) is 1,000 times slower" in done.text) == (0, True)


@pytest.mark.parametrize(("seconds", "code"), [(1.04, 0), (1.06, 1)])
def test_ci_alone_fails_where_a_case_is_more_than_5_percent_slower(
    wasmdock: CommandLine, tmp_path: Path, old: Path, seconds: float, code: int
) -> None:
    new = written(tmp_path / "new.json", seconds)
    assert wasmdock("report", new, "--baseline", old, "--ci").code == code


@pytest.mark.parametrize(
    ("flags", "code"), [(["--ci"], 1), (["--fail-above", "10%"], 1), (["--fail-above", "150%"], 0)]
)
def test_gate_of_several_files_holds_the_last_against_the_one_before(
    wasmdock: CommandLine, tmp_path: Path, old: Path, flags: list[str], code: int
) -> None:
    assert wasmdock("report", old, written(tmp_path / "new.json", 2.0), *flags).code == code


def test_case_that_fails_now_is_a_regression(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    new = written(tmp_path / "new.json", OLD, failure="exit code 1")
    done = wasmdock("report", new, "--baseline", old, "--fail-above", "10%")
    assert done.code == 1
    assert "wasmdock: not as before: a (warm) fails now in 20 of 20 runs: exit code 1" in done.stderr


def test_case_that_fails_now_in_some_runs_is_a_regression(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    document = json.loads(old.read_text())
    for sample in document["cases"][0]["samples"][:9]:
        sample["failure"] = "exit code 1"
    new = tmp_path / "new.json"
    new.write_text(json.dumps(document))
    done = wasmdock("report", new, "--baseline", old, "--ci")
    assert (done.code, "a (warm) fails now in 9 of 20 runs" in done.stderr) == (1, True)


def test_case_that_has_gone_is_a_regression(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    new = written(tmp_path / "new.json", OLD, name="renamed")
    done = wasmdock("report", new, "--baseline", old, "--ci")
    assert (done.code, "- a (warm) is no longer measured" in done.text) == (1, True)
    assert "wasmdock: not as before: a (warm) is no longer measured" in done.stderr


def test_case_that_has_gone_is_told_without_a_gate_too(wasmdock: CommandLine, tmp_path: Path, old: Path) -> None:
    done = wasmdock("report", written(tmp_path / "new.json", OLD, name="renamed"), "--baseline", old)
    assert (done.code, "a (warm) is no longer measured" in done.text) == (0, True)


def test_base_that_is_no_case_is_refused(wasmdock: CommandLine, old: Path) -> None:
    done = wasmdock("report", old, "--base", "c")
    assert (done.code, done.text) == (2, "")
    assert 'comparing with "c": there is no such case' in done.stderr
    assert "--base one of: a; b" in done.stderr
