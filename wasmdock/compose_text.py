"""Variables in texts: `${NAME:-default}` and its kin, and the lines of env files."""

import re
from collections.abc import Callable, Mapping

from wasmdock.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$$", "'": "'"}

OnUnset = Callable[[str], None]


def interpolate(text: str, variables: Mapping[str, str], where: str, on_unset: OnUnset | None = None) -> str:
    """The text with its variables replaced, as the Compose specification has it; `$$` is a dollar sign.

    A variable that is not set is empty, after `on_unset(name)`. Raises UsageError at `where`.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        value, at = _variable(text, dollar, variables, where, on_unset)
        parts.append(value)
    return "".join(parts) + text[at:]


def _variable(
    text: str, at: int, variables: Mapping[str, str], where: str, on_unset: OnUnset | None
) -> tuple[str, int]:
    """What the `$` at this place stands for, and where the text goes on."""
    if text.startswith("$$", at):
        return "$", at + 2
    if match := _NAME.match(text, at + 1):
        return _lookup(match[0], variables, on_unset), match.end()
    end = _closing(text, at)
    inside = text[at + 2 : end]
    match = _NAME.match(inside)
    rest = inside[match.end() :] if match else ""
    operator = next((each for each in _OPERATORS if rest.startswith(each)), "")
    if end < 0 or not match or bool(rest) != bool(operator):
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        raise UsageError(f'{where}: "{shown}" has a "$" that begins no variable', "write $$ for a dollar sign")
    word = rest[len(operator) :]
    chosen = _choose(match[0], operator, word, variables, where)
    if chosen is not None:
        return interpolate(chosen, variables, where, on_unset) if chosen is word else chosen, end + 1
    return _lookup(match[0], variables, on_unset), end + 1


def _choose(name: str, operator: str, word: str, variables: Mapping[str, str], where: str) -> str | None:
    """The value or the word behind the operator; None for the variable as it is."""
    value = variables.get(name)
    there = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return word if there else ""
    if operator.endswith("?") and not there:
        said = interpolate(word, variables, where) or "it is not set"
        raise UsageError(f'{where}: the variable "{name}" is required: {said}', f"set {name}, or write it into .env")
    return word if operator.endswith("-") and not there else None


def _closing(text: str, at: int) -> int:
    """Where the brace of `${` at this place closes; -1 where it does not."""
    if not text.startswith("${", at):
        return -1
    depth = 0
    for index in range(at + 1, len(text)):
        if text[index] == "{" and text[index - 1] == "$":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return -1


def _lookup(name: str, variables: Mapping[str, str], on_unset: OnUnset | None) -> str:
    if name not in variables and on_unset:
        on_unset(name)
    return variables.get(name, "")


def parse_env_text(text: str, variables: Mapping[str, str], file: str) -> dict[str, str | None]:
    """The lines of a .env or env_file: NAME=VALUE, quotes, `export`, comments; later lines see earlier ones.

    A name alone has the value None: whoever asks takes it from the environment. Raises UsageError.
    """
    found: dict[str, str | None] = {}
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        line, where = lines[number].strip(), f"{file}:{number + 1}"
        number += 1
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.removeprefix("export ").partition("=")
        if not equals and ":" in name:
            name, equals, rest = name.partition(":")
        name = name.strip()
        if not equals:
            name = name.partition("#")[0].strip()
        if not name or not re.fullmatch(r"[A-Za-z0-9_.\-\[\]]+", name):
            raise UsageError(f'{where}: "{line[:40]}" is not NAME=VALUE')
        if not equals:
            found[name] = None
            continue
        rest = rest.lstrip()
        while rest[:1] in ('"', "'") and not _quote_end(rest) and number < len(lines):
            rest += "\n" + lines[number]
            number += 1
        seen = {key: value for key, value in found.items() if value is not None}
        found[name] = _env_value(rest, {**seen, **variables}, where)
    return found


def _quote_end(rest: str) -> int:
    """Where the quote that begins the text ends; 0 where it does not."""
    index = 1
    while index < len(rest):
        if rest[index] == "\\" and rest[0] == '"':
            index += 1
        elif rest[index] == rest[0]:
            return index
        index += 1
    return 0


def _env_value(rest: str, variables: Mapping[str, str], where: str) -> str:
    if rest[:1] in ('"', "'"):
        end = _quote_end(rest)
        if not end:
            raise UsageError(f"{where}: a quote is not closed")
        inside = rest[1:end]
        if rest[0] == "'":
            return inside
        unescaped = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), inside, flags=re.DOTALL)
        return interpolate(unescaped, variables, where)
    return interpolate(re.split(r"(?:^|\s)#", rest, maxsplit=1)[0].strip(), variables, where)
