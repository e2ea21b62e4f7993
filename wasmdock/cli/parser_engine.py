"""The flags of engine and completion."""

from pathlib import Path

from wasmdock.cli.parser import Verbs, verb


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
    for action in (install, uninstall):
        action.add_argument("--prefix", type=Path, default=Path("/usr/local"), help="where (default: /usr/local)")


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
