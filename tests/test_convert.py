"""Three shapes of one program: the same bytes out of each, and nothing lost on the way from one to another."""

import hashlib
import json
from itertools import permutations
from typing import Any

import pytest

from tests.conftest import sample
from tests.images import HELLO, WASM, hello, image_of, image_with, manifest_of, plain_layer, tar_of
from wasmdock.convert import convert
from wasmdock.errors import ImageError, UsageError
from wasmdock.guest import Artifact, Target
from wasmdock.inprocess import InProcessRuntime
from wasmdock.oci.fields import Fields
from wasmdock.oci.image import Descriptor, Image, Layer
from wasmdock.oci.manifest import OCI_CONFIG, OCI_MANIFEST, RUN_CONFIG, WASM_CONFIG
from wasmdock.pack import entry, extract, pack
from wasmdock.runtime import RunRequest
from wasmdock.shape import Shape, shape_of

SHAPES = list(Shape)


def rich(shape: Shape) -> Image:
    """An image that says all an image can say."""
    return pack(
        HELLO,
        env={"A": "1", "B": "two words"},
        labels={"mine": "yes"},
        annotations={"note": "n"},
        args=["x", "y"],
        entrypoint=("/hello.wasm#start",),
        created=1_700_000_000,
        user="7",
        shape=shape,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_packed_image_has_the_shape_asked_for(shape: Shape) -> None:
    assert shape_of(hello(shape=shape)) is shape


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_binary_byte_for_byte(shape: Shape) -> None:
    assert extract(hello(shape=shape)) == WASM


@pytest.mark.parametrize(("start", "target"), list(permutations(SHAPES, 2)))
def test_a_converted_image_is_the_one_packed_so(start: Shape, target: Shape) -> None:
    assert convert(rich(start), target) == rich(target)


@pytest.mark.parametrize(("through", "back"), list(permutations(SHAPES, 2)))
def test_nothing_is_lost_on_the_way_there_and_back(through: Shape, back: Shape) -> None:
    assert convert(convert(rich(back), through), back) == rich(back)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_starts_the_same_program(shape: Shape) -> None:
    image = rich(shape)
    assert entry(image) == entry(rich(Shape.ROOTFS))
    assert (dict(image.env), image.user, image.cmd) == ({"A": "1", "B": "two words"}, "7", ("x", "y"))
    assert image.labels["mine"] == "yes"


@pytest.mark.parametrize("name", ["hello", "component_cli"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_runs_with_the_same_result(name: str, shape: Shape, runtime: InProcessRuntime) -> None:
    image = sample(name)
    expected = runtime.run(image, RunRequest())
    found = runtime.run(convert(image, shape), RunRequest())
    assert (found.exit_code, found.stdout) == (expected.exit_code, expected.stdout)


def test_a_wasm_layer_is_what_runwasi_takes() -> None:
    image = hello(shape=Shape.WASM_LAYER)
    config = json.loads(image.config)
    (layer,) = image.layers
    assert image.config_descriptor.media_type == OCI_CONFIG
    assert (config["architecture"], config["os"], config["rootfs"]["diff_ids"]) == ("wasm", "wasip1", [])
    assert layer.descriptor.media_type == "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
    digests = hashlib.sha256(str(layer.descriptor.digest).encode()).hexdigest()
    assert config["config"]["Labels"]["containerd.runwasi.layers"] == digests


def test_an_artifact_is_what_the_cncf_says() -> None:
    image = convert(sample("component_cli"), Shape.ARTIFACT)
    config = json.loads(image.config)
    assert image.config_descriptor.media_type == WASM_CONFIG
    assert (config["architecture"], config["os"]) == ("wasm", "wasip2")
    assert config["layerDigests"] == [str(image.layers[0].descriptor.digest)]
    assert config["component"]["exports"] == ["wasi:cli/run@0.2.0"]
    assert "wasi:cli/stdout@0.2.0" in config["component"]["imports"]
    assert image.layers[0].descriptor.media_type == "application/wasm"


def test_an_artifact_of_a_module_names_no_component() -> None:
    assert "component" not in json.loads(hello(shape=Shape.ARTIFACT).config)


def _foreign(title: str = "") -> Image:
    """An artifact as wkg and oras push it: nothing says how to start it."""
    config = json.dumps({"architecture": "wasm", "os": "wasip1", "layerDigests": []}).encode()
    layer = Layer.of("application/wasm", WASM)
    document = layer.descriptor.document()
    if title:
        document["annotations"] = {"org.opencontainers.image.title": title}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor.of(WASM_CONFIG, config).document(),
        "layers": [document],
    }
    found = Layer(Descriptor.parse(Fields("a layer", document)), WASM)
    return Image(json.dumps(manifest).encode(), config, (found,))


@pytest.mark.parametrize(
    ("title", "path"), [("", "/app.wasm"), ("dir/hello.wasm", "/hello.wasm"), ("../..", "/app.wasm")]
)
def test_an_artifact_of_another_tool_starts_under_its_title(title: str, path: str) -> None:
    image = _foreign(title)
    assert (entry(image).path, extract(image)) == (path, WASM)
    assert entry(convert(image, Shape.ROOTFS)).path == path


@pytest.mark.parametrize(
    ("run", "path"),
    [
        ({"Entrypoint": ["app.wasm", "-v"], "WorkingDir": "/opt"}, "/opt/app.wasm"),
        ({"Entrypoint": ["./app.wasm#start"]}, "/app.wasm"),
        ({"Entrypoint": None, "Cmd": ["app.wasm", "x"], "WorkingDir": "/opt"}, "/opt/app.wasm"),
        ({"Entrypoint": ["app.wasm"], "Env": ["PATH=/bin"], "WorkingDir": "/opt"}, "/bin/app.wasm"),
    ],
)
def test_a_relative_entrypoint_becomes_the_programs_whole_path(run: dict[str, Any], path: str) -> None:
    image = image_with(tar_of({path.strip("/"): WASM}), run=run)
    for shape in (Shape.WASM_LAYER, Shape.ARTIFACT):
        back = convert(convert(image, shape), Shape.ROOTFS)
        assert (extract(back), entry(back)) == (WASM, entry(image)._replace(path=path))


def test_a_bare_layers_relative_entrypoint_leads_to_the_program_in_a_rootfs() -> None:
    image = convert(image_with(tar_of({"app.wasm": WASM})), Shape.WASM_LAYER)
    config = json.loads(image.config)
    config["config"] |= {"Entrypoint": ["app.wasm"], "WorkingDir": "/opt"}
    data = json.dumps(config).encode()
    converted = convert(Image(manifest_of(data, image.layers), data, image.layers), Shape.ROOTFS)
    assert (extract(converted), entry(converted).path) == (WASM, "/opt/app.wasm")


@pytest.mark.parametrize("through", [Shape.WASM_LAYER, Shape.ARTIFACT])
def test_members_of_the_config_that_no_shape_asks_for_are_kept(through: Shape) -> None:
    image = image_with(tar_of({"app.wasm": WASM}), author="me", **{"os.features": ["x"]})
    back = json.loads(convert(convert(image, through), Shape.ROOTFS).config)
    assert (back["author"], back["os.features"]) == ("me", ["x"])


@pytest.mark.parametrize(
    ("path", "cause"),
    [(f"/{'a' * 300}.wasm", "a tar header has no room for its 305 characters"), ("/", "names no file")],
)
def test_an_entrypoint_that_no_tar_holds_is_an_image_error(path: str, cause: str) -> None:
    image = hello(entrypoint=[path], shape=Shape.WASM_LAYER)
    with pytest.raises(ImageError, match=cause):
        convert(image, Shape.ROOTFS)


def test_files_beside_the_program_are_not_lost_in_silence() -> None:
    image = image_with(tar_of({"app.wasm": WASM, "data/a.txt": b"a"}))
    with pytest.raises(ImageError, match="it has files beside the program: /data/a.txt") as caught:
        convert(image, Shape.ARTIFACT)
    assert "volume" in caught.value.hint


def test_a_native_image_has_one_shape_only() -> None:
    native = Artifact("hello", Target.NATIVE, b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0" + bytes(44))
    with pytest.raises(ImageError, match="not for Wasm"):
        convert(pack(native), Shape.ARTIFACT)
    with pytest.raises(UsageError, match="no Wasm binary"):
        pack(native, shape=Shape.WASM_LAYER)


def test_an_image_that_has_the_shape_is_left_alone() -> None:
    image = image_of(plain_layer(tar_of({"app.wasm": WASM, "more": b""})))
    assert convert(image, Shape.ROOTFS) is image


@pytest.mark.parametrize("text", ["[]", "{", '{"Env":"A=1"}', '{"Cmd":["a\\u0000b"]}', '{"User":7}'])
def test_an_artifact_with_a_bad_note_on_how_to_start_is_an_image_error(text: str) -> None:
    image = hello(shape=Shape.ARTIFACT)
    document = json.loads(image.manifest)
    document["annotations"][RUN_CONFIG] = text
    with pytest.raises(ImageError):
        Image(json.dumps(document).encode(), image.config, image.layers)
