"""wasmdock inspect and extract: what is in an image or a Wasm file, and the Wasm file itself."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from wasmdock.aside import write_output
from wasmdock.cli.context import Context
from wasmdock.cli.source import Source, find_image, wanted_of
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.grants import capabilities_json, render_capabilities
from wasmdock.inspection import render, to_json
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Image
from wasmdock.pack import entry, extract
from wasmdock.process import run_command
from wasmdock.shape import shape_of
from wasmdock.wasm import parse

_WAT_TIMEOUT = 60.0


def inspect(options: argparse.Namespace, context: Context) -> int:
    """Show form, world, imports, exports, memories, sections, digests and sizes."""
    source = find_image(options.image, context, wanted_of(options))
    if not source.image.platform.is_wasm:
        return _inspect_native(source, options)
    data = extract(source.image)
    if options.wat:
        return _print_wat(data)
    binary = parse(data)
    if options.capabilities:
        labels = source.image.labels
        as_json = options.format == "json"
        print(json.dumps(capabilities_json(binary, labels)) if as_json else render_capabilities(binary, labels))
        return 0
    if options.format == "json":
        print(json.dumps({"image": _facts(source.image, source.reference), **to_json(binary)}, ensure_ascii=False))
    else:
        print(render(binary, _shown(source)))
    return 0


def extract_file(options: argparse.Namespace, context: Context) -> int:
    """Write the program an image starts, byte for byte."""
    image = find_image(options.image, context, wanted_of(options)).image
    data = extract(image)
    output: Path = options.output or _own_name(image)
    if str(output) == "-":
        if sys.stdout.isatty():
            raise UsageError("writing a binary to the terminal", "name a file with -o, or redirect stdout")
        sys.stdout.buffer.write(data)
        return 0
    _write(output, data)
    context.say(f"{output}  {len(data)} bytes")
    return 0


def _own_name(image: Image) -> Path:
    """The program's own name: the image chose it, so it replaces no file and hides none."""
    name = Path(entry(image).path).name
    doing = f'writing "{shown(name)}", as the image names its program'
    cure = "name the file with -o FILE"
    if not name or name.startswith(".") or not name.isprintable():
        raise UsageError(f"{doing}: such a name is not taken from an image", cure)
    if os.path.lexists(name):
        raise UsageError(f"{doing}: there is one already", cure)
    return Path(name)


def _write(output: Path, data: bytes) -> None:
    try:
        write_output(output, data)
    except OSError as error:
        raise UnavailableError(f'writing "{output}": {error.strerror}', "name another place with -o") from error


def _inspect_native(source: Source, options: argparse.Namespace) -> int:
    facts = _facts(source.image, source.reference)
    if options.format == "json":
        print(json.dumps({"image": facts}))
    else:
        width = max(len(key) for key in facts)
        print("\n".join(f"{key:<{width}}  {_known(value)}" for key, value in facts.items()))
    return 0


def _facts(image: Image, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "digest": str(image.digest),
        "platform": str(image.platform),
        "shape": shape_of(image).value,
        "entrypoint": list(image.entrypoint),
        "cmd": list(image.cmd),
        "env": dict(image.env),
        "labels": dict(image.labels),
        "packed_size": image.packed_size,
        "unpacked_size": image.unpacked_size,
    }


def _shown(source: Source) -> dict[str, str]:
    image = source.image
    return {
        "image": f"{source.reference}  (from {source.origin})",
        "digest": str(image.digest),
        "platform": str(image.platform),
        "shape": shape_of(image).value,
        "entrypoint": " ".join(image.entrypoint),
        "size": f"{image.packed_size} bytes packed, {_known(image.unpacked_size)} unpacked",
    }


def _known(value: object) -> object:
    """Null in JSON, a word in text."""
    return "unknown" if value is None else value


def _print_wat(data: bytes) -> int:
    """The text form, by wasm-tools or wabt: whichever is installed."""
    attempts = (["wasm-tools", "print"], ["wasm2wat", "--enable-all", "-"])
    for argv in attempts:
        try:
            completed = run_command(argv, timeout=_WAT_TIMEOUT, stdin=data)
        except UnavailableError:
            continue
        if completed.code == 0:
            sys.stdout.write(completed.stdout.decode())
            return 0
    raise UnavailableError(
        "printing the text form: no tool for it is installed",
        "cargo install --locked wasm-tools   (or apt-get install wabt, for core modules)",
    )
