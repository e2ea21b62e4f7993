"""Services run by docker compose itself: the words it is called with, and the override it is given."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wasmdock.compose import Stack, image_name
from wasmdock.docker import Docker
from wasmdock.docker_causes import find_cause
from wasmdock.docker_plugins import is_installed, plugin_cure
from wasmdock.errors import CommandError, UnavailableError
from wasmdock.launch import WASM_PLATFORM, WASM_RUNTIME
from wasmdock.process import Completed

_SERVICE_SAYS = re.compile(r"\S+ +\| ")  # the prefix of a service's line, coloured or not: it is no cause


def override(stack: Stack) -> dict[str, Any]:
    """What docker compose needs on top of the files: the runtime and the platform of Wasm services that lack one."""
    services: dict[str, Any] = {}
    for service in stack.services:
        if not service.is_wasm:
            continue
        changes: dict[str, Any] = {}
        if not service.platform:
            changes["platform"] = WASM_PLATFORM
        if not service.runtime:
            changes["runtime"] = WASM_RUNTIME
        if service.context and not service.image:
            changes["image"] = image_name(stack, service)
        if changes:
            services[service.name] = changes
    return {"services": services} if services else {}


def compose_words(stack: Stack, extra: Path | None, profiles: Iterable[str] = ()) -> list[str]:
    """`compose -f ... -p ...` for this stack; extra is the override's file."""
    files = [*stack.files, *([extra] if extra else [])]
    words = ["compose", *(word for file in files for word in ("-f", str(file.absolute())))]
    words += ["-p", stack.name, "--project-directory", str(stack.folder)]
    return words + [word for profile in profiles for word in ("--profile", profile)]


def write_override(folder: Path, document: Mapping[str, Any], name: str = "override.json") -> Path | None:
    """Keep a generated file for docker compose; None where there is nothing to say."""
    if not document:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")  # JSON is YAML
    return path


def escaped(value: Any) -> Any:
    """A document whose dollar signs docker compose leaves alone."""
    if isinstance(value, dict):
        return {key: escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [escaped(each) for each in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def need_compose(docker: Docker, doing: str) -> None:
    """Raise UnavailableError where the client has no compose: docker itself would complain of a flag."""
    if is_installed("compose", docker.environment) or docker.cli("compose", "version").code == 0:
        return
    raise UnavailableError(f"{doing}: this docker client has no compose", plugin_cure("compose", docker.host.url))


def listed(done: Completed) -> list[dict[str, Any]]:
    """What `docker compose ps --format json` lists: a row in each line, before 2.21 all rows in one list."""
    found = [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith(("{", "["))]
    return [row for each in found for row in (each if isinstance(each, list) else [each])]


def explain_failure(done: Completed, doing: str) -> CommandError:
    """Why docker compose failed: a known cause with its cure, else its own last line; no flag of ours was wrong."""
    text = done.stderr_text()
    lines = [line for line in text.splitlines() if line.strip() and not _SERVICE_SAYS.match(line)]
    known = find_cause(doing, "\n".join(lines))
    if known is not None:
        return CommandError(known.message, known.hint, done.argv, done.code, text)
    return CommandError(
        f"{doing}: docker compose: {lines[-1] if lines else f'exit code {done.code}'}", "", done.argv, done.code, text
    )
