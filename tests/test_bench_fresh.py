"""An image for a cold start does the same, and nothing that keeps things by content knows it."""

from tests.conftest import sample
from wasmdock.cli.bench_fresh import renewed
from wasmdock.guest import Artifact, Target
from wasmdock.inprocess import InProcessRuntime
from wasmdock.pack import extract, pack
from wasmdock.runtime import RunRequest

NATIVE = pack(Artifact("hello", Target.NATIVE, b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0" + bytes(44)))


def test_renewed_image_is_another_with_the_same_program_and_one_more_section() -> None:
    image = sample("hello")
    other = renewed(image, b"0123456789abcdef")
    assert other.digest != image.digest
    assert other.layers[0].descriptor.digest != image.layers[0].descriptor.digest
    assert extract(other).startswith(extract(image))
    assert other.entrypoint == image.entrypoint


def test_every_nonce_gives_another_image() -> None:
    assert renewed(sample("hello"), b"1").digest != renewed(sample("hello"), b"2").digest


def test_renewed_module_and_component_still_run(runtime: InProcessRuntime) -> None:
    for name in ("hello", "component_cli"):
        image = sample(name)
        before, after = (runtime.run(each, RunRequest()) for each in (image, renewed(image, b"nonce")))
        assert (after.outcome, after.exit_code, after.stdout) == (before.outcome, before.exit_code, before.stdout)


def test_native_image_stays_as_it_is() -> None:
    assert renewed(NATIVE, b"nonce") is NATIVE


def test_environment_and_arguments_stay() -> None:
    artifact = Artifact("hello", Target.WASIP1, extract(sample("hello")))
    other = renewed(pack(artifact, env={"A": "b"}, args=("c",)), b"nonce")
    assert (dict(other.env), other.cmd) == ({"A": "b"}, ("c",))
