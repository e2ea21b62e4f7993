"""What is said of an image: its SBOM, its provenance, signatures, and how these are kept beside it."""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faulty_registry import REPOSITORY, FaultyRegistry, answering, faulty_registry, on
from tests.images import HELLO, hello
from wasmdock.errors import GuestError, ImageError, UsageError
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Descriptor, Digest, Image, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.manifest import OCI_MANIFEST
from wasmdock.oci.referrer import IN_TOTO, SPDX, Referrer
from wasmdock.oci.registry_referrers import copy_referrers, pull_referrers, push_referrers
from wasmdock.oci.registry_transfer import copy, pull, push
from wasmdock.oci.store import Store
from wasmdock.provenance import check_signature, make_statement, read_statement, sign
from wasmdock.sbom import crates_of, make_sbom, parse_lock

ROOT = Path(__file__).parent.parent
CREATED = "1970-01-01T00:00:00Z"
LOCK = """
version = 4

[[package]]
name = "hello"
version = "1.2.3"
dependencies = ["hex 0.4.3", "git-crate"]

[[package]]
name = "hex"
version = "0.4.3"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "7f24254aa9a54b5c858eaee2f5bccdb46aaf0e486a595ed5fd8f86ba55232a70"

[[package]]
name = "hex"
version = "0.5.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"

[[package]]
name = "git-crate"
version = "0.1.0"
source = "git+https://example.invalid/x#abc"
"""


def keys(folder: Path, kind: str = "ed25519") -> tuple[bytes, bytes]:
    """A new private key and its public one, by openssl: others make keys too."""
    options = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "EC" else []
    private = folder / f"{kind}.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", kind, *options, "-out", private], check=True, capture_output=True
    )
    public = subprocess.run(["openssl", "pkey", "-in", private, "-pubout"], check=True, capture_output=True).stdout
    return private.read_bytes(), public


def statement(image: Image | None = None, artifact: Artifact = HELLO) -> bytes:
    return make_statement(image or hello(), artifact, road="host cargo", source="0" * 64, lock=LOCK)


def test_an_sbom_lists_each_crate_with_its_checksum() -> None:
    packages = {each["SPDXID"]: each for each in json.loads(make_sbom(HELLO, LOCK, CREATED))["packages"]}
    hex_crate = packages["SPDXRef-crate-hex-0.4.3"]
    assert hex_crate["externalRefs"][0]["referenceLocator"] == "pkg:cargo/hex@0.4.3"
    assert hex_crate["checksums"][0]["checksumValue"].startswith("7f24254a")
    assert packages["SPDXRef-crate-git-crate-0.1.0"]["downloadLocation"] == "git+https://example.invalid/x#abc"
    assert len(packages) == 5


def test_an_sbom_says_what_depends_on_what() -> None:
    found = {
        (each["spdxElementId"], each["relatedSpdxElement"])
        for each in json.loads(make_sbom(HELLO, LOCK, CREATED))["relationships"]
        if each["relationshipType"] == "DEPENDS_ON"
    }
    assert found == {
        ("SPDXRef-crate-hello-1.2.3", "SPDXRef-crate-hex-0.4.3"),
        ("SPDXRef-crate-hello-1.2.3", "SPDXRef-crate-git-crate-0.1.0"),
    }


TWICE = """
[[package]]
name = "guest"
version = "1.0.0"
dependencies = ["rand 0.8.5 (git+https://example.invalid/x?branch=main)", "other"]

[[package]]
name = "other"
version = "1.0.0"
dependencies = ["rand 0.8.5 (registry+https://github.com/rust-lang/crates.io-index)"]

[[package]]
name = "rand"
version = "0.8.5"
source = "git+https://example.invalid/x?branch=main#abc"

[[package]]
name = "rand"
version = "0.8.5"
source = "registry+https://github.com/rust-lang/crates.io-index"
"""


