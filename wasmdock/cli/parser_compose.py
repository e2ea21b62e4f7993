"""The grammar of `wasmdock compose`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from wasmdock.cli.parser import Verbs, add_format, formatter, verb


def add_compose(verbs: Verbs, words: Sequence[str] = ()) -> None:
    """Add the verb with its actions: those that `words` may name, or all."""
    parser = verbs.add_parser(
        "compose",
        help="run Wasm and Linux services together, also where no engine runs Wasm",
        description="Run the services of a Compose file: by docker compose, or Wasm ones in processes of their own.",
        epilog="example: wasmdock compose -f compose/hello.yaml up",
        allow_abbrev=False,
        formatter_class=formatter,
    )
    _add_project(parser, first=True)
    _add_on(parser, "auto", "where up and run take the services (default: auto)")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    named = [name for name in _ACTIONS if name in words]
    for name in named or _ACTIONS:
        _ACTIONS[name](actions)


def _add_up(actions: Verbs) -> None:
    up = _action(actions, "up", "build, start and watch the services", "wasmdock compose -f compose/hello.yaml up")
    _add_road(up)
    up.add_argument("-d", "--detach", action="store_true", help="come back once all have started; they run on")
    up.add_argument("--build", action="store_true", help="build again what the store has already")
    up.add_argument("services", nargs="*", metavar="SERVICE", help="these and what they need (default: all)")
    _add_provided(up)


def _add_down(actions: Verbs) -> None:
    down = _action(actions, "down", "stop and remove all of a project", "wasmdock compose -f compose/hello.yaml down")
    down.add_argument("-v", "--volumes", action="store_true", help="its named volumes too")
    down.add_argument("provided", nargs="?", help=argparse.SUPPRESS)


def _add_ps(actions: Verbs) -> None:
    add_format(
        _action(actions, "ps", "list the services and what they do", "wasmdock compose -f compose/hello.yaml ps")
    )


def _add_logs(actions: Verbs) -> None:
    logs = _action(actions, "logs", "show what the services printed", "wasmdock compose -f compose/hello.yaml logs -f")
    logs.add_argument("-f", "--follow", action="store_true", help="and what they print from now on")
    logs.add_argument("-t", "--timestamps", action="store_true", help="when each line was printed")
    logs.add_argument("-n", "--tail", type=int, metavar="N", help="the last N lines alone")
    logs.add_argument("services", nargs="*", metavar="SERVICE", help="of these (default: all)")


def _add_run(actions: Verbs) -> None:
    run = _action(actions, "run", "run one service once, with other arguments", "wasmdock compose run hello --env")
    _add_road(run)
    run.add_argument("service", metavar="SERVICE", help="the service")
    run.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="in place of its command")
    run.set_defaults(is_run=True)


def _add_config(actions: Verbs) -> None:
    config = _action(actions, "config", "show the file as it is understood", "wasmdock compose config")
    config.add_argument(
        "--services", action="store_true", help="the names of the services alone, in the order they start"
    )


def _add_metadata(actions: Verbs) -> None:
    verb(
        actions,
        "metadata",
        "compose_provider:metadata",
        "say which options a provided service takes",
        "wasmdock compose metadata",
    )


def _add_lint(actions: Verbs) -> None:
    add_format(_action(actions, "lint", "find what will go wrong, line by line", "wasmdock compose lint --format json"))


_ACTIONS: dict[str, Callable[[Verbs], None]] = {
    "up": _add_up,
    "down": _add_down,
    "ps": _add_ps,
    "logs": _add_logs,
    "run": _add_run,
    "config": _add_config,
    "metadata": _add_metadata,
    "lint": _add_lint,
}


def _action(actions: Verbs, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser = verb(actions, name, f"compose:{name}", summary, example)
    _add_project(parser, first=False, short_file=name != "logs")  # there -f follows, as in docker compose
    return parser


def _add_project(parser: argparse.ArgumentParser, first: bool, short_file: bool = True) -> None:
    """The flags that may stand before or behind the action."""
    usual = None if first else argparse.SUPPRESS
    names = ["-f", "--file"] if short_file else ["--file"]
    parser.add_argument(
        *names, dest="files", action="append", type=Path, default=usual, metavar="FILE",
        help="the Compose file; several are merged (default: compose.yaml here or above)",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--project-name", default="" if first else usual, metavar="NAME", help="the project's name"
    )
    parser.add_argument(
        "--project-directory", type=Path, default=usual, metavar="FOLDER", help="what relative paths are relative to"
    )
    parser.add_argument(
        "--profile", dest="profiles", action="append", default=usual, metavar="NAME", help="turn a profile on"
    )


def _add_provided(up: argparse.ArgumentParser) -> None:
    """What docker compose passes to a provider (see compose_provider); people write it into their Compose file."""
    for name in ("image", "restart"):
        up.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    for name in ("port", "env", "volume", "arg"):
        up.add_argument(f"--{name}", action="append", default=[], help=argparse.SUPPRESS)


def _add_road(parser: argparse.ArgumentParser) -> None:
    _add_on(parser, argparse.SUPPRESS, "where (default: auto)")
    parser.add_argument("--only-wasm", action="store_true", help="leave services that are not Wasm out")


def _add_on(parser: argparse.ArgumentParser, usual: str, what: str) -> None:
    parser.add_argument("--on", choices=("auto", "docker", "process"), default=usual, help=what)
