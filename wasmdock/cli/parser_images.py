"""The flags of the verbs that make, show and keep images."""

import argparse
from pathlib import Path

from wasmdock.cli.parser import IMAGE, Verbs, add_format, add_source, verb


def add_build(verbs: Verbs) -> None:
    """Add build and pack."""
    _add_build(verbs)
    _add_pack(verbs)


def add_store(verbs: Verbs) -> None:
    """Add inspect, extract and the store's verbs."""
    _add_inspect(verbs)
    _add_extract(verbs)
    _add_store(verbs)


def add_shape(parser: argparse.ArgumentParser, is_required: bool = False) -> None:
    """Add --shape."""
    parser.add_argument(
        "--shape",
        choices=("rootfs", "wasm-layer", "artifact"),
        required=is_required,
        default=None if is_required else "rootfs",
        help="rootfs: runs everywhere (default); wasm-layer: for containerd's runwasi; artifact: the CNCF's",
    )


def _add_packing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--tag", metavar="NAME[:TAG]", help="the image's name (default: the guest's)")
    parser.add_argument("--target", metavar="TARGET", help="wasip1, wasip2, unknown or native (default: the guest's)")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="K=V", help="a variable kept in the image")
    parser.add_argument("--label", action="append", default=[], metavar="K=V", help="a label of the image")
    parser.add_argument("--arg", dest="args", action="append", default=[], help="a default argument (CMD)")
    parser.add_argument("--export", metavar="NAME", help="start this export instead of the command")
    parser.add_argument(
        "--capabilities", metavar="LIST", help="all it may ask for, kept in a label; `auto`: what it imports now"
    )
    add_shape(parser)
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
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign the provenance: a private key in PEM")
    parser.add_argument("--optimize", action="store_true", help="make it smaller: wasm-opt (binaryen), names stripped")
    parser.add_argument(
        "--platform",
        default="",
        metavar="OS/ARCH[,...]",
        help="wasi/wasm, linux/amd64 or both, a comma between: one name for several platforms",
    )
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


def _add_inspect(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "inspect",
        "inspect:inspect",
        "show what is in an image or a Wasm file",
        "wasmdock inspect hello-world --format json",
    )
    parser.add_argument("image", help=IMAGE)
    parser.add_argument("--capabilities", action="store_true", help="what it can ask for, and what run grants of it")
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
    parser.add_argument("image", help=IMAGE)
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
    parser.elsewhere = dict.fromkeys(("-i", "--input"), "name the file alone: wasmdock load FILE")
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
