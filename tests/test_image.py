import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.images import WASM, gzip_layer, hello, image_of, image_with, manifest_of, tar_of
from wasmdock.errors import ImageError
from wasmdock.oci.fields import parse_object
from wasmdock.oci.image import Descriptor, Digest, Image, Index, Layer, Manifest, Platform, Reference
from wasmdock.oci.manifest import OCI_INDEX, OCI_LAYER, OCI_MANIFEST

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("hello-world", "docker.io/library/hello-world:latest", "hello-world:latest"),
        ("hello-world:1.0", "docker.io/library/hello-world:1.0", "hello-world:1.0"),
        ("docker.io/hello", "docker.io/library/hello:latest", "hello:latest"),
        ("index.docker.io/library/hello", "docker.io/library/hello:latest", "hello:latest"),
        ("me/hello", "docker.io/me/hello:latest", "me/hello:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/hello", "localhost/hello:latest", "localhost/hello:latest"),
        ("host:5000/a/b:tag", "host:5000/a/b:tag", "host:5000/a/b:tag"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("ghcr.io/a__b/c-d.e_f", "ghcr.io/a__b/c-d.e_f:latest", "ghcr.io/a__b/c-d.e_f:latest"),
        (f"hello@{DIGEST}", f"docker.io/library/hello@{DIGEST}", f"hello@{DIGEST}"),
        (f"hello:1@{DIGEST}", f"docker.io/library/hello:1@{DIGEST}", f"hello:1@{DIGEST}"),
    ],
)
def test_names_are_completed_as_docker_does(text: str, canonical: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (reference.canonical, str(reference)) == (canonical, familiar)
    assert Reference.parse(canonical) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "there is no name"),
        (":tag", "there is no name"),
        ("Hello", "the name must be in lower case"),
        ("me/Hello", "the name must be in lower case"),
        ("a b", '"a b" is not a name'),
        ("a//b", '"a//b" is not a name'),
        ("-a", '"-a" is not a name'),
        ("a..b", '"a..b" is not a name'),
        ("a___b", '"a___b" is not a name'),
        ("../a", '".." is not a registry'),
        ("hello:", '"" is not a tag'),
        ("hello:-x", '"-x" is not a tag'),
        ("hello:" + "x" * 129, "is not a tag"),
        ("hello\n", '"hello?" is not a name'),
        ("h:p/a", '"h:p" is not a registry'),
        ("hello@sha256:12", "not a sha256 digest"),
        ("hello@", "not a sha256 digest"),
        (HEX, "64 hex digits are a digest, not a name"),
        ("a" * 300, "the name is longer than 255 characters"),
        ("hëllo", "is not a name"),
    ],
)
def test_a_malformed_name_is_one_error_that_says_why(text: str, cause: str) -> None:
    with pytest.raises(ImageError, match="^reading ") as caught:
        Reference.parse(text)
    assert cause in caught.value.message
    assert caught.value.hint


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_name_or_an_image_error(text: str) -> None:
    try:
        assert Reference.parse(text).name
    except ImageError as error:
        assert "\n" not in error.message


@pytest.mark.parametrize("text", [HEX, f"sha256:{HEX.upper()}", f"sha512:{HEX}", f"{DIGEST}\n", "sha256:", ""])
def test_only_lower_case_sha256_is_a_digest(text: str) -> None:
    with pytest.raises(ImageError, match="not a sha256 digest"):
        Digest.parse(text)


@pytest.mark.parametrize(
    ("text", "platform", "note"),
    [
        ("wasi/wasm", "wasi/wasm", ""),
        ("wasip1/wasm", "wasip1/wasm", "one version of WASI"),
        ("wasi/wasm32", "wasi/wasm", "understood as wasi/wasm"),
        ("linux/wasm", "linux/wasm", "names no WASI system"),
        ("linux/amd64", "linux/amd64", ""),
        ("linux/x86_64", "linux/amd64", "understood as linux/amd64"),
        ("linux/arm/v7", "linux/arm/v7", ""),
    ],
)
def test_platforms_are_understood_and_explained(text: str, platform: str, note: str) -> None:
    found, explanation = Platform.explain(text)
    assert str(found) == platform
    assert note in explanation
    assert bool(note) == bool(explanation)


@pytest.mark.parametrize("text", ["", "wasm", "a/b/c/d", "linux/", "/wasm", "li nux/amd64", "linux/am\0d"])
def test_what_is_not_a_platform_is_an_image_error(text: str) -> None:
    with pytest.raises(ImageError, match="not os/architecture"):
        Platform.parse(text)


def test_any_wasi_image_serves_wasi_wasm_but_not_the_other_way_round() -> None:
    assert Platform.parse("wasip2/wasm").matches(Platform.parse("wasi/wasm"))
    assert not Platform.parse("wasip2/wasm").matches(Platform.parse("wasip1/wasm"))
    assert not Platform.parse("linux/amd64").matches(Platform.parse("wasi/wasm"))


