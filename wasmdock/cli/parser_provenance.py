"""The grammar of what shows where an image comes from: sbom, verify, diff."""

from pathlib import Path

from wasmdock.cli.parser import Verbs, add_format, add_source, verb


def add_provenance(verbs: Verbs) -> None:
    """Add the verbs."""
    parser = verb(
        verbs, "sbom", "provenance:sbom", "show what an image is made of", "wasmdock sbom hello-world --format json"
    )
    parser.add_argument("image", help="a name in the store or in a registry")
    add_source(parser)
    add_format(parser)
    parser = verb(
        verbs,
        "verify",
        "provenance:verify",
        "check an image's digests, its provenance, and that its source gives the same bytes again",
        "wasmdock verify signature-checker --rebuild dockerfiles/signature-checker",
    )
    parser.add_argument("image", help="a name in the store or in a registry")
    parser.add_argument("--rebuild", type=Path, metavar="FOLDER", help="build the guest anew and compare")
    parser.add_argument("--key", type=Path, metavar="KEY", help="the public key (PEM) the provenance is signed with")
    add_source(parser)
    add_format(parser)
    parser = verb(verbs, "diff", "diff:diff", "show what changed between two images", "wasmdock diff hello:v1 hello:v2")
    parser.add_argument("before", metavar="A", help="an image, an archive, a layout or a .wasm file")
    parser.add_argument("after", metavar="B", help="another")
    add_source(parser)
    add_format(parser)
