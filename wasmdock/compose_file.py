"""Compose files -> one tree: variables put in, `extends` and `include` followed, files merged, profiles chosen."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wasmdock.compose_keys import Problem, check_file
from wasmdock.compose_merge import merge, merge_files, without_resets
from wasmdock.compose_shape import Place, shape_file, texts, update, without_bad_ports
from wasmdock.compose_text import interpolate, parse_env_text
from wasmdock.compose_units import resolve
from wasmdock.compose_yaml import LARGEST, Node
from wasmdock.errors import UsageError

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDES = ("compose.override.yaml", "compose.override.yml", "docker-compose.override.yaml")
_MOST_FILES = 100

Read = Callable[[Path], bytes]
Parse = Callable[[bytes, str], tuple[Node, ...]]
OnUnset = Callable[[str], None]


def read_bytes(path: Path) -> bytes:
    """A file's bytes, one more than the cap at most. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f'reading "{path}": {error.strerror}') from error


def read_yaml(data: bytes, file: str) -> tuple[Node, ...]:
    """The documents of a YAML file. Raises UsageError with file and line."""
    from wasmdock.compose_reader import read_documents  # PyYAML is an eighth of a start

    return read_documents(data, file)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a project is read from: its files in order, its folder, and all variables (.env's included)."""

    files: tuple[Path, ...]
    folder: Path
    variables: Mapping[str, str]


def find_sources(
    files: Iterable[Path],
    environment: Mapping[str, str],
    start: Path,
    folder: Path | None = None,
    read: Read = read_bytes,
) -> Sources:
    """The files named, or those COMPOSE_FILE names, or the usual ones in `start` or a folder above it."""
    named = [start / file for file in files]
    if not named and environment.get("COMPOSE_FILE"):
        separator = environment.get("COMPOSE_PATH_SEPARATOR", ":")
        named = [start / each for each in environment["COMPOSE_FILE"].split(separator)]
    if not named:
        named = _usual(start)
    for file in named:
        if not file.is_file():
            raise UsageError(f'reading "{file}": {"it is a folder" if file.is_dir() else "no such file"}')
    folder = folder.absolute() if folder else named[0].absolute().parent
    return Sources(tuple(named), folder, with_env_file(folder / ".env", environment, read))


def _usual(start: Path) -> list[Path]:
    for folder in (start.absolute(), *start.absolute().parents):
        for name in NAMES:
            if (folder / name).is_file():
                over = next((folder / each for each in _OVERRIDES if (folder / each).is_file()), None)
                return [folder / name, *([over] if over else [])]
    raise UsageError(f'looking for {NAMES[0]} in "{start}" and above: there is none', "name the file with -f")


def with_env_file(path: Path, environment: Mapping[str, str], read: Read = read_bytes) -> Mapping[str, str]:
    """The environment on top of what a .env says, where there is one."""
    if not path.is_file():
        return environment
    try:
        text = read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f'reading "{path}": not UTF-8 text') from error
    found = parse_env_text(text, environment, str(path))
    return {**{key: value for key, value in found.items() if value is not None}, **environment}


