"""wasmdock explain: why a container ended, found out by running the same bytes again where it says nothing itself."""

import argparse
import json
import os
from dataclasses import asdict

from wasmdock.cli.context import Context
from wasmdock.docker import Docker
from wasmdock.errors import ImageError, WasmdockError
from wasmdock.explain import Container, explain, needs_replay, parse_container, replay_request
from wasmdock.runtime import RunResult

_TAIL = "200"  # lines of the log
_TIMEOUT = 20.0


def explain_container(options: argparse.Namespace, context: Context) -> int:
    """Ask the engine, read the log's end, replay where needed; print one sentence, its cure and the evidence."""
    docker = context.docker
    container = _find(docker, options.container)
    printed, log = _log(docker, options.container)
    events = [action for action, _ in docker.events(options.container)]
    replay = _replay(docker, container, context) if needs_replay(container, log, events) else None
    found = explain(container, log, events, replay, printed=printed)
    if options.format == "json":
        print(json.dumps({"container": container.name, "exit_code": container.code, **asdict(found)}))
        return 0
    print(f"{container.name} (exit code {container.code}): {found.cause}")
    if found.evidence:
        print(found.evidence)
    if found.cure:
        print(f"    try: {found.cure}")
    return 0


def _find(docker: Docker, name: str) -> Container:
    answer = docker.inspect_container(name)
    if not answer:
        hint = "`docker ps -a` lists them; one started with --rm is gone with its end"
        raise ImageError(f'explaining "{name}": the engine has no such container', hint)
    return parse_container(answer)


def _log(docker: Docker, name: str) -> tuple[bool, str]:
    """Whether it printed anything to stdout, and the end of its stderr."""
    done = docker.cli("logs", "--tail", _TAIL, name, timeout=_TIMEOUT)
    return bool(done.stdout), done.stderr.decode("utf-8", "replace")


def _replay(docker: Docker, container: Container, context: Context) -> RunResult | str:
    """How the same start ends in this process, or why it cannot be made."""
    from wasmdock.inprocess import InProcessRuntime

    try:
        image = docker.image(container.image)
        return InProcessRuntime(context.code_cache).run(image, replay_request(container, _to_spare()))
    except WasmdockError as error:
        return error.message


def _to_spare() -> int:
    """Bytes of memory that a replay may have: half of the machine's."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
