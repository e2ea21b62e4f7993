"""Numbers in headers, annotations and settings that a hostile hand has written."""

import pytest

from wasmdock.cli.run_http import parse_publish
from wasmdock.digits import read_digits
from wasmdock.docker_host import Host, parse_answer
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.oci.image import WASI, Descriptor, Digest
from wasmdock.oci.store_entries import noted

HOSTILE = ("9" * 5000, "²", "٣", "-1", "+1", " 1", "1_0", "x", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert read_digits(text) is None


def test_a_number_is_its_value() -> None:
    assert [read_digits(text) for text in ("0", "007", "9" * 19)] == [0, 7, 10**19 - 1]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_engines_senseless_length_is_a_clear_error(text: str) -> None:
    answer = f"HTTP/1.0 200 OK\r\nContent-Length: {text.strip()}0x\r\n\r\n".encode()
    with pytest.raises(UnavailableError, match="does not speak HTTP"):
        parse_answer(answer, Host("unix:///x", "DOCKER_HOST"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_senseless_size_in_the_store_has_the_image_read(text: str) -> None:
    notes = {"dev.wasmdock.packed-size": text, "dev.wasmdock.stored": "1"}
    assert noted(Descriptor("m", Digest("a" * 64), 1, notes, WASI)) is None


@pytest.mark.parametrize("text", ["8080:²", "²:8080", f"{'9' * 5000}:8080"])
def test_a_senseless_port_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="not HOST:GUEST"):
        parse_publish(text, 8080)
