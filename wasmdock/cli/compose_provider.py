"""wasmdock as a provider of docker compose (its docs/extension.md): asked for a service, we answer in JSON lines."""

import argparse
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from wasmdock.cli.context import Context
from wasmdock.compose_state import State
from wasmdock.errors import WasmdockError
from wasmdock.launch import WASM_PLATFORM, WASM_RUNTIME

_PARAMETERS = (
    ("image", "the Wasm image, or a guest's folder below `build`", True),
    ("port", "HOST:GUEST, published by a service of wasi:http", False),
    ("env", "NAME=VALUE for the guest", False),
    ("volume", "HOST:GUEST[:ro], a folder for the guest", False),
    ("arg", "an argument of the guest", False),
    ("restart", "no, always, on-failure or unless-stopped", False),
)


def metadata(_options: argparse.Namespace, _context: Context) -> int:
    """What options `up` takes, as compose asks for it."""
    rows = [{"name": name, "description": text, "required": must, "type": "string"} for name, text, must in _PARAMETERS]
    print(
        json.dumps(
            {"description": "Wasm services without containers", "up": {"parameters": rows}, "down": {"parameters": []}}
        )
    )
    return 0


def provide(options: argparse.Namespace, context: Context) -> int:
    """Start the service and come back; what compose is told goes to stdout, in JSON lines."""
    from wasmdock.cli.compose_process import up_in_process
    from wasmdock.compose import load_stack
    from wasmdock.compose_file import Sources

    (name,) = options.services
    if unread := [each for each in options.port if ":" not in each]:
        _tell("error", f'reading port "{unread[0]}": not HOST:GUEST; try: 8080:8080')
        return 1
    state = _state(options.project_name, name, context)
    if not state.holder():  # asked again, compose wants the same answer and no second start
        _tell("info", f"starting {options.image} in-process")
        file = _written(state, name, options)
        home = context.environment.get("HOME", "/")
        stack = load_stack(Sources((file,), Path.cwd(), context.environment), name=state.project, home=home)
        try:
            with redirect_stdout(io.StringIO()):
                up_in_process(stack, argparse.Namespace(detach=True, build=False), context)
        except WasmdockError as error:
            _tell("error", f"{error.message}; try: {error.hint}" if error.hint else error.message)
            return 1
    for port in options.port[:1]:
        _tell("setenv", f"URL=http://host.docker.internal:{port.split(':')[-2]}")
    return 0


def withdraw(name: str, options: argparse.Namespace, context: Context) -> int:
    """Stop the service that was provided."""
    state = _state(options.project_name, name, context)
    state.end(30.0)
    state.forget()
    return 0


def _state(project: str, service: str, context: Context) -> State:
    return State(context.data / "compose", f"{project}-{service}")


def _written(state: State, name: str, options: argparse.Namespace) -> Path:
    """The service as a Compose file of its own."""
    service: dict[str, Any] = {
        "image": options.image,
        "platform": WASM_PLATFORM,
        "runtime": WASM_RUNTIME,
        "ports": options.port,
        "environment": options.env,
        "volumes": options.volume,
        "restart": options.restart or "no",
    }
    if options.arg:
        service["command"] = options.arg
    state.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state.folder / "provided.json"
    path.write_text(json.dumps({"services": {name: service}}).replace("$", "$$"), encoding="utf-8")
    return path


def _tell(kind: str, message: str) -> None:
    print(json.dumps({"type": kind, "message": message}), file=sys.stdout, flush=True)
