"""The real cosign and wasmdock take one another's signatures and attestations, offline, through a real registry."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.conftest import sample
from tests.images import image_of, plain_layer, tar_of
from tests.real_registry import Tools, real_registry, require_tool
from tests.test_provenance import keys
from wasmdock.cosign import is_signed, push_signature
from wasmdock.oci.image import Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Transport
from wasmdock.oci.registry_transfer import push

_SBOM = {"spdxVersion": "SPDX-2.3", "packages": [{"SPDXID": "SPDXRef-x", "name": "serde", "versionInfo": "1.0.1"}]}
IMAGE = sample("hello")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_registry(tmp_path_factory.mktemp("registry")) as name:
        yield name


@pytest.fixture
def cosign(tmp_path: Path) -> Iterator[Tools]:
    folder = tmp_path / "cosign"
    folder.mkdir()
    tools = Tools(folder)
    tools.run(require_tool("cosign"), "generate-key-pair")
    yield tools


def _pushed(registry: str, repository: str) -> tuple[Registry, Reference]:
    client, name = Registry(registry, Transport()), Reference(registry, repository, "v1")
    push(client, name, IMAGE)
    return client, name


def _by_digest(name: Reference) -> str:
    return f"{name.registry}/{name.repository}@{IMAGE.digest}"


def _cosign(cosign: Tools, verb: str, name: Reference, *flags: str, check: bool = True) -> str:
    argv = (require_tool("cosign"), verb, "--allow-http-registry", *flags, _by_digest(name))
    done = cosign.run(*argv, check=check)
    return done.stdout + done.stderr


def test_what_cosign_signed_is_signed(cosign: Tools, registry: str) -> None:
    client, name = _pushed(registry, "by-cosign")
    public = (cosign.folder / "cosign.pub").read_bytes()
    assert not is_signed(client, name, IMAGE.digest, public)
    _cosign(cosign, "sign", name, "--key=cosign.key", "--tlog-upload=false", "--yes")
    assert is_signed(client, name, IMAGE.digest, public)


@pytest.mark.parametrize("kind", ["ed25519", "EC"])
def test_cosign_verifies_what_wasmdock_signed(kind: str, cosign: Tools, registry: str, tmp_path: Path) -> None:
    client, name = _pushed(registry, f"by-wasmdock/{kind.lower()}")
    private, public = keys(tmp_path, kind)
    push_signature(client, name, IMAGE.digest, private)
    (cosign.folder / "ours.pub").write_bytes(public)
    said = _cosign(cosign, "verify", name, "--key=ours.pub", "--insecure-ignore-tlog")
    assert "The signatures were verified against the specified public key" in said
    refused = _cosign(cosign, "verify", name, "--key=cosign.pub", "--insecure-ignore-tlog", check=False)
    assert "no matching signatures" in refused


def test_what_cosign_attested_is_read_verified_and_copied(cosign: Tools, registry: str, wasmdock: CommandLine) -> None:
    _, name = _pushed(registry, "attested")
    (cosign.folder / "sbom.json").write_text(json.dumps(_SBOM))
    flags = ("--key=cosign.key", "--tlog-upload=false", "--yes", "--type=spdxjson", "--predicate=sbom.json")
    _cosign(cosign, "attest", name, *flags)
    other = f"{registry}/elsewhere:v1"
    assert wasmdock("copy", str(name), other).code == 0
    for image in (str(name), other):
        assert wasmdock("sbom", image).text == "serde  1.0.1\n"
        done = wasmdock("verify", image, "--key", str(cosign.folder / "cosign.pub"))
        read = "signed statement of type https://spdx.dev/Document: read it yourself"
        assert (done.code, "none by the key given" in done.text, read in done.text) == (1, True, True)
        assert wasmdock("tags", image.removesuffix(":v1")).text == "v1\n"


@pytest.mark.parametrize("kind", ["slsaprovenance", "slsaprovenance1"])
def test_provenance_that_cosign_attested_stands_for_the_image(
    kind: str, cosign: Tools, registry: str, wasmdock: CommandLine
) -> None:
    _, name = _pushed(registry, f"provenance/{kind}")
    old = {"builder": {"id": "x"}, "buildType": "x", "invocation": {}}
    new = {"buildDefinition": {"buildType": "x", "externalParameters": {}}, "runDetails": {"builder": {"id": "x"}}}
    (cosign.folder / "predicate.json").write_text(json.dumps(new if kind.endswith("1") else old))
    flags = ("--key=cosign.key", "--tlog-upload=false", "--yes", f"--type={kind}", "--predicate=predicate.json")
    _cosign(cosign, "attest", name, *flags)
    done = wasmdock("verify", str(name), "--key", str(cosign.folder / "cosign.pub"))
    assert (done.code, "the provenance, as cosign attests, by the key given" in done.text) == (0, True)


@pytest.mark.parametrize("with_index", [True, False])
def test_what_cosign_signed_of_an_index_is_verified_of_its_image(
    with_index: bool, cosign: Tools, registry: str, wasmdock: CommandLine
) -> None:
    native = image_of(plain_layer(tar_of({"app": b""})), os="linux", architecture="amd64")
    index, client = ImageIndex.of([IMAGE, native]), Registry(registry, Transport())
    name = Reference(registry, f"index/{with_index}".lower(), "v1")
    push(client, name, index)
    signed = index.digest if with_index else native.digest
    flags = ("--allow-http-registry", "--key=cosign.key", "--tlog-upload=false", "--yes")
    cosign.run(require_tool("cosign"), "sign", *flags, f"{name.name}@{signed}")
    done = wasmdock("verify", str(name), "--key", str(cosign.folder / "cosign.pub"))
    assert (done.code, "the index of the image, as cosign signs" in done.text) == (0 if with_index else 1, with_index)