def test_an_image_tells_what_its_config_and_manifest_say() -> None:
    image = hello(env={"A": "1=2"}, labels={"l": "x"}, annotations={"n": "y"}, args=["-v"], user="10:20")
    assert image.entrypoint == ("/hello.wasm",)
    assert (image.cmd, dict(image.env), image.user) == (("-v",), {"A": "1=2"}, "10:20")
    assert (image.labels["l"], image.annotations["n"]) == ("x", "y")
    assert (image.stop_signal, image.working_dir, str(image.platform)) == ("SIGINT", "", "wasi/wasm")
    assert image.digest == Digest.of(image.manifest)
    assert image.packed_size == sum(map(len, (image.manifest, image.config, image.layers[0].data)))


def test_an_image_is_unpacked_to_count_its_size() -> None:
    image = image_with(tar_of({"app.wasm": bytes(5000)}), tar_of({"b": b""}))
    assert image.unpacked_size == 2 * 10240


def test_a_layer_that_an_image_has_many_times_is_unpacked_and_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of(*[gzip_layer(tar_of({"a": bytes(5000)}))] * 100)
    blobs = {image.config_descriptor.digest: image.config, image.layers[0].descriptor.digest: image.layers[0].data}
    read = Image.parse(image.manifest, lambda descriptor: bytes(bytearray(blobs[descriptor.digest])))
    assert len({id(layer.source) for layer in read.layers}) == 1
    unpacked = []

    def unpack_once(data: bytes, what: str, cap: int) -> list[bytes]:
        unpacked.append(what)
        return [bytes(10240)]

    monkeypatch.setattr("wasmdock.oci.image.unpack", unpack_once)
    assert (read.unpacked_size, len(unpacked)) == (100 * 10240, 1)


def test_the_size_of_an_image_that_unpacks_to_too_much_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of(*[gzip_layer(tar_of({"a": bytes(size)})) for size in (5000, 50_000)])
    monkeypatch.setattr("wasmdock.oci.image._UNPACKED_CAP", 10240)
    assert image.unpacked_size is None


def test_an_image_with_a_layer_of_another_image_cannot_be_made() -> None:
    image = hello()
    with pytest.raises(ImageError, match="the layers are not those of its manifest"):
        Image(image.manifest, image.config, ())


def _fetch_from(image: Image, **spoiled: bytes) -> Image:
    blobs = {image.config_descriptor.digest: spoiled.get("config", image.config)}
    blobs[image.layers[0].descriptor.digest] = spoiled.get("layer", image.layers[0].data)
    return Image.parse(image.manifest, lambda descriptor: blobs[descriptor.digest])


def test_a_parsed_image_equals_the_one_it_was_written_from() -> None:
    assert _fetch_from(hello()) == hello()


@pytest.mark.parametrize(
    ("spoiled", "cause"),
    [
        ({"config": b"{}"}, "it has 2 bytes instead of"),
        ({"layer": b"x"}, "it has 1 bytes instead of"),
        ({"config": bytes(len(hello().config))}, "its content has the digest sha256:"),
        ({"layer": bytes(len(hello().layers[0].data))}, "its content has the digest sha256:"),
    ],
)
def test_every_digest_and_size_is_verified(spoiled: dict[str, bytes], cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        _fetch_from(hello(), **spoiled)


def test_a_large_layer_is_fetched_only_when_it_is_used() -> None:
    image = hello()
    fetched = []

    def fetch(descriptor: Descriptor) -> bytes:
        fetched.append(descriptor)
        return image.config if descriptor == image.config_descriptor else b"not the layer"

    lazy = Image.parse(image.manifest, fetch, eager=0)
    assert fetched == [image.config_descriptor]
    with pytest.raises(ImageError, match="bytes instead of"):
        _ = lazy.layers[0].data


def _config(**changes: object) -> bytes:
    return json.dumps({**json.loads(hello().config), **changes}).encode()


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        (_config(os=None), '"os" is missing'),
        (_config(architecture=7), '"architecture" should be text, not a number'),
        (_config(variant="v8\x1b[2J"), '"v8?[2J" is no part of a platform'),
        (_config(config=[]), '"config" should be an object, not a list'),
        (_config(config={"Env": "A=1"}), '"Env" should be a list, not text'),
        (_config(config={"Env": [1]}), '"Env" should be text, not a number'),
        (_config(config={"Cmd": ["a\0b"]}), '"Cmd" holds a NUL character'),
        (_config(config={"Labels": {"a": None}}), '"Labels" is missing'),
        (_config(config={"User": {}}), '"User" should be text, not an object'),
        (_config(rootfs={"diff_ids": []}), "it has 0 diff_ids for 1 layers"),
        (_config(rootfs={"diff_ids": ["sha256:0"]}), "not a sha256 digest"),
        (b"[]", "a JSON object was expected, not a list"),
        (b"", "not the JSON expected here"),
        (b"\xff{}", "not the JSON expected here"),
    ],
)
def test_a_malformed_config_is_one_error(config: bytes, cause: str) -> None:
    image = hello()
    with pytest.raises(ImageError) as caught:
        Image(manifest_of(config, image.layers), config, image.layers)
    assert cause in caught.value.message


def _manifest(**changes: object) -> bytes:
    return json.dumps({**json.loads(hello().manifest), **changes}).encode()


