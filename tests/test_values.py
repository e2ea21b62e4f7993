"""Numbers on a command line: what is taken, what it becomes, what is said otherwise."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmdock.errors import UsageError
from wasmdock.values import format_result, parse_argument


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("13", 13),
        ("-1", -1),
        ("+7", 7),
        ("007", 7),
        (" 5 ", 5),
        ("0x10", 16),
        ("-0x10", -16),
        ("0b101", 5),
        ("0o17", 15),
        ("1_000_000", 1000000),
        ("2147483647", 2147483647),
        ("2147483648", -2147483648),
        ("4294967295", -1),
        ("0xffff_ffff", -1),
        ("-2147483648", -2147483648),
    ],
)
def test_i32_takes_signed_and_unsigned_readings_of_its_bits(text: str, value: int) -> None:
    assert parse_argument(text, "i32") == value


def test_i64_takes_both_readings_too() -> None:
    assert parse_argument("18446744073709551615", "i64") == -1
    assert parse_argument("-9223372036854775808", "i64") == -(2**63)


@pytest.mark.parametrize("text", ["4294967296", "-2147483649"])
def test_number_outside_the_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(UsageError, match=f'n of type i32: "{text}" is outside -2147483648 to 4294967295'):
        parse_argument(text, "i32", "n")


@pytest.mark.parametrize("text", ["", "ten", "1.0", "0x", "1__0", "_1", "1_", "٣", "1" * 5000, "--1", "0b12"])
def test_text_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no whole number"):
        parse_argument(text, "i32")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5", 1.5), ("-0", -0.0), ("1e3", 1000.0), ("0x1.8p3", 12.0), ("inf", math.inf), ("-inf", -math.inf)],
)
def test_floats_are_decimal_hexadecimal_or_infinite(text: str, value: float) -> None:
    assert parse_argument(text, "f64") == value
    assert parse_argument(text, "f32") == value


def test_nan_is_taken() -> None:
    assert math.isnan(parse_argument("nan", "f64"))


def test_f32_argument_is_rounded_to_32_bits() -> None:
    assert parse_argument("0.1", "f32") == struct.unpack("<f", struct.pack("<f", 0.1))[0]


@pytest.mark.parametrize(("text", "kind"), [("1e39", "f32"), ("1e400", "f64"), ("0x1p2000", "f64")])
def test_float_too_large_for_its_type_is_refused(text: str, kind: str) -> None:
    with pytest.raises(UsageError, match="too large"):
        parse_argument(text, kind)


def test_text_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match='x of type f32: "one" is no number'):
        parse_argument("one", "f32", "x")


@pytest.mark.parametrize("kind", ["v128", "externref", "(ref null 3)"])
def test_vectors_and_references_cannot_be_given_on_a_command_line(kind: str) -> None:
    with pytest.raises(UsageError, match="cannot be given"):
        parse_argument("1", kind)


def test_results_are_signed_unless_asked_otherwise() -> None:
    assert format_result(-1, "i32") == "-1"
    assert format_result(-1, "i32", unsigned=True) == "4294967295"
    assert format_result(-1, "i64", unsigned=True) == "18446744073709551615"


def test_f32_result_is_the_shortest_text_of_its_bits() -> None:
    assert format_result(parse_argument("0.1", "f32"), "f32") == "0.1"
    assert format_result(math.nan, "f32") == "nan"
    assert format_result(-0.0, "f32") == "-0.0"


def test_reference_result_is_named_by_its_type() -> None:
    assert format_result(None, "externref") == "null"
    assert format_result(object(), "funcref") == "<funcref>"


@given(st.floats(width=32, allow_nan=False))
def test_every_f32_result_can_be_given_back(value: float) -> None:
    assert parse_argument(format_result(value, "f32"), "f32") == value


@given(st.text(max_size=30), st.sampled_from(["i32", "i64", "f32", "f64", "v128"]))
def test_any_text_is_a_value_or_a_usage_error(text: str, kind: str) -> None:
    try:
        value = parse_argument(text, kind)
    except UsageError as error:
        assert "\n" not in error.message
    else:
        assert isinstance(value, int if kind.startswith("i") else float)
