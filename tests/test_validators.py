"""Other people's judges of our images: the image specification's own JSON schemas, and `crane validate`."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.conftest import sample
from tests.images import image_of, plain_layer, tar_of
from tests.real_registry import Tools, require_schemas, require_tool
from wasmdock.convert import convert
from wasmdock.oci.archive import write_archive
from wasmdock.oci.image import Descriptor, Image, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import write_layout
from wasmdock.oci.referrer import SPDX, Referrer
from wasmdock.shape import Shape


@cache
def _schema(name: str) -> Any:
    return json.loads((require_schemas() / name).read_bytes())


def check(kind: str, document: bytes | Mapping[str, Any]) -> None:
    """Raise ValidationError where the specification's schema does not take the document."""
    found = json.loads(document) if isinstance(document, bytes) else document
    registry: Registry[Any] = Registry(
        retrieve=lambda uri: Resource(_schema(uri.rpartition("/")[2]), DRAFT4)  # type: ignore[call-arg]
    )
    Draft4Validator(_schema(f"{kind}.json"), registry=registry).validate(found)


def shaped(shape: Shape) -> Image:
    return convert(sample("hello"), shape)


@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.value)
def test_a_layout_is_what_the_specifications_schemas_ask_for(shape: Shape, tmp_path: Path) -> None:
    write_layout(shaped(shape), tmp_path / "layout", Reference.parse("hello:v1"))
    index = (tmp_path / "layout" / "index.json").read_bytes()
    check("image-layout-schema", (tmp_path / "layout" / "oci-layout").read_bytes())
    check("image-index-schema", index)
    [entry] = json.loads(index)["manifests"]
    manifest = (tmp_path / "layout" / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
    check("image-manifest-schema", manifest)
    for descriptor in (entry, json.loads(manifest)["config"], *json.loads(manifest)["layers"]):
        check("content-descriptor", descriptor)


@pytest.mark.parametrize("shape", [Shape.ROOTFS, Shape.WASM_LAYER], ids=lambda shape: shape.value)
def test_a_config_is_what_the_specifications_schema_asks_for(shape: Shape) -> None:
    check("config-schema", shaped(shape).config)


def test_an_index_of_two_platforms_is_what_the_specifications_schema_asks_for() -> None:
    native = image_of(plain_layer(tar_of({"hello": b"\x7fELF"})), os="linux", architecture="amd64")
    check("image-index-schema", ImageIndex.of([sample("hello"), native]).data)


def test_a_referrer_is_what_the_specifications_schema_asks_for() -> None:
    check("image-manifest-schema", Referrer.of(sample("hello").descriptor, SPDX, b"{}").manifest)


def test_the_schemas_do_refuse() -> None:
    """Else they would say nothing of what they take."""
    with pytest.raises(ValidationError):
        check("image-manifest-schema", {**json.loads(sample("hello").manifest), "layers": []})
    with pytest.raises(ValidationError):
        check("content-descriptor", {**Descriptor.of("text/plain", b"").document(), "digest": "x"})


def test_crane_validates_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "hello.tar"
    write_archive(sample("hello"), path, Reference.parse("hello:v1"))
    done = Tools(tmp_path).run(require_tool("crane"), "validate", "--tarball", str(path), check=False)
    assert (done.returncode, done.stdout) == (0, f"PASS: {path}\n"), done.stderr
