"""Whatever a registry does: one clear error within a bounded time, nothing half-written, no secret shown."""

import time
from pathlib import Path

import pytest

from tests.faulty_registry import LOGIN, REPOSITORY, SECRET, Call, faulty_registry
from tests.hostile_registries import BIG, IMAGE, PULLS, PUSHES
from tests.images import tree
from wasmdock.errors import ImageError, RegistryError
from wasmdock.oci import registry_blobs
from wasmdock.oci.image import Reference
from wasmdock.oci.registry_transfer import pull, push
from wasmdock.oci.store import Store

_SECONDS = 10.0  # for patience of 0.25 s of silence and 3 tries


@pytest.mark.parametrize("name", PULLS)
def test_a_pull_from_a_bad_registry_is_one_clear_error_and_leaves_no_trace(name: str, tmp_path: Path) -> None:
    spoil, expected = PULLS[name]
    store = Store(tmp_path)
    with faulty_registry() as registry:
        registry.hold(IMAGE)
        spoil(registry)
        began = time.monotonic()
        with pytest.raises(ImageError, match=expected) as caught:
            pull(registry.client(LOGIN), Reference(registry.name, REPOSITORY, "v1"), store)
    assert time.monotonic() - began < _SECONDS
    assert caught.value.message.startswith(f'pulling "{registry.name}/{REPOSITORY}:v1"')
    assert SECRET not in repr((caught.value.message, caught.value.hint))
    assert "\n" not in caught.value.message
    assert set(tree(tmp_path)) <= {"lock", "oci-layout"}


@pytest.mark.parametrize("name", PUSHES)
def test_a_push_to_a_bad_registry_is_one_clear_error_and_sets_no_tag(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_blobs, "CHUNK", 4096)
    monkeypatch.setattr(registry_blobs, "SMALL", 4096)
    spoil, expected = PUSHES[name]
    with faulty_registry() as registry:
        spoil(registry)
        began = time.monotonic()
        with pytest.raises(RegistryError, match=expected) as caught:
            push(registry.client(LOGIN), Reference(registry.name, REPOSITORY, "v1"), BIG)
        assert "v1" not in registry.manifests
    assert time.monotonic() - began < _SECONDS
    assert caught.value.message.startswith(f'pushing "{registry.name}/{REPOSITORY}:v1"')
    assert SECRET not in repr((caught.value.message, caught.value.hint))


def test_where_a_proxy_finds_a_request_too_large_smaller_ones_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, size in (("SMALL", 1024), ("CHUNK", 8192), ("_LITTLE", 2048)):
        monkeypatch.setattr(registry_blobs, constant, size)

    def refuse(call: Call) -> bool:
        is_large = int(call.headers.get("Content-Length", 0)) > 4096
        if is_large:
            call.answer(413)
        return is_large

    with faulty_registry() as registry:
        registry.faults.append(refuse)
        push(registry.client(), Reference(registry.name, REPOSITORY, "v1"), BIG)
        assert registry.blobs[str(BIG.layers[0].descriptor.digest)] == BIG.layers[0].data


def test_a_registry_that_is_down_is_named_with_what_to_look_at(tmp_path: Path) -> None:
    with faulty_registry() as registry:
        client = registry.client()
    with pytest.raises(RegistryError, match="connection refused") as caught:
        pull(client, Reference(registry.name, REPOSITORY, "v1"), Store(tmp_path))
    assert caught.value.hint == "is the registry running, and on that port?"
    assert not tree(tmp_path)
