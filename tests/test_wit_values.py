"""WIT values as JSON and bare text, in the shapes wasmtime's Python package takes and gives."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import wasmtime
import wasmtime.component as wc

from wasmdock.errors import UsageError
from wasmdock.wit import Variant, Wit, tagged
from wasmdock.wit_values import Makers, from_json, parse_wit, to_json

U8, U32, S32, BOOL, F32, F64 = (Wit(kind) for kind in ("u8", "u32", "s32", "bool", "f32", "f64"))
STRING, CHAR = Wit("string"), Wit("char")
POINT = Wit("record", (("x", F64), ("y", F64)))
COLOR = Wit("enum", (("red", None), ("green", None)))
MARKS = Wit("flags", (("bold", None), ("thin", None)))
SHAPE = Wit("variant", (("dot", None), ("circle", F64), ("square", F64)))


def list_of(wit: Wit) -> Wit:
    return Wit("list", (("", wit),))


def option(wit: Wit) -> Wit:
    return Wit("option", (("some", wit),))


def result(ok: Wit | None = None, err: Wit | None = None) -> Wit:
    return Wit("result", (("ok", ok), ("err", err)))


def tuple_of(*wits: Wit) -> Wit:
    return Wit("tuple", tuple((str(i), wit) for i, wit in enumerate(wits)))


@pytest.mark.parametrize(
    ("wit", "text"),
    [
        (list_of(U32), "list<u32>"),
        (tuple_of(U8, STRING), "tuple<u8, string>"),
        (result(), "result"),
        (result(U32), "result<u32>"),
        (result(None, STRING), "result<_, string>"),
        (SHAPE, "variant {dot, circle(f64), square(f64)}"),
        (POINT, "record {x: f64, y: f64}"),
        (COLOR, "enum {red, green}"),
    ],
)
def test_type_reads_as_in_wit(wit: Wit, text: str) -> None:
    assert str(wit) == text


@pytest.mark.parametrize(
    ("text", "wit", "value"),
    [
        ("hello", STRING, "hello"),
        ('"hello"', STRING, "hello"),
        ('"', STRING, '"'),
        ("", STRING, ""),
        ("x", CHAR, "x"),
        ("red", COLOR, "red"),
        ("true", BOOL, True),
        ("0xff", U8, 255),
        ("-5", S32, -5),
        ("1.5", F32, 1.5),
        ("inf", F64, math.inf),
        ("[1, 2]", list_of(U32), [1, 2]),
        ("[1, 2]", list_of(U8), b"\1\2"),
        ('["a", 1]', tuple_of(STRING, U8), ("a", 1)),
        ('["thin"]', MARKS, {"thin"}),
        ("null", option(STRING), None),
        ("hello", option(STRING), "hello"),
        ('{"circle": 2}', SHAPE, Variant("circle", 2.0)),
        ('"dot"', SHAPE, Variant("dot")),
        ('{"ok": 1}', result(U32, STRING), 1),
        ('{"err": "no"}', result(U32, STRING), "no"),
        ('{"ok": "a"}', result(STRING, STRING), Variant("ok", "a")),
        ("null", option(option(U8)), Variant("none")),
        ('{"some": null}', option(option(U8)), Variant("some", None)),
    ],
)
def test_command_line_value_of_a_wit_type(text: str, wit: Wit, value: object) -> None:
    assert parse_wit(text, wit) == value


def test_record_becomes_an_object_with_its_fields() -> None:
    point = parse_wit('{"x": 1, "y": 2.5}', POINT)
    assert (point.x, point.y) == (1.0, 2.5)


@pytest.mark.parametrize(
    ("text", "wit", "words"),
    [
        ("256", U8, '"256" is outside 0 to 255'),
        ("-1", U32, '"-1" is outside 0 to 4294967295'),
        ("yes", BOOL, '"yes" is not JSON'),
        ("1", BOOL, "true or false is wanted, 1 was given"),
        ("[1, true]", list_of(U32), r"p\[1\] of type u32: a whole number"),
        ("[1, 300]", list_of(U8), r"p\[1\] of type u8: a whole number from 0 to 255"),
        ("[1]", tuple_of(U8, U8), "a list of 2 is wanted"),
        ('{"x": 1}', POINT, "an object with x, y is wanted"),
        ('{"x": 1, "y": "a"}', POINT, "p.y of type f64: a number is wanted"),
        ("blue", COLOR, 'one of red, green is wanted, "blue" was given'),
        ('["wide"]', MARKS, "a list of bold, thin is wanted"),
        ('"circle"', SHAPE, "one of .* is wanted"),
        ('{"dot": 1}', SHAPE, "one of .* is wanted"),
        ("xy", CHAR, "one character is wanted"),
        ('"\\ud800"', STRING, "no lone surrogates"),
        ("[1e39]", list_of(F32), "too large"),
        ("[" * 100000, list_of(U8), "is not JSON"),
        ("1", Wit("own"), "cannot be written as JSON"),
    ],
)
def test_value_of_another_type_is_refused_by_name_type_and_text(text: str, wit: Wit, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_wit(text, wit, "p")
    assert caught.value.message.startswith("p")
    assert "\n" not in caught.value.message


def test_case_that_wasmtime_would_mistake_for_another_is_refused() -> None:
    with pytest.raises(UsageError, match="mistakes the case b for a"):
        from_json({"b": True}, Wit("variant", (("a", S32), ("b", BOOL))))


@pytest.mark.parametrize(
    "wit",
    [result(STRING, STRING), SHAPE, option(option(U8)), result(CHAR, STRING), result()],
)
def test_variant_whose_cases_share_a_python_class_is_tagged(wit: Wit) -> None:
    assert tagged(wit)


@pytest.mark.parametrize("wit", [option(U8), result(U8, STRING), result(None, STRING), result(F32, U8)])
def test_variant_whose_cases_differ_goes_as_its_payload(wit: Wit) -> None:
    assert not tagged(wit)


@pytest.mark.parametrize(
    ("value", "wit"),
    [
        (True, BOOL),
        (7, U32),
        ("é", STRING),
        ([1, 2], list_of(U8)),
        ([[1], []], list_of(list_of(U32))),
        (["a", 1], tuple_of(STRING, U8)),
        ({"x": 1.5, "y": 0.1}, POINT),
        (0.1, F32),
        ("nan", F64),
        ("red", COLOR),
        (["bold", "thin"], MARKS),
        ("dot", SHAPE),
        ({"square": 2.0}, SHAPE),
        (None, option(U8)),
        (3, option(U8)),
        ({"some": None}, option(option(U8))),
        (None, option(option(U8))),
        ({"ok": 1}, result(U8, STRING)),
        ({"err": "no"}, result(U8, STRING)),
        ("ok", result(None, STRING)),
        ("err", result()),
        ({"ok": {"x": 1.0, "y": 2.0}}, result(POINT, STRING)),
        (["a", None], list_of(option(STRING))),
    ],
)
def test_value_comes_back_as_the_json_it_was_given_as(value: object, wit: Wit) -> None:
    written = json.loads(json.dumps(to_json(from_json(value, wit), wit)))
    assert written == value


def test_resource_comes_out_as_its_kind() -> None:
    assert to_json(object(), Wit("own")) == "<own>"


# With wasmtime itself: every shape goes in and comes out of a real component.


def wit_of(kind: Any) -> Wit:
    """A wasmtime type as a Wit."""
    if isinstance(kind, wc.ListType):
        return list_of(wit_of(kind.element))
    if isinstance(kind, wc.OptionType):
        return option(wit_of(kind.payload))
    if isinstance(kind, wc.ResultType):
        return result(*(None if each is None else wit_of(each) for each in (kind.ok, kind.err)))
    if isinstance(kind, wc.RecordType):
        return Wit("record", tuple((name, wit_of(each)) for name, each in kind.fields))
    if isinstance(kind, wc.TupleType):
        return tuple_of(*map(wit_of, kind.elements))
    if isinstance(kind, wc.VariantType):
        return Wit("variant", tuple((n, None if each is None else wit_of(each)) for n, each in kind.cases))
    if isinstance(kind, wc.EnumType | wc.FlagsType):
        word = "enum" if isinstance(kind, wc.EnumType) else "flags"
        return Wit(word, tuple((name, None) for name in kind.names))
    return Wit(type(kind).__name__.lower())


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("add-u32", ["2", "3"], 5),
        ("is-even", ["4"], True),
        ("greet", ["Ada"], "Hello, Ada!"),
        ("sum", ["[1, 2, 3]"], 6),
        ("count-to", ["3"], [1, 2, 3]),
        ("move-point", ['{"x": 1, "y": 2}', "10"], {"x": 11, "y": 12}),
        ("halve", ["6"], 3),
        ("halve", ["7"], None),
        ("divide", ["6", "3"], {"ok": 2}),
        ("divide", ["1", "0"], {"err": "division by zero"}),
        ("next-color", ["red"], "green"),
        ("area", ['{"square": 3.0}'], 9.0),
        ("area", ['"nothing"'], 0.0),
    ],
)
def test_values_pass_through_a_real_component(name: str, arguments: list[str], answer: object) -> None:
    engine = wasmtime.Engine()
    text = (Path(__file__).parent / "guests" / "component_lib.wat").read_text()
    store = wasmtime.Store(engine)
    instance = wc.Linker(engine).instantiate(store, wc.Component(engine, wasmtime.wat2wasm(text)))
    function = instance.get_func(store, name)
    assert function is not None
    kind = function.type(store)
    makers = Makers(wc.Record, wc.Variant)
    pairs = zip(arguments, kind.params, strict=True)
    values = [parse_wit(text, wit_of(each), name, makers) for text, (name, each) in pairs]
    assert to_json(function(store, *values), wit_of(kind.result)) == answer