def test_the_same_version_from_two_sources_is_two_packages() -> None:
    document = json.loads(make_sbom(replace(HELLO, name="guest"), TWICE, CREATED))
    found = {each["SPDXID"]: each["downloadLocation"] for each in document["packages"] if each["name"] == "rand"}
    (git,) = (each for each in found if each != "SPDXRef-crate-rand-0.8.5")
    assert (len(found), found[git]) == (2, "git+https://example.invalid/x?branch=main#abc")
    related = {(each["spdxElementId"], each["relatedSpdxElement"]) for each in document["relationships"]}
    assert ("SPDXRef-crate-guest-1.0.0", git) in related
    assert ("SPDXRef-crate-other-1.0.0", "SPDXRef-crate-rand-0.8.5") in related


def test_of_a_workspaces_lock_only_the_guests_crates_are_listed() -> None:
    neighbour = '[[package]]\nname = "neighbour"\nversion = "1.0.0"\ndependencies = ["hex 0.5.0"]\n'
    assert crates_of(make_sbom(HELLO, LOCK + neighbour, CREATED)) == {
        "git-crate": "0.1.0",
        "hello": "1.2.3",
        "hex": "0.4.3",
    }


def test_an_sbom_names_the_compiler() -> None:
    tools = json.loads(make_sbom(HELLO, LOCK, CREATED, "rustc 1.90.0"))["packages"]
    assert ("rustc", "1.90.0", "compiled the guest") in [
        (each["name"], each["versionInfo"], each.get("comment")) for each in tools
    ]


def test_what_the_producers_section_names_is_not_called_the_guests_compiler() -> None:
    said = ["rustc 1.90.0 (abc 2025-09-14)", "rustc 1.80.0 (def 2024-07-21)", "clang 16.0.4"]
    sbom = make_sbom(HELLO, LOCK, CREATED, "rustc 1.90.0", said)
    packages = json.loads(sbom)["packages"]
    assert [each["versionInfo"] for each in packages if each.get("comment") == "compiled the guest"] == ["1.90.0"]
    assert crates_of(sbom)["rustc"] == "1.80.0 (def 2024-07-21) (of a part), 1.90.0"
    related = {each["spdxElementId"]: each["relationshipType"] for each in json.loads(sbom)["relationships"]}
    assert related["SPDXRef-tool-rustc-1.90.0"] == "BUILD_TOOL_OF"
    assert related["SPDXRef-tool-clang-16.0.4"] == "OTHER"


def test_provenance_names_the_compiler_among_the_builders_versions() -> None:
    about = make_statement(hello(), HELLO, road="builder", source="0" * 64, lock=LOCK, compiler="rustc 1.85.1")
    found = json.loads(about)["predicate"]["runDetails"]["builder"]["version"]
    assert found["rustc"] == "1.85.1"


def test_provenance_says_what_optimizing_won() -> None:
    how = "wasm-opt 108 -Oz"
    about = make_statement(
        hello(), HELLO, road="builder", source="0" * 64, lock=LOCK, optimized=how, unoptimized_size=2000
    )
    found = json.loads(about)["predicate"]["buildDefinition"]
    assert found["externalParameters"]["optimized"] == how
    assert found["internalParameters"] == {"unoptimizedSize": 2000}


def test_the_same_guest_gives_the_same_sbom() -> None:
    assert make_sbom(HELLO, LOCK, CREATED) == make_sbom(HELLO, LOCK, CREATED)


def test_every_sbom_is_what_spdx_asks_for() -> None:
    """The members SPDX 2.3 requires, and identifiers of the form it allows, each once."""
    for folder in sorted((ROOT / "dockerfiles").glob("*/Cargo.lock")):
        document = json.loads(make_sbom(HELLO, folder.read_text(), CREATED))
        required = {"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"}
        assert required <= document.keys()
        ids = [each["SPDXID"] for each in document["packages"]]
        assert len(set(ids)) == len(ids)
        assert all(each.replace("-", "").replace(".", "").isalnum() for each in ids)
        named = {*ids, "SPDXRef-DOCUMENT"}
        for each in document["relationships"]:
            assert {each["spdxElementId"], each["relatedSpdxElement"]} <= named
        assert all({"name", "SPDXID", "downloadLocation"} <= each.keys() for each in document["packages"])


def test_the_crates_come_back_out_of_an_sbom() -> None:
    found = crates_of(make_sbom(HELLO, LOCK, CREATED))
    assert found == {"git-crate": "0.1.0", "hello": "1.2.3", "hex": "0.4.3, 0.5.0"}


