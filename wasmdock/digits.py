"""Digits of unknown origin -> a whole number."""

_LONGEST = 19  # digits; Python refuses 4301 of them with a ValueError, and nothing counted here needs 20


def read_digits(text: str) -> int | None:
    """The number that ASCII digits alone name; None for any other text, and for more than 19 of them."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None