def _layer(**changes: object) -> bytes:
    return _manifest(layers=[{**json.loads(hello().manifest)["layers"][0], **changes}])


@pytest.mark.parametrize(
    ("manifest", "cause"),
    [
        (b"", "not the JSON expected here"),
        (b"null", "a JSON object was expected, not null"),
        (b"<html>", "not the JSON expected here"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"a":1,"a":2}', 'key "a" appears twice'),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":"\\ud800"}', "surrogates not allowed"),
        (b'{"a":' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"{}" + b" " * (4 << 20), "more than the 4194304 allowed"),
        (_manifest(schemaVersion=1), "schemaVersion is 1 instead of 2"),
        (_manifest(schemaVersion=True), "schemaVersion is True instead of 2"),
        (_manifest(mediaType=OCI_INDEX), "is not one of a manifest"),
        (_manifest(manifests=[]), "it is an index of images"),
        (_manifest(config=None), '"config" is missing'),
        (_manifest(config={}), '"mediaType" is missing'),
        (_manifest(config={"mediaType": "x", "digest": DIGEST, "size": 1}), '"x" is not an image\'s config'),
        (_manifest(layers={}), '"layers" should be a list, not an object'),
        (_manifest(layers=[1]), '"layers" should be a list of objects, not a number'),
        (_manifest(layers=json.loads(_manifest())["layers"] * 128), "it has 128 layers"),
        (_manifest(annotations={"a": 1}), '"annotations" should be text, not a number'),
        (_layer(size=-1), '"size" is negative (-1)'),
        (_layer(size=1.5), '"size" should be a whole number, not a number'),
        (_layer(size=True), '"size" should be a whole number, not true or false'),
        (_layer(size=1 << 40), "a layer has 1099511627776 bytes"),
        (_layer(digest="sha256:../../etc"), "not a sha256 digest"),
        (_layer(digest=5), '"digest" should be text, not a number'),
        (_layer(mediaType="text/html"), 'the media type "text/html" is not one of a layer'),
        (_layer(mediaType="a\x1b[2Jb"), 'the media type "a?[2Jb" is not one of a layer'),
    ],
)
def test_a_malformed_manifest_is_one_error(manifest: bytes, cause: str) -> None:
    with pytest.raises(ImageError) as caught:
        Manifest.parse(manifest)
    assert cause in caught.value.message
    assert caught.value.message.isprintable()


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_an_object_or_an_image_error(data: bytes) -> None:
    try:
        parse_object(data, "noise")
    except ImageError as error:
        assert error.message.startswith("reading noise: ")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(["mediaType", "config", "layers", "manifests", "annotations", "digest", "size", "platform"])


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(_KEYS, _JSON | st.dictionaries(_KEYS, _JSON) | st.lists(st.dictionaries(_KEYS, _JSON))))
def test_any_json_is_a_manifest_an_index_or_an_image_error(document: dict[str, object]) -> None:
    data = json.dumps({"schemaVersion": 2, **document}).encode()
    for parse in (Manifest.parse, Index.parse):
        try:
            parse(data)
        except ImageError as error:
            assert error.message


def _index(*platforms: str | None, **annotations: str) -> Index:
    entries = []
    for number, platform in enumerate(platforms):
        described = Platform(*platform.split("/")) if platform else None
        descriptor = Descriptor(OCI_MANIFEST, Digest.of(bytes([number])), 1, annotations, described)
        entries.append(descriptor.document())
    return Index.parse(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [
        (["linux/amd64", "wasi/wasm"], ["wasi/wasm"], 1),
        (["wasip1/wasm", "wasi/wasm"], ["wasi/wasm"], 1),
        (["linux/amd64", "wasip2/wasm"], ["wasi/wasm", "linux/amd64"], 1),
        (["unknown/unknown", "linux/amd64"], ["wasi/wasm", "linux/amd64"], 1),
        (["linux/arm/v6", "linux/arm/v7"], ["linux/arm/v7"], 1),
        ([None], ["wasi/wasm"], 0),
    ],
)
def test_an_index_gives_the_first_platform_wanted(there: list[str | None], wanted: list[str], chosen: int) -> None:
    index = _index(*there)
    assert index.choose([Platform.parse(text) for text in wanted]) == index.manifests[chosen]


def test_an_index_without_a_match_lists_what_is_there() -> None:
    with pytest.raises(ImageError, match="the index has linux/amd64, linux/arm64$"):
        _index("linux/arm64", "linux/amd64", "unknown/unknown").choose()


def test_an_index_of_attestations_has_no_image() -> None:
    index = _index("wasi/wasm", **{"vnd.docker.reference.type": "attestation-manifest"})
    with pytest.raises(ImageError, match="the index has no image"):
        index.choose()


def test_a_layer_of_given_bytes_is_verified_at_once() -> None:
    with pytest.raises(ImageError, match="it has 8 bytes instead of 1"):
        Layer(Descriptor.of(OCI_LAYER, b"x"), WASM)


def test_an_images_text_is_short() -> None:
    layer, _ = gzip_layer(bytes(100_000))
    assert len(repr(layer)) < 400
