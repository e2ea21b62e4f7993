"""Texts on the command line -> values: sizes, durations, mounts, variables."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from wasmdock.digits import read_digits
from wasmdock.errors import UsageError
from wasmdock.runtime import LONGEST, STACKS, Mount

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NO_LIMIT = ("none", "unlimited")
_MOST_ENV_FILE = 1 << 20


def parse_size(text: str) -> int | None:
    """`64m`, `1g`, `2000000` -> bytes (k, m, g are powers of 1024, as in docker); `none` -> None."""
    if text in _NO_LIMIT:
        return None
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * _FACTORS[match[2].lower()] if match else 0
    if not 1 <= size < 1 << 62:
        raise UsageError(f'reading size "{text}": not a positive number of bytes', "write 64m, 1g, 2000000 or none")
    return int(size)


def parse_stack(text: str) -> int:
    """As a size, from 64 KiB to 1 GiB; `none` is the most there is, for a call stack always has an end."""
    size = STACKS[1] if text in _NO_LIMIT else parse_size(text)
    if size is None or not STACKS[0] <= size <= STACKS[1]:
        raise UsageError(f'reading stack "{text}": not between 64k and 1g', "write 1m, or leave it out for 512k")
    return size


def parse_duration(text: str) -> float | None:
    """`500ms`, `5s`, `2m`, `1h`, `1.5` -> seconds; `none` -> None."""
    if text in _NO_LIMIT:
        return None
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if not 0 < seconds <= LONGEST:
        raise UsageError(f'reading duration "{text}": not a positive time', "write 500ms, 5s, 2m or none")
    return seconds


def parse_fuel(text: str) -> int | None:
    """`1000000` -> Wasm instructions; `none` -> None."""
    return _parse_count(text, "fuel")


def parse_tables(text: str) -> int | None:
    """`10000` -> elements of Wasm tables; `none` -> None."""
    return _parse_count(text, "table elements")


def _parse_count(text: str, what: str) -> int | None:
    if text in _NO_LIMIT:
        return None
    count = read_digits(text)
    if count is None or not 0 < count < 1 << 62:
        raise UsageError(f'reading {what} "{text}": not a positive whole number', "write 1000000 or none")
    return count


def parse_mount(text: str) -> Mount:
    """`host:guest[:ro|:rw]` -> Mount; the host side may be relative, the guest side must be absolute."""
    host, _, rest = text.partition(":")
    guest, _, mode = rest.partition(":")
    if not host or not guest.startswith("/") or mode not in ("", "ro", "rw"):
        raise UsageError(
            f'reading volume "{text}": not HOST:GUEST[:ro]', "write -v ./folder:/data or -v ./folder:/data:ro"
        )
    if ".." in PurePosixPath(guest).parts:
        raise UsageError(f'reading volume "{text}": ".." in the guest\'s path', "name the folder itself, such as /data")
    return Mount(expanded(host).absolute(), guest, mode == "ro")


def expanded(path: str) -> Path:
    """The path with `~` and `~user` replaced by a home folder, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def parse_env(pairs: Iterable[str], files: Iterable[Path], environment: Mapping[str, str]) -> dict[str, str]:
    """`-e K=V`, `-e K` (from our own environment, left out where unset) and env files -> variables.

    Files first, then -e, as docker does it. Raises UsageError naming file and line.
    """
    result: dict[str, str] = {}
    for file in files:
        for number, line in enumerate(_lines(file), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                _add(result, line, environment, f"{file}, line {number}")
    for pair in pairs:
        name, equals, _ = pair.partition("=")  # the value may be a secret
        _add(result, pair, environment, f'-e "{name}{"=..." if equals else ""}"')
    return result


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_ENV_FILE + 1)
        if len(data) > _MOST_ENV_FILE:
            raise UsageError(f'reading env file "{file}": larger than {_MOST_ENV_FILE} bytes')
        return data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")  # splitlines would cut at U+2028 too
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f'reading env file "{file}": {cause}') from error


def _add(result: dict[str, str], text: str, environment: Mapping[str, str], where: str) -> None:
    name, equals, value = text.partition("=")
    if not name or name != name.strip() or "\0" in text:
        raise UsageError(f"reading {where}: not NAME=VALUE or NAME", "a variable's name has no spaces around it")
    if equals:
        result[name] = value
    elif name in environment:
        result[name] = environment[name]
