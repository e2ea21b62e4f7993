"""What cargo says a build has read that nobody could foresee: files beside the sources, and variables.

Sources: rustc's dep-info files (`# env-dep:`), cargo's beside its output, and what build scripts print
(`cargo:rerun-if-env-changed`); a script's `rerun-if-changed` is in cargo's dep-info file.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_FILE, _VARIABLE = "file ", "variable "
_ENV_DEP = re.compile(r"^# env-dep:([^=\n]+)", re.MULTILINE)
_RERUN_IF = re.compile(r"^cargo::?rerun-if-env-changed=(.+)$", re.MULTILINE)
_CLOCK = 10_000_000  # ns that a file's time may be behind the clock


class DepInfo(NamedTuple):
    """What a build has read: paths of files and folders, and names of variables."""

    files: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()


def read_dep_info(output: Path, target_folder: Path) -> DepInfo:
    """What went into cargo's output file; cargo's own files in its target folder do not count."""
    files = {file for file in _prerequisites(_text(output.with_suffix(".d"))) if not _is_within(file, target_folder)}
    return DepInfo(frozenset(files), frozenset(_variables(output.parent, target_folder)))


def trace(info: DepInfo, folder: Path, known: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Each file that is none of the known ones (paths within the guest's folder, or absolute) and each variable.

    The values are hex digests; empty for what is not there.
    """
    covered = {os.path.realpath(folder / path) for path in known}
    paths = [str(folder / file) for file in sorted(info.files)]
    found = {_FILE + path: _digest(Path(path)) for path in paths if os.path.realpath(path) not in covered}
    return found | {_VARIABLE + name: _digest_variable(name, environment) for name in sorted(info.variables)}


def is_as_traced(traced: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    """Whether all that was traced is what it was."""
    return all(digest == _digest_again(what, environment) for what, digest in traced.items())


def is_older(traced: Mapping[str, str], since: int) -> bool:
    """Whether no file that was traced changed after a time (ns since 1970): else nobody knows what was compiled."""
    return all(_changed(Path(what.removeprefix(_FILE))) < since - _CLOCK for what in traced if what.startswith(_FILE))


def _digest_again(what: str, environment: Mapping[str, str]) -> str:
    if what.startswith(_FILE):
        return _digest(Path(what.removeprefix(_FILE)))
    return _digest_variable(what.removeprefix(_VARIABLE), environment)


def _prerequisites(text: str) -> Iterator[str]:
    """The paths after the colon of a Makefile's rules, in which a backslash is before a space of a name."""
    for line in text.splitlines():
        _, _, names = line.partition(": ")
        yield from (name.replace("\\ ", " ") for name in re.findall(r"(?:\\ |\S)+", names))


def _variables(outputs: Path, target_folder: Path) -> Iterator[str]:
    for file in (outputs / "deps").glob("*.d"):
        yield from _ENV_DEP.findall(_text(file))
    for pattern in ("release/build/*/output", "*/release/build/*/output"):
        for file in target_folder.glob(pattern):
            yield from (name.strip() for name in _RERUN_IF.findall(_text(file)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _is_within(file: str, folder: Path) -> bool:
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))


def _digest(path: Path) -> str:
    try:
        if path.is_dir():
            entries = sorted((str(each), *_state(each)) for each in path.rglob("*"))
            return hashlib.sha256(repr(entries).encode("utf-8", "surrogateescape")).hexdigest()
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _state(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_mtime_ns, status.st_size


def _digest_variable(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name)
    return "" if value is None else hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def _changed(path: Path) -> int:
    """When a file, or anything in a folder, changed last, in ns; 0 for what is not there."""
    try:
        within = path.rglob("*") if path.is_dir() else iter(())
        return max([_state(path)[0], *(_state(each)[0] for each in within)])
    except OSError:
        return 0
