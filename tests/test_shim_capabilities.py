"""The shim's table of capabilities says what the Python package's says."""

import re
from pathlib import Path

from wasmdock import capabilities

SOURCE = (Path(__file__).parent.parent / "shim/src/capabilities.rs").read_text()


def table(name: str) -> dict[str, str | None]:
    """A table of the Rust source: prefix -> capability, None where it asks for nothing."""
    body = SOURCE.split(f"const {name}:", 1)[1].split("];", 1)[0]
    return {prefix: word or None for prefix, word in re.findall(r'\("([^"]+)", "([^"]*)"\)', body)}


def test_shim_knows_the_same_words_in_the_same_order() -> None:
    body = SOURCE.split("pub const NAMES", 1)[1].split("];", 1)[0]
    assert re.findall(r'"(\w+)"', body) == list(capabilities.Capability)


def test_shim_judges_imports_alike() -> None:
    assert table("PREVIEW1") == capabilities._PREVIEW1
    assert table("INTERFACES") == capabilities._INTERFACES
