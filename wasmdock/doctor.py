"""What is wrong with this machine and what cures it: probe, judge, and cure what is safe to cure."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wasmdock.doctor_facts import Facts, machine_of, works
from wasmdock.doctor_findings import Finding, Severity, findings
from wasmdock.doctor_probes import gather
from wasmdock.errors import WasmdockError
from wasmdock.launch import Nature, Road, plan_launch
from wasmdock.process import Runner, run_command

_ROADS = {Road.PROCESS: "this process", Road.DOCKER: "Docker"}
_FIX_TIMEOUT = 3900.0  # seconds; the longest builds the Wasm runtime


@dataclass(frozen=True, slots=True)
class Examination:
    """A machine's facts and what they mean; works: a Wasm guest runs here on at least one road."""

    facts: Facts
    findings: tuple[Finding, ...]
    works: bool


def examine(
    environment: Mapping[str, str], cache: Path | None, home: Path | None, ca_bundle: Path | None = None
) -> Examination:
    """Look at this machine, within seconds, and judge what is there. A cache or home that is None has no name."""
    return judge(gather(environment, cache, home, ca_bundle=ca_bundle))


def judge(facts: Facts) -> Examination:
    """Turn facts into findings."""
    return Examination(facts, findings(facts), works(facts))


def render(examination: Examination) -> str:
    """One screen: a line for each finding, its cure under it, what matters most marked."""
    width = max(len(each.subject) for each in examination.findings)
    lines = [f"{examination.facts.system}, Python {examination.facts.python}"]
    for each in examination.findings:
        mark = "" if each.severity is Severity.OK else f"{each.severity.upper()}: "
        lines.append(f"{each.subject:<{width}}  {mark}{each.text}")
        lines += [f"{'':<{width}}  try: {each.cure}"] * bool(each.cure)
    lines.append(_summary(examination))
    return "\n".join(lines)


def _summary(examination: Examination) -> str:
    facts = examination.facts
    trials = {Road.PROCESS: facts.process, Road.DOCKER: facts.docker}
    roads = [f"in {name}" for road, name in _ROADS.items() if trials[road].works]
    if not roads or not examination.works:
        return "Wasm guests run nowhere here yet: cure the problems above, then call `wasmdock doctor` again."
    chosen = _ROADS[plan_launch(Nature.CORE_COMMAND, machine_of(facts)).road]
    choice = f"; `wasmdock run` takes {chosen} where --on names neither" if len(roads) > 1 else ""
    return f"Wasm guests run {' and '.join(roads)}{choice}."


def to_json(examination: Examination) -> dict[str, Any]:
    """The stable form of `doctor --format json`: works, findings, and the facts they came from."""
    return {
        "works": examination.works,
        "findings": [asdict(each) for each in examination.findings],
        "facts": asdict(examination.facts),
    }


def fixes(found: Iterable[Finding]) -> Iterator[tuple[Finding, tuple[str, ...]]]:
    """The findings that can be cured without asking again, each command once."""
    seen: set[tuple[str, ...]] = set()
    for each in found:
        argv = tuple(sys.executable if word == "{python}" else word for word in each.fix)
        if argv and argv not in seen:
            seen.add(argv)
            yield each, argv


def fix(argv: tuple[str, ...], environment: Mapping[str, str], runner: Runner = run_command) -> str:
    """Run one cure; why it did not work, or nothing."""
    try:
        done = runner(list(argv), timeout=_FIX_TIMEOUT, env=environment)
    except WasmdockError as error:
        return error.message
    if done.code == 0 and not done.timed_out:
        return ""
    said = done.stderr_text().splitlines()
    reasons = [line for line in said if line.strip() and not line[0].isspace()]  # without the cures of our own commands
    return (reasons or said or [f"exit code {done.code}"])[-1].removeprefix("wasmdock: ")
