"""What is said of an app, held against its results: each claim confirmed or refuted by figures, none typed by hand."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmdock.budget import Budget, Judged, judge, parse_budget
from wasmdock.errors import UsageError
from wasmdock.given import read_given
from wasmdock.results import Results

_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, the figures that must hold for it, and figures that only explain."""

    text: str
    holds: tuple[Budget, ...]
    also: tuple[Budget, ...] = ()


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read a TOML file of [[claim]] with text, holds and, where wanted, also. Raises UsageError."""
    doing = f'reading claims "{path}"'
    try:
        document = tomllib.loads(read_given(path, _MOST).decode("utf-8"))
        return tuple(_claim(each) for each in document["claim"])
    except OSError as error:
        raise UsageError(f"{doing}: {error.strerror}") from error
    except UsageError as error:
        raise UsageError(f"{doing}: {error.message}", error.hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{doing}: {error}", 'write [[claim]] with text = "..." and holds = ["FIGURE <= LIMIT"]'
        ) from error


def _claim(table: Any) -> Claim:
    holds, also = (tuple(map(parse_budget, table.get(key, ()))) for key in ("holds", "also"))
    if not holds:
        raise ValueError(f'"{table["text"]}" holds nothing')
    return Claim(str(table["text"]), holds, also)


def sentences(claims: Sequence[Claim], results: Results) -> list[str]:
    """`confirmed: In under a millisecond (a (hot): 58.2 us)`: each claim with its verdict and the figures."""
    said = []
    for claim in claims:
        judged = [judge(budget, results) for budget in claim.holds]
        beside = [judge(budget, results) for budget in claim.also]
        figures: dict[str, str] = {}
        for each in judged + beside:
            name, figure = _figure(each)
            figures[name] = max(figure, figures.get(name, ""), key=len)
        told = "; ".join(f"{name}: {figure}" for name, figure in figures.items())
        said.append(f"{_verdict(judged)}: {claim.text} ({told})")
    return said


def _verdict(judged: Sequence[Judged]) -> str:
    if any(each.met is False for each in judged):
        return "refuted"
    return "unknown" if any(each.met is None for each in judged) else "confirmed"


def _figure(judged: Judged) -> tuple[str, str]:
    """What is measured, and the figure, with the limit where it is not kept."""
    text, sign = judged.budget.text, judged.budget.sign
    name, limit = text[: text.rindex(sign)].strip(), text[text.rindex(sign) :]
    return name, judged.figure + (f", not {limit}" if judged.met is False else "")
