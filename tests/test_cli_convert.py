"""wasmdock convert, and what is said of the image that goes along."""

from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.faulty_registry import REPOSITORY, faulty_registry
from tests.images import HELLO, hello
from tests.test_provenance import CREATED, LOCK, statement
from wasmdock.oci.image import Reference
from wasmdock.oci.referrer import IN_TOTO, SPDX, Referrer
from wasmdock.oci.registry_referrers import push_referrers
from wasmdock.oci.registry_transfer import push
from wasmdock.oci.store import Store
from wasmdock.sbom import make_sbom

IMAGE = hello()
SBOM = Referrer.of(IMAGE.descriptor, SPDX, make_sbom(HELLO, LOCK, CREATED))


@pytest.fixture
def store(wasmdock: CommandLine) -> Store:
    return Store(Path(wasmdock.environment["WASMDOCK_HOME"], "images"))


def test_the_sbom_goes_along_and_the_provenance_does_not(wasmdock: CommandLine, store: Store) -> None:
    store.put(IMAGE, Reference.parse("a"))
    for each in (SBOM, Referrer.of(IMAGE.descriptor, IN_TOTO, statement(IMAGE))):
        store.attach(each)
    done = wasmdock("convert", "a", "b", "--shape", "artifact")
    assert (done.code, "provenance stays with the image it is about" in done.stderr) == (0, True)
    assert "hex" in wasmdock("sbom", "b").text
    assert wasmdock("verify", "b").text.splitlines()[1].split(maxsplit=2)[2] == "none is attached"


def test_the_sbom_of_an_image_from_a_registry_goes_along(wasmdock: CommandLine) -> None:
    with faulty_registry() as registry:
        name = Reference(registry.name, REPOSITORY, "v1")
        push(registry.client(), name, IMAGE)
        push_referrers(registry.client(), name, [SBOM])
        assert wasmdock("convert", str(name), "b", "--shape", "artifact").code == 0
    assert "hex" in wasmdock("sbom", "b").text


def test_an_image_of_the_store_is_converted_without_its_registry(wasmdock: CommandLine, store: Store) -> None:
    store.put(IMAGE, Reference.parse("localhost:1/a"))
    done = wasmdock("convert", "localhost:1/a", "b", "--shape", "artifact")
    assert (done.code, done.stderr) == (0, "")
