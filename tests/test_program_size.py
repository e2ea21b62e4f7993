"""One bound of a program's size, whoever reads, packs or compiles it, and how it is lifted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from wasmdock.convert import convert
from wasmdock.errors import GuestError, ImageError
from wasmdock.guest import Artifact, Target
from wasmdock.inprocess import InProcessRuntime
from wasmdock.pack import extract, pack
from wasmdock.program_size import bound_programs
from wasmdock.runtime import Limits, RunRequest
from wasmdock.shape import Shape

TINY = b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\5\3\1\0\1\7\x13\2\6memory\2\0\6_start\0\0\x0a\4\1\2\0\x0b"
MIB = 1 << 20


def padded(size: int) -> bytes:
    """A command that ends at once, with a custom section that makes it so large."""
    rest = size - len(TINY) - 6
    length = bytes((rest >> shift & 0x7F) | (0x80 if shift < 28 else 0) for shift in range(0, 35, 7))
    return TINY + b"\0" + length + b"\1x" + bytes(rest - 2)


def artifact(size: int) -> Artifact:
    return Artifact("padded", Target.WASIP1, padded(size))


@pytest.fixture
def bound() -> Iterator[None]:
    bound_programs(4096)
    yield
    bound_programs()


@pytest.mark.parametrize("shape", Shape)
def test_what_is_packed_can_be_run_in_every_shape(shape: Shape) -> None:
    image = pack(artifact(140 * MIB), shape=shape)
    assert len(extract(image)) == 140 * MIB
    assert InProcessRuntime().run(image, RunRequest()).exit_code == 0
    assert extract(convert(image, Shape.ARTIFACT)) == extract(image)


@pytest.mark.usefixtures("bound")
def test_program_beyond_the_bound_is_not_packed() -> None:
    pack(artifact(4096))
    with pytest.raises(GuestError, match="4097 bytes are more than the 4096 that a program may have") as caught:
        pack(artifact(4097))
    assert "WASMDOCK_COMPILE_SIZE=1g, or none" in caught.value.hint


@pytest.mark.parametrize("shape", Shape)
def test_program_beyond_the_bound_is_not_taken_out_of_an_image(shape: Shape) -> None:
    image = pack(artifact(5000), shape=shape)
    bound_programs(4096)
    try:
        with pytest.raises(ImageError, match="5000 bytes") as caught:
            extract(image)
    finally:
        bound_programs()
    assert "WASMDOCK_COMPILE_SIZE" in caught.value.hint


def test_child_of_a_run_takes_what_its_parent_takes() -> None:
    bound_programs(None)
    try:
        image = pack(artifact(257 * MIB), shape=Shape.ARTIFACT)
        assert InProcessRuntime().run(image, RunRequest(limits=Limits(memory=None, timeout=60))).exit_code == 0
    finally:
        bound_programs()


@pytest.mark.parametrize("verb, code", [(("run",), 125), (("pack", "-o", "x.tar"), 2), (("inspect",), 2)])
def test_variable_bounds_and_lifts_the_size_for_every_verb(
    wasmdock: CommandLine, tmp_path: Path, verb: tuple[str, ...], code: int
) -> None:
    path = tmp_path / "padded.wasm"
    path.write_bytes(padded(5000))
    done = wasmdock(*verb, path, cwd=tmp_path, WASMDOCK_COMPILE_SIZE="4k")
    assert done.code == code and "larger than the 4096 bytes" in done.stderr
    assert "try: let programs be larger: WASMDOCK_COMPILE_SIZE=1g, or none" in done.stderr
    assert wasmdock(*verb, path, cwd=tmp_path, WASMDOCK_COMPILE_SIZE="none").code == 0


def test_variable_bounds_what_is_taken_out_of_an_image(wasmdock: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "padded.wasm"
    path.write_bytes(padded(5000))
    assert wasmdock("pack", path).code == 0
    artifact = ("--shape", "artifact")
    for verb in (("run", "padded"), ("extract", "padded", "-o", tmp_path / "y"), ("convert", "padded", "x", *artifact)):
        done = wasmdock(*verb, WASMDOCK_COMPILE_SIZE="4k")
        assert done.code != 0 and "it has 5000 bytes, more than the 4096 allowed" in done.stderr, verb


def test_variable_that_is_no_size_is_named(wasmdock: CommandLine) -> None:
    done = wasmdock("images", WASMDOCK_COMPILE_SIZE="huge")
    assert done.code == 2
    assert done.stderr.startswith('wasmdock: WASMDOCK_COMPILE_SIZE: reading size "huge"')


def test_device_without_an_end_is_not_read_for_ever(wasmdock: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "zero.wasm").symlink_to("/dev/zero")
    done = wasmdock("run", tmp_path / "zero.wasm", WASMDOCK_COMPILE_SIZE="none")
    assert done.code == 125 and "larger than the 268435456 bytes" in done.stderr


def test_stack_without_a_limit_is_the_largest_there_is(wasmdock: CommandLine) -> None:
    guests = Path(__file__).parent / "guests"
    assert wasmdock("run", "--stack", "none", guests / "hello.wat").code == 0
    assert wasmdock("run", "--stack", "none", guests / "deep.wat", *["x"] * 8).code == 0
