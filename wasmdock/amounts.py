"""Values of a JSON document of unknown origin -> seconds, bytes and counts within what anything can be measured as."""

from typing import Any

_MOST_SECONDS = 1e12  # or what is counted in a second
_MOST_COUNT = 1 << 63


def amount(value: Any) -> float:
    """Seconds, or what is counted per second. Raises ValueError for what can be none, such as NaN or text."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_SECONDS:
        raise ValueError(f"{_told(value)} is no amount")
    return float(value)


def known_amount(value: Any) -> float | None:
    """The same, where it is known."""
    return None if value is None else amount(value)


def whole(value: Any, least: int = 0) -> int:
    """Bytes, or how many. Raises ValueError for less than the least, for too many and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST_COUNT:
        raise ValueError(f"{_told(value)} is no count")
    return value


def known_whole(value: Any) -> int | None:
    """The same, where it is known."""
    return None if value is None else whole(value)


def slope(value: Any) -> int:
    """A whole number of either sign."""
    return whole(value, -_MOST_COUNT)


def no_constant(name: str) -> float:
    """For json.loads: NaN and Infinity are no JSON. Raises ValueError."""
    raise ValueError(f"{name} is no amount")


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
