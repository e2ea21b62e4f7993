"""The flags of engine and completion."""

import argparse
import sys
from pathlib import Path

from wasmdock.cli.parser import Verbs, add_format, verb
from wasmdock.shim import PREFIX


def add_engine(verbs: Verbs) -> None:
    """Add engine and its actions."""
    parser = verbs.add_parser(
        "engine",
        help="give a Docker engine the Wasm runtime",
        description="Give a Docker engine the Wasm runtime behind io.containerd.wasmtime.v1.",
        epilog="example: wasmdock engine install --prefix /usr/local",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    install = verb(
        actions,
        "install",
        "engine:install",
        "put the Wasm runtime where this machine's containerd finds it",
        "sudo wasmdock engine install",
    )
    install.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FOLDER",
        help="where the programs are (default: this environment, else they are built)",
    )
    uninstall = verb(
        actions, "uninstall", "engine:uninstall", "remove the Wasm runtime", "sudo wasmdock engine uninstall"
    )
    _add_container(actions)
    for action in (install, uninstall):
        action.add_argument("--prefix", type=Path, default=PREFIX, help="where (default: /usr/local)")


def _add_container(actions: Verbs) -> None:
    """The engine in a container, for people whose own Docker cannot run Wasm."""
    where = "engine_container"
    up = verb(actions, "up", f"{where}:up", "start an engine in a container of your Docker", "wasmdock engine up")
    up.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="where the Wasm runtime's programs are (as install)"
    )
    up.add_argument(
        "--tls",
        action=argparse.BooleanOptionalAction,
        default=sys.platform != "linux",
        help="reach it through TLS on 127.0.0.1 instead of a Unix socket (default: except on Linux)",
    )
    up.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        metavar="HOST:ENGINE",
        help="reach a port that the engine's containers publish, where its own address cannot be reached",
    )
    down = verb(actions, "down", f"{where}:down", "end that engine", "wasmdock engine down --volumes")
    down.add_argument("--volumes", action="store_true", help="remove its images and all it held, too")
    status = verb(actions, "status", f"{where}:engine_status", "say whether it answers", "wasmdock engine status")
    add_format(status)
    verb(actions, "env", f"{where}:env", "print what to eval for docker", 'eval "$(wasmdock engine env)"')


def add_shell(verbs: Verbs) -> None:
    """Add completion."""
    parser = verb(
        verbs,
        "completion",
        "completion:completion",
        "print the shell's completion script",
        'eval "$(wasmdock completion bash)"',
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")