@pytest.mark.parametrize("text", ["[[package]]", "package = 7", "[[package]]\nname = 1", "x ="])
def test_a_lock_that_is_none_is_the_guests_fault(text: str) -> None:
    with pytest.raises(GuestError, match="not a Cargo.lock"):
        parse_lock(text)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"spdxVersion":"SPDX-2.3","packages":[{}]}',
        '{"spdxVersion":"SPDX-2.3","packages":7}',
        "[" * 99_999,
    ],
)
def test_an_sbom_that_is_none_is_one_error(text: str) -> None:
    with pytest.raises(ImageError, match="reading the SBOM"):
        crates_of(text.encode())


def test_provenance_is_about_the_image_and_the_program_in_it() -> None:
    found = read_statement(statement())
    assert hello().digest in found.subjects
    assert found.parameters == {"guest": "hello", "target": "wasip1", "road": "host cargo"}
    assert not found.is_signed


@pytest.mark.parametrize("kind", ["ed25519", "EC"])
def test_a_signed_statement_is_verified_by_its_key_alone(kind: str, tmp_path: Path) -> None:
    private, public = keys(tmp_path, kind)
    signed = sign(statement(), private)
    assert check_signature(signed, public)
    assert read_statement(signed).is_signed
    (tmp_path / "other").mkdir()
    assert not check_signature(signed, keys(tmp_path / "other", kind)[1])
    assert not check_signature(statement(), public)


def test_a_changed_statement_is_not_verified(tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    envelope = json.loads(sign(statement(), private))
    envelope["payload"] = base64.b64encode(statement(artifact=replace(HELLO, name="other"))).decode()
    assert not check_signature(json.dumps(envelope).encode(), public)


def test_a_key_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    with pytest.raises(UsageError, match="not a private key in PEM"):
        sign(statement(), public)
    with pytest.raises(UsageError, match="not a public key in PEM"):
        check_signature(sign(statement(), private), private)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}",
        b'{"_type":"x"}',
        b'{"payload":"!","payloadType":"application/vnd.in-toto+json"}',
        b'{"payload":"e30=","payloadType":"text/plain"}',
        b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"!"}]}',
    ],
)
def test_provenance_that_is_none_is_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError, match="reading the provenance"):
        read_statement(data)


SBOM = Referrer.of(hello().descriptor, SPDX, b"{}")
PROVENANCE = Referrer.of(hello().descriptor, IN_TOTO, b"[]")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.put(hello(), Reference.parse("hello"))
    found.attach(SBOM)
    found.attach(PROVENANCE)
    return found


def test_a_referrer_is_an_artifact_about_an_image() -> None:
    document = json.loads(SBOM.manifest)
    assert (SBOM.subject, SBOM.artifact_type) == (hello().digest, SPDX)
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert "platform" not in document["subject"]


def test_a_referrer_with_other_data_is_refused() -> None:
    with pytest.raises(ImageError, match="bytes instead of"):
        Referrer(SBOM.manifest, b"other")


def test_documents_stay_with_their_image_and_are_no_images(store: Store) -> None:
    assert store.referrers(hello().digest) == [SBOM, PROVENANCE]
    assert [line.reference.familiar for line in store.images()] == ["hello:latest"]
    with pytest.raises(ImageError, match="not in the store"):
        store.get(SBOM.digest.short)


def test_documents_go_with_the_last_name_of_their_image(store: Store) -> None:
    store.put(hello(), Reference.parse("again"))
    store.remove("hello")
    assert store.referrers(hello().digest) == [SBOM, PROVENANCE]
    store.remove("again")
    assert store.referrers(hello().digest) == []
    assert not list((store.root / "blobs" / "sha256").iterdir())


def test_documents_about_an_image_of_an_index_stay(store: Store) -> None:
    store.put_index(ImageIndex.of([hello()]), Reference.parse("hello"))
    store.put(hello(args=["x"]), Reference.parse("other"))
    store.remove("other")
    assert store.referrers(hello().digest) == [SBOM, PROVENANCE]


