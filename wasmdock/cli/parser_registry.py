"""The grammar of what speaks to registries: push, pull, copy, tags, login, logout."""

import argparse
from pathlib import Path

from wasmdock.cli.parser import Verbs, add_format, add_source, checked, verb
from wasmdock.cli.parser_images import add_shape
from wasmdock.oci.reference import Platform

_NAME = "[REGISTRY/]NAME[:TAG]"


def add_registry(verbs: Verbs) -> None:
    """Add the verbs."""
    _add_push(verbs)
    _add_pull(verbs)
    _add_copy(verbs)
    _add_tags(verbs)
    _add_convert(verbs)
    _add_login(verbs)


def _add_convert(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "convert",
        "convert:convert_image",
        "store an image in another shape",
        "wasmdock convert hello-world hello-world:artifact --shape artifact",
    )
    parser.add_argument("image", help="a name in the store or in a registry, an archive, a layout or a .wasm file")
    parser.add_argument("name", metavar="NAME[:TAG]", help="the name of the new image")
    add_shape(parser, is_required=True)
    add_source(parser)
    add_format(parser)


def _add_push(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "push",
        "registry:push",
        "send an image of the store to a registry",
        "wasmdock push localhost:5000/hello:v1",
    )
    parser.add_argument("image", help="a name or digest in the store")
    parser.add_argument("name", nargs="?", metavar=_NAME, help="the name there (default: the image's own)")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign it as cosign does: a private key in PEM")
    parser.add_argument(
        "--platform-only", action="store_true", help="put one image in the place of the index it was pulled from"
    )
    _add_insecure(parser)
    add_format(parser)


def _add_pull(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "pull",
        "registry:pull",
        "fetch an image from a registry into the store",
        "wasmdock pull localhost:5000/hello:v1",
    )
    parser.add_argument("name", metavar=_NAME, help="the image, by tag or by digest")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--platform",
        type=checked(Platform.parse),
        metavar="OS/ARCH",
        help="which image of a name that holds several (default: Wasm, else this machine's)",
    )
    which.add_argument("--all-platforms", action="store_true", help="keep all of them under the one name")
    parser.add_argument("--referrers", action="store_true", help="keep its SBOM, provenance and other referrers, too")
    _add_insecure(parser)
    add_format(parser)


def _add_copy(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "copy",
        "registry:copy",
        "copy all that a name holds from one registry to another",
        "wasmdock copy ghcr.io/me/hello:v1 localhost:5000/hello:v1",
    )
    parser.add_argument("source", metavar="FROM", help="a name in a registry")
    parser.add_argument("target", metavar="TO", help="a name in the same or another registry")
    _add_insecure(parser)
    add_format(parser)


def _add_tags(verbs: Verbs) -> None:
    parser = verb(verbs, "tags", "registry:tags", "list a repository's tags", "wasmdock tags localhost:5000/hello")
    parser.add_argument("name", metavar="[REGISTRY/]NAME", help="the repository")
    _add_insecure(parser)
    add_format(parser)


def _add_login(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "login",
        "registry:login",
        "check a login and keep it where docker login does",
        "wasmdock login ghcr.io -u me --password-stdin",
    )
    parser.add_argument("registry", nargs="?", default="docker.io", help="the registry (default: docker.io)")
    parser.add_argument("-u", "--username", help="the user (default: asked for)")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    _add_insecure(parser)
    parser = verb(verbs, "logout", "registry:logout", "forget a login", "wasmdock logout ghcr.io")
    parser.add_argument("registry", nargs="?", default="docker.io", help="the registry (default: docker.io)")


def _add_insecure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--insecure", action="store_true", help="take plain http and unverified TLS from the registry")
