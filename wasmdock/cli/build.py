"""wasmdock build and pack: a guest's folder or a Wasm file -> an image in the store, a layout or an archive."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from wasmdock.build import Build
from wasmdock.cli.attest import documents_of
from wasmdock.cli.context import Context
from wasmdock.cli.key_file import read_signing_key
from wasmdock.cli.source import read_wasm
from wasmdock.cli.toolchain import build_folder, epoch
from wasmdock.cli.values import parse_env
from wasmdock.errors import ImageError, UsageError
from wasmdock.guest import Artifact, Target, parse_target
from wasmdock.oci.image import Image, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.referrer import Referrer
from wasmdock.pack import pack
from wasmdock.shape import Shape
from wasmdock.wasm_sniff import Form, form_of


def build(options: argparse.Namespace, context: Context) -> int:
    """Compile a guest, pack it and put it into the store; for several platforms an index of all under one name."""
    key = read_signing_key(options.sign) if options.sign else b""  # a wrong one stops us before anything is built
    target = _target(options.target, context)
    _check_name(options.tag)
    if options.platform:
        with _typed():
            platforms = Platform.explain_list(options.platform)
        for note in filter(None, platforms.values()):
            context.say(f"wasmdock: {note}")
        return _build_for(tuple(platforms), target, key, options, context)
    plain = build_folder(options.folder, target, context, static=True)
    made, optimized = _optimized(plain, options, context)
    image = _packed(made.artifact, options, context)
    about = documents_of(image, plain, made, optimized, key, options.folder)
    reference = Reference.parse(options.tag or made.artifact.name)
    context.store.put(image, reference)
    _attach(about, context)
    _report(image, reference.familiar, made, options, optimized, plain)
    return 0


def _build_for(
    platforms: Sequence[Platform], target: Target | None, key: bytes, options: argparse.Namespace, context: Context
) -> int:
    """One image for each platform; a single one is stored as itself, without an index around it."""
    if len(platforms) > 1 and options.shape != Shape.ROOTFS.value:
        hint = "leave --shape out, or build for one platform"
        raise UsageError(f"building an index of {options.shape}: containerd's Wasm shims cannot read one", hint)
    targets = [_target_for(platform, target) for platform in platforms]
    if target is not None and target not in targets:
        listed = ", ".join(map(str, platforms))
        raise UsageError(f'building "{target.value}" for {listed}: none of these is that', "leave --target out")
    built = [build_folder(options.folder, each, context, static=True) for each in targets]
    both = [_optimized(each, options, context) for each in built]
    made = [each for each, _ in both]
    images = [_packed(each.artifact, options, context) for each in made]
    for wanted, image in zip(platforms, images, strict=True):
        if not image.platform.matches(wanted) and not (wanted.is_wasm and image.platform.is_wasm):
            cause = f"what was built is for {image.platform}"
            raise UsageError(f'building for "{wanted}": {cause}', f"build on a {wanted} machine, or leave it out")
    parts = list(zip(images, built, both, strict=True))
    about = [
        each
        for image, plain, (done, optimized) in parts
        for each in documents_of(image, plain, done, optimized, key, options.folder)
    ]
    reference = Reference.parse(options.tag or made[0].artifact.name)
    if len(images) == 1:
        context.store.put(images[0], reference)
    else:
        context.store.put_index(ImageIndex.of(images), reference)
    _attach(about, context)
    for image, plain, (done, optimized) in parts:
        _report(image, reference.familiar, done, options, optimized, plain)
    return 0


def _check_name(tag: str | None) -> None:
    """Raise UsageError for what is no name, before anything is compiled."""
    with _typed():
        Reference.parse(tag or "usual")


@contextmanager
def _typed() -> Iterator[None]:
    """What cannot be read here was typed by the user. Raises UsageError for ImageError."""
    try:
        yield
    except ImageError as error:
        raise UsageError(error.message, error.hint) from error


def _attach(about: Sequence[Referrer], context: Context) -> None:
    for each in about:
        context.store.attach(each)


def _target_for(platform: Platform, target: Target | None) -> Target | None:
    """What to compile for a platform. Raises UsageError for one nothing can be built for."""
    if platform.is_wasm:
        named = {"wasip1": Target.WASIP1, "wasip2": Target.WASIP2}.get(platform.os)
        return named or (None if target is Target.NATIVE else target)
    if platform.os != "linux":
        raise UsageError(f'building for "{platform}": neither Wasm nor Linux', "name wasi/wasm or linux/amd64")
    return Target.NATIVE


def pack_file(options: argparse.Namespace, context: Context) -> int:
    """Pack a compiled .wasm (or a guest's folder) into the store, a layout folder or an archive."""
    path: Path = options.file
    _check_name(options.tag)
    if path.is_dir():
        artifact = build_folder(path, _target(options.target, context), context, static=True).artifact
    else:
        artifact = _artifact(path, options.name)
    image = _packed(artifact, options, context)
    reference = Reference.parse(options.tag or artifact.name)
    if options.output is None:
        context.store.put(image, reference)
    else:
        write_out(image, options.output, reference)
    _report(image, str(options.output or reference.familiar), None, options)
    return 0


def write_out(image: Image | ImageIndex, output: Path, reference: Reference | None) -> None:
    """Write a layout folder, or an archive where the name ends in .tar; `-` is stdout."""
    from wasmdock.oci.archive import write_archive
    from wasmdock.oci.layout import write_layout

    if str(output) == "-":
        if sys.stdout.isatty():
            raise UsageError("writing an archive to the terminal", "name a file with -o, or redirect stdout")
        write_archive(image, sys.stdout.buffer, reference)
    elif output.suffix == ".tar":
        write_archive(image, output, reference)
    else:
        write_layout(image, output, reference)


def _target(text: str | None, context: Context) -> Target | None:
    if text is None:
        return None
    target, note = parse_target(text)
    if note:
        context.say(f"wasmdock: {note}")
    return target


def _optimized(made: Build, options: argparse.Namespace, context: Context) -> tuple[Build, str]:
    """What --optimize makes of a build, and by what; the size before is told beside the one after."""
    if not options.optimize or not made.artifact.target.is_wasm:
        return made, ""
    from wasmdock.optimize import optimize

    artifact, how = optimize(made.artifact)
    before, after = len(made.artifact.data), len(artifact.data)
    won = f"{before:,} -> {after:,} bytes ({100 * (after - before) / before:+.1f} %)"
    context.say(f"wasmdock: {how}: {won if after < before else f'nothing won over {before:,} bytes'}")
    return replace(made, artifact=artifact), how if after < before else ""


def _artifact(path: Path, name: str | None) -> Artifact:
    data = read_wasm(path)
    target = Target.WASIP2 if form_of(data) is Form.COMPONENT else Target.WASIP1
    return Artifact(name or path.stem, target, data)


def _packed(artifact: Artifact, options: argparse.Namespace, context: Context) -> Image:
    labels = {**_listed(artifact, options.capabilities), **dict(_pair(text) for text in options.label)}
    is_export = options.export and artifact.target.is_wasm
    entrypoint = (f"/{artifact.name}.wasm#{options.export}",) if is_export else None
    return pack(
        artifact,
        env=parse_env(options.env, [], context.environment),
        labels=labels,
        args=tuple(options.args),
        entrypoint=entrypoint,
        created=epoch(context),
        shape=Shape(options.shape),
    )


def _listed(artifact: Artifact, text: str | None) -> dict[str, str]:
    """The author's list of capabilities as a label."""
    if text is None:
        return {}
    from wasmdock.capabilities import capabilities
    from wasmdock.grants import Grant, check_grant, label_text, parse_capabilities
    from wasmdock.runtime import CAPABILITIES_LABEL as LABEL
    from wasmdock.wasm import parse

    if not artifact.target.is_wasm:
        raise UsageError("listing capabilities of a native program: only Wasm has them", "leave --capabilities out")
    binary = parse(artifact.data)
    if text == "auto":
        return {LABEL: label_text(capabilities(binary))}
    listed = parse_capabilities(text)
    check_grant(binary, Grant(listed, "--capabilities"), "--capabilities", "packing")
    return {LABEL: label_text(listed)}


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f'reading label "{text}": not KEY=VALUE')
    return key, value


def _report(
    image: Image,
    name: str,
    made: Build | None,
    options: argparse.Namespace,
    optimized: str = "",
    plain: Build | None = None,
) -> None:
    """Say what there is now; of a program that was made smaller, from what size to what, and by what."""
    facts = {
        "name": name,
        "digest": str(image.digest),
        "platform": str(image.platform),
        "packed_size": image.packed_size,
        "unpacked_size": image.unpacked_size,
    }
    if made:
        facts |= {"road": made.road, "cached": made.cached, "seconds": round(made.seconds, 3)}
        facts["program_size"] = after = len(made.artifact.data)
        before = len(plain.artifact.data) if plain else after
        facts |= {"unoptimized_size": before, "optimized_by": optimized} if plain and options.optimize else {}
    if options.format == "json":
        print(json.dumps(facts))
        return
    built = f"{'unchanged' if made.cached else f'built in {made.seconds:.1f} s'} ({made.road})" if made else ""
    won = f", then optimised: program {before / 1000:.1f} -> {after / 1000:.1f} kB" if made and optimized else ""
    how = f", {built}{won}" if built else ""
    print(f"{name}  {image.digest.short}  {image.platform}  {image.packed_size / 1000:.1f} kB{how}")
