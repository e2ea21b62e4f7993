"""A cold start without a container reads its image from an archive, within the timed part."""

from pathlib import Path

import pytest

from tests.test_bench import IMAGE, TICK, FakeClock, FakeRuntime
from tests.test_convert import SHAPES, rich
from wasmdock.cli.bench_cold import cold_run, kept_in
from wasmdock.oci.image import Image
from wasmdock.runtime import RunRequest
from wasmdock.shape import Shape


@pytest.mark.parametrize("shape", SHAPES)
def test_image_of_any_shape_is_read_back_as_it_was(shape: Shape, tmp_path: Path) -> None:
    image, again = rich(shape), kept_in(tmp_path / "made", rich(shape))
    assert again().digest == image.digest
    assert again() is not again()


def test_cold_start_is_loading_compiling_and_running() -> None:
    clock = FakeClock()

    def read() -> Image:
        clock.sleep(0.25)
        return IMAGE

    run = cold_run(read, lambda: FakeRuntime(clock, seconds=0.5), RunRequest(), clock)
    assert run().phases == pytest.approx({"load": 0.25, "compile": 1.0, "total": 1.75}, abs=5 * TICK)