def test_a_document_attached_twice_is_there_once(store: Store) -> None:
    store.attach(SBOM)
    assert len(store.referrers(hello().digest)) == 2


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        yield found


def test_documents_travel_by_the_tag_where_there_is_no_api(registry: FaultyRegistry) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, hello())
    assert push_referrers(registry.client(), name, [SBOM, PROVENANCE]) == 2
    assert push_referrers(registry.client(), name, [SBOM, PROVENANCE]) == 0
    assert f"sha256-{hello().digest.hex}" in registry.manifests
    assert pull_referrers(registry.client(), name, hello().digest) == [SBOM, PROVENANCE]
    assert registry.manifests["v1"][1] == hello().manifest


def test_documents_travel_by_the_api_where_there_is_one(registry: FaultyRegistry, tmp_path: Path) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, hello())
    push_referrers(registry.client(), name, [SBOM])
    index = registry.manifests.pop(f"sha256-{hello().digest.hex}")[1]
    content = "application/vnd.oci.image.index.v1+json"
    registry.faults.append(on("GET", "/referrers/", answering(200, index, Content_Type=content)))
    assert pull_referrers(registry.client(), name, hello().digest) == [SBOM]
    assert pull(registry.client(), name, Store(tmp_path)).digest == hello().digest


def test_documents_about_something_else_are_left_out(registry: FaultyRegistry) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    other = Referrer.of(hello(args=["x"]).descriptor, SPDX, b"{}")
    push(registry.client(), name, hello())
    push_referrers(registry.client(), name, [other])
    registry.manifests[f"sha256-{hello().digest.hex}"] = registry.manifests[f"sha256-{other.subject.hex}"]
    assert pull_referrers(registry.client(), name, hello().digest) == []


def test_a_native_artifact_has_an_sbom_too() -> None:
    native = Artifact("hello", Target.NATIVE, b"\x7fELF")
    assert json.loads(make_sbom(native, "", CREATED))["packages"][0]["packageFileName"] == "hello"


def test_documents_are_copied_with_what_they_are_about(registry: FaultyRegistry) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, ImageIndex.of([hello()]))
    push_referrers(registry.client(), name, [SBOM])
    with faulty_registry() as other:
        target = Reference(other.name, REPOSITORY, "v2")
        sent = copy(registry.client(), name, other.client(), target)
        assert copy_referrers(registry.client(), name, other.client(), target, sent.manifests) == 1
        assert pull_referrers(other.client(), target, hello().digest) == [SBOM]


def test_referrers_of_another_make_are_passed_over(registry: FaultyRegistry) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, hello())
    push_referrers(registry.client(), name, [SBOM])
    tag = f"sha256-{hello().digest.hex}"
    index = json.loads(registry.manifests[tag][1])
    strange = {"mediaType": "application/x", "digest": f"sha256:{'0' * 64}", "size": 3}
    empty = json.loads(SBOM.manifest) | {"layers": []}
    data = json.dumps(empty).encode()
    registry.hold_manifest(data, tag="empty")
    index["manifests"] += [strange, Descriptor.of(OCI_MANIFEST, data).document()]
    registry.hold_manifest(json.dumps(index).encode(), index["mediaType"], tag)
    assert pull_referrers(registry.client(), name, hello().digest) == [SBOM]


def test_a_document_beyond_the_cap_is_not_fetched(registry: FaultyRegistry) -> None:
    name = Reference(registry.name, REPOSITORY, "v1")
    push(registry.client(), name, hello())
    push_referrers(registry.client(), name, [SBOM])
    document = json.loads(SBOM.manifest)
    document["layers"][0]["size"] = 1 << 30
    data = json.dumps(document).encode()
    registry.hold_manifest(data, tag="huge")
    entry = Descriptor.of(OCI_MANIFEST, data).document()
    listed = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    registry.hold_manifest(listed, "application/vnd.oci.image.index.v1+json", f"sha256-{hello().digest.hex}")
    told: list[str] = []
    assert pull_referrers(registry.client(tell=told.append), name, hello().digest) == []
    assert "is passed over: a document has 1073741824 bytes" in told[0]
    assert not registry.asked("GET", Digest.of(SBOM.data).hex)