@dataclass(slots=True)
class Loader:
    """Reads files once, follows what they name, and keeps what is wrong with them."""

    variables: Mapping[str, str]
    home: str
    read: Read = read_bytes
    parse: Parse = read_yaml
    lenient: bool = False  # ports that are none become problems, so that what follows them is read, too
    shown: Path = field(default_factory=Path.cwd)
    problems: list[Problem] = field(default_factory=list)
    unset: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def project(self, files: Iterable[Path], folder: Path) -> Node:
        """All files merged. Raises UsageError with file and line of the first thing that cannot be read."""
        whole: Node | None = None
        for file in files:
            root = self.file(file, folder, ())
            whole = root if whole is None else merge_files(whole, root)
        assert whole is not None
        return without_resets(whole)

    def file(self, path: Path, folder: Path, above: tuple[Path, ...]) -> Node:
        """One file with all that it includes and extends; above are the files that lead here."""
        path = path.absolute()
        if path in above:
            raise UsageError(f'{self._name(path)}: "include" comes back to where it began', "break the cycle")
        whole: Node | None = None
        for document in self._documents(path):
            raw = self._prepared(document, folder)
            included = self._included(raw, folder, (*above, path))
            root = self._extended(raw, path, folder)
            root = merge_files(included, root) if included is not None else root
            whole = root if whole is None else merge_files(whole, root)
        if whole is None:
            raise UsageError(
                f"{self._name(path)}:1: the file is empty", "it needs at least `services:` with one service"
            )
        return whole

    def _documents(self, path: Path) -> tuple[Node, ...]:
        self._count += 1
        if self._count > _MOST_FILES:
            raise UsageError(f'reading "{self._name(path)}": more than {_MOST_FILES} files')
        documents = self.parse(self.read(path), self._name(path))
        for document in documents:
            if not isinstance(document.value, dict) and not document.is_null:
                raise UsageError(f"{document.where}: a Compose file is a mapping", "begin with `services:`")
        return documents

    def _name(self, path: Path) -> str:
        """The file as messages show it: relative where that is shorter."""
        return str(path.relative_to(self.shown)) if path.is_relative_to(self.shown) else str(path)

    def _prepared(self, document: Node, folder: Path) -> Node:
        """Variables put in, keys checked, short forms made long."""
        root = self._interpolated(document, ())
        found = check_file(root)
        self.problems += found
        bad = [problem for problem in found if not problem.message.startswith("unknown key")]
        if bad:
            raise UsageError(f"{bad[0].file}:{bad[0].line}: {bad[0].message}", bad[0].hint)
        if self.lenient:
            root, dropped = without_bad_ports(root)
            self.problems += dropped
        return shape_file(root, Place(folder, self.home))

    def _interpolated(self, node: Node, path: tuple[str, ...]) -> Node:
        if isinstance(node.value, dict):
            return node.with_value({key: self._interpolated(each, (*path, key)) for key, each in node.map.items()})
        if isinstance(node.value, tuple):
            return node.with_value(tuple(self._interpolated(each, path) for each in node.items))
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        where = node.where

        def note(name: str) -> None:
            self.unset.setdefault(name, where)

        return node.with_value(interpolate(node.value, self.variables, where, note))

    def _included(self, root: Node, folder: Path, above: tuple[Path, ...]) -> Node | None:
        include = root.get("include")
        if include is None:
            return None
        whole: Node | None = None
        for item in include.items:
            piece = self._include(item, folder, above)
            if whole is not None:
                _refuse_twice(whole, piece, item)
            whole = piece if whole is None else merge_files(whole, piece)
        return whole

    def _include(self, item: Node, folder: Path, above: tuple[Path, ...]) -> Node:
        named = texts(item.map.get("path") or item) if isinstance(item.value, dict) else texts(item)
        paths = [Path(resolve(each.text, folder, self.home)) for each in named.items]
        if not paths:
            raise UsageError(f'{item.where}: "include" names no file')
        for each in paths:
            if not each.is_file():
                raise UsageError(f'{item.where}: including "{each}": no such file')
        at = item.get("project_directory")
        inner = Path(resolve(at.text, folder, self.home)) if at else paths[0].parent
        variables = self.variables
        env_files = item.get("env_file")
        for env_file in texts(env_files).items if env_files else ():
            variables = with_env_file(Path(resolve(env_file.text, folder, self.home)), variables, self.read)
        if not env_files:
            variables = with_env_file(inner / ".env", variables, self.read)
        within = replace(self, variables=variables)
        whole: Node | None = None
        for path in paths:
            piece = within.file(path, inner, above)
            whole = piece if whole is None else merge_files(whole, piece)
        self._count = within._count
        assert whole is not None
        return whole

    def _extended(self, root: Node, path: Path, folder: Path) -> Node:
        services = root.get("services")
        if services is None:
            return root
        done = {name: self._extend(name, services, path, folder, ()) for name in services.map}
        return update(root, services=services.with_value(done))

    def _extend(self, name: str, services: Node, path: Path, folder: Path, above: tuple[tuple[Path, str], ...]) -> Node:
        """A service on top of the one it extends, and of what that one extends."""
        service = services.map[name]
        extends = service.get("extends")
        if extends is None:
            return service
        if (path, name) in above:
            raise UsageError(f'{extends.where}: "extends" of service "{name}" comes back to itself', "break the cycle")
        wanted = extends.get("service")
        base_name = wanted.text if wanted else extends.text
        file = extends.get("file")
        base_path, base_services = path, services
        if file is not None:
            base_path = Path(resolve(file.text, folder, self.home))
            if not base_path.is_file():
                raise UsageError(f'{file.where}: extending a service of "{file.text}": no such file')
            document = self._documents(base_path)[0]
            base_services = self._prepared(document, base_path.parent).get("services") or Node({})
        if base_name not in base_services.map:
            raise UsageError(f'{extends.where}: service "{name}" extends "{base_name}", which is not there')
        base_folder = base_path.parent if file is not None else folder
        base = self._extend(base_name, base_services, base_path, base_folder, (*above, (path, name)))
        merged = merge(base, update(service, extends=None))
        return Node(merged.value, service.file, service.line, "", {**merged.lines, **service.lines})


def _refuse_twice(whole: Node, piece: Node, item: Node) -> None:
    for section in ("services", "volumes", "networks"):
        ours, theirs = whole.get(section), piece.get(section)
        for name in (ours.map if ours else {}).keys() & (theirs.map if theirs else {}).keys():
            if ours and theirs and ours.map[name].plain() != theirs.map[name].plain():
                raise UsageError(f'{item.where}: "{section}.{name}" is there already, from another included file')


def project_name(root: Node, given: str, variables: Mapping[str, str], folder: Path) -> str:
    """The project's name: given, COMPOSE_PROJECT_NAME, `name:`, or the folder's. Raises UsageError."""
    said = root.get("name")
    name = given or variables.get("COMPOSE_PROJECT_NAME", "") or (said.text if said else "")
    if not name:
        return re.sub(r"[^a-z0-9_-]", "", folder.name.lower()).lstrip("_-") or "default"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        where = f"{said.where}: " if said is not None and said.text == name else ""
        raise UsageError(f'{where}the project name "{name}" is not lower-case letters, digits, - and _')
    return name
