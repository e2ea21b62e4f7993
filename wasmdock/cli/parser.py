"""The command line's grammar: every verb with its flags and an example."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasmdock import __version__
from wasmdock.cli.values import parse_duration, parse_mount, parse_size
from wasmdock.errors import WasmdockError
from wasmdock.oci.reference import Platform
from wasmdock.runtime import MIB

_IMAGE = "a name in the store or the engine, an archive, an OCI layout, a .wasm or .wat file, or a guest's folder"

Verbs = Any  # argparse keeps the type of its subparsers to itself


def build_parser() -> argparse.ArgumentParser:
    """Make the parser. Verbs are named here and imported when they run."""
    from wasmdock.cli.parser_bench import add_bench
    from wasmdock.cli.parser_doctor import add_doctor
    from wasmdock.cli.parser_registry import add_registry

    parser = argparse.ArgumentParser(
        prog="wasmdock",
        description="Build, run and measure Wasm workloads on Docker and containerd, or in this very process.",
        epilog="example: wasmdock run dockerfiles/hello-world",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wasmdock {__version__}")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr but errors")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for add in (
        _add_build,
        _add_pack,
        _add_run,
        _add_invoke,
        _add_inspect,
        _add_extract,
        _add_store,
        add_registry,
        _add_engine,
        add_bench,
        add_doctor,
        _add_shell,
    ):
        add(verbs)
    return parser


def verb(verbs: Verbs, name: str, where: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Add a verb; `where` is `module:function` under wasmdock.cli, imported when the verb runs."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary[:1].upper() + summary[1:] + ".",
        epilog=f"example: {example}",
        allow_abbrev=False,
    )
    parser.set_defaults(verb=_late(where), is_run=False)
    return parser


def _late(where: str) -> Callable[..., int]:
    def call(*arguments: Any) -> int:
        module, _, function = where.partition(":")
        return int(getattr(importlib.import_module(f"wasmdock.cli.{module}"), function)(*arguments))

    return call


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Turn a UsageError into argparse's own complaint, so that it names the flag."""

    def call(text: str) -> Any:
        try:
            return parse(text)
        except WasmdockError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise argparse.ArgumentTypeError(f"{error.message}{hint}") from error

    return call


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add --format."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add what says where an image comes from."""
    parser.add_argument(
        "--pull",
        choices=("missing", "always", "never"),
        default="missing",
        help="fetch the image: where it is not here and its name begins with a registry (default), always, or never",
    )
    parser.add_argument(
        "--platform",
        type=checked(Platform.parse),
        metavar="OS/ARCH",
        help="which image of a name that holds several (default: Wasm, else this machine's)",
    )
    parser.add_argument("--insecure", action="store_true", help="take plain http and unverified TLS from the registry")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits of a guest."""
    size, duration = checked(parse_size), checked(parse_duration)
    parser.add_argument(
        "--memory",
        type=size,
        default=512 * MIB,
        metavar="SIZE",
        help="Wasm memory, such as 64m (default: 512m)",
    )
    parser.add_argument("--timeout", type=duration, metavar="TIME", help="wall time, such as 5s (default: none)")
    parser.add_argument("--fuel", type=int, metavar="N", help="Wasm instructions (default: none)")


def _add_packing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--tag", metavar="NAME[:TAG]", help="the image's name (default: the guest's)")
    parser.add_argument("--target", metavar="TARGET", help="wasip1, wasip2, unknown or native (default: the guest's)")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="K=V", help="a variable kept in the image")
    parser.add_argument("--label", action="append", default=[], metavar="K=V", help="a label of the image")
    parser.add_argument("--arg", dest="args", action="append", default=[], help="a default argument (CMD)")
    parser.add_argument("--export", metavar="NAME", help="start this export instead of the command")
    add_format(parser)


def _add_build(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "build",
        "build:build",
        "compile a guest's folder to Wasm and put its image into the store",
        "wasmdock build dockerfiles/hello-world -t hello-world:v1",
    )
    parser.add_argument("folder", type=Path, help="the guest: a folder with a Cargo.toml")
    _add_packing(parser)


def _add_pack(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "pack",
        "build:pack_file",
        "pack a .wasm file (or a guest's folder) into an image",
        "wasmdock pack hello-world.wasm -o hello-world.tar",
    )
    parser.add_argument("file", type=Path, help="a .wasm or .wat file, or a guest's folder")
    parser.add_argument("--name", help="the program's name in the image (default: the file's)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="write here instead of the store: NAME.tar an archive, else a layout",
    )
    _add_packing(parser)


def _add_run(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "run",
        "run:run",
        "run an image, in Docker or in this process",
        "wasmdock run -i -v ./data:/data --timeout 5s signature-checker",
    )
    parser.set_defaults(is_run=True)
    mount = checked(parse_mount)
    parser.add_argument("image", help=_IMAGE)
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="arguments of the guest")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="K=V", help="a variable of the guest")
    parser.add_argument(
        "--env-file", action="append", default=[], type=Path, metavar="FILE", help="variables, a line each"
    )
    parser.add_argument(
        "-v",
        "--volume",
        action="append",
        default=[],
        type=mount,
        metavar="HOST:GUEST[:ro]",
        help="a folder for the guest",
    )
    parser.add_argument("-i", "--interactive", action="store_true", help="give the guest our standard input")
    parser.add_argument(
        "-p", "--publish", action="append", default=[], metavar="HOST:GUEST", help="publish a port (Docker only)"
    )
    parser.add_argument("-t", "--tty", action="store_true", help="a terminal (Docker only; in-process shares ours)")
    add_limits(parser)
    parser.add_argument("--on", choices=("auto", "docker", "process"), default="auto", help="where (default: auto)")
    add_source(parser)
    parser.add_argument("--why", action="store_true", help="say on stderr which road is taken, and why")


def _add_invoke(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "invoke",
        "invoke:invoke",
        "call one exported function",
        "wasmdock invoke is-thirteen is_thirteen 13",
    )
    parser.set_defaults(is_run=True)
    parser.add_argument("image", help=_IMAGE)
    parser.add_argument("export", help="the function, or interface#function of a component")
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="numbers, or WIT values as JSON")
    parser.add_argument("--unsigned", action="store_true", help="print integers without a sign")
    add_limits(parser)
    add_source(parser)
    add_format(parser)


def _add_inspect(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "inspect",
        "inspect:inspect",
        "show what is in an image or a Wasm file",
        "wasmdock inspect hello-world --format json",
    )
    parser.add_argument("image", help=_IMAGE)
    parser.add_argument("--wat", action="store_true", help="print the text form, by wasm-tools or wabt")
    add_source(parser)
    add_format(parser)


def _add_extract(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "extract",
        "inspect:extract_file",
        "write the program an image starts to a file",
        "wasmdock extract hello-world -o hello-world.wasm",
    )
    parser.add_argument("image", help=_IMAGE)
    parser.add_argument("-o", "--output", type=Path, help="the file; - is stdout (default: its name in the image)")
    add_source(parser)


def _add_store(verbs: Verbs) -> None:
    parser = verb(verbs, "images", "images:images", "list the images in the store", "wasmdock images --format json")
    add_format(parser)
    parser = verb(verbs, "rmi", "images:rmi", "remove images from the store", "wasmdock rmi hello-world")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a name or digest in the store")
    parser = verb(
        verbs,
        "load",
        "images:load",
        "put an archive or a layout into the store",
        "wasmdock load hello-world.tar",
    )
    parser.add_argument("input", type=Path, help="an archive (docker save), an OCI layout, or - for stdin")
    parser.add_argument("-t", "--tag", metavar="NAME[:TAG]", help="a name for the image")
    parser = verb(
        verbs,
        "save",
        "images:save",
        "write an image of the store as an archive or a layout",
        "wasmdock save hello-world -o hello-world.tar",
    )
    parser.add_argument("image", help="a name or digest in the store")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="NAME.tar an archive, - stdout, else a layout folder"
    )


def _add_engine(verbs: Verbs) -> None:
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


def _add_shell(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "completion",
        "completion:completion",
        "print the shell's completion script",
        'eval "$(wasmdock completion bash)"',
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")
