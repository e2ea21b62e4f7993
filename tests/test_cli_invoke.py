"""wasmdock invoke: numbers and WIT values in, results out."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.command_line import CommandLine, guest

ADD, LIBRARY = guest("add"), guest("component_lib")


@pytest.mark.parametrize(
    "call, printed",
    [
        ("add 2 3", "5\n"),
        ("add 2147483648 0", "-2147483648\n"),
        ("add 4294967295 0", "-1\n"),
        ("add -1 0", "-1\n"),
        ("add 0xff 0b1", "256\n"),
        ("add64 9223372036854775807 1", "-9223372036854775808\n"),
        ("fadd 0.5 0.25", "0.75\n"),
        ("dadd 1e308 1", "1e+308\n"),
        ("swap 1 2", "2\n1\n"),
        ("is_thirteen 13", "1\n"),
        ("nothing", ""),
    ],
)
def test_export_of_a_module_is_called_with_numbers(wasmdock: CommandLine, call: str, printed: str) -> None:
    done = wasmdock("invoke", ADD, *call.split())
    assert (done.code, done.text, done.stderr) == (0, printed, "")


def test_integers_are_printed_without_a_sign_on_request(wasmdock: CommandLine) -> None:
    assert wasmdock("invoke", "--unsigned", ADD, "add", "2147483648", "1").text == "2147483649\n"
    assert wasmdock("invoke", "--unsigned", ADD, "add64", "-1", "0").text == "18446744073709551615\n"


def test_results_are_one_json_list_on_request(wasmdock: CommandLine) -> None:
    assert json.loads(wasmdock("invoke", "--format", "json", ADD, "swap", "1", "2").text) == [2, 1]
    assert json.loads(wasmdock("invoke", "--format", "json", ADD, "nothing").text) == []
    assert json.loads(wasmdock("invoke", "--format", "json", LIBRARY, "divide", "1", "0").text) == [
        {"err": "division by zero"}
    ]


@pytest.mark.parametrize(
    "call, printed",
    [
        (("add-u32", "2", "3"), "5\n"),
        (("greet", "Ada"), "Hello, Ada!\n"),
        (("greet", '"Ada"'), "Hello, Ada!\n"),
        (("sum", "[1, 2, 3]"), "6\n"),
        (("move-point", '{"x": 1, "y": 2}', "10"), '{"x": 11, "y": 12}\n'),
        (("halve", "7"), "null\n"),
        (("next-color", "red"), "green\n"),
        (("wasmdock:samples/numbers@0.1.0#double", "21"), "42\n"),
        (("double", "21"), "42\n"),
    ],
)
def test_export_of_a_component_is_called_with_wit_values(
    wasmdock: CommandLine, call: tuple[str, ...], printed: str
) -> None:
    done = wasmdock("invoke", LIBRARY, *call)
    assert (done.code, done.text, done.stderr) == (0, printed, "")


@pytest.mark.parametrize(
    "call, complaint",
    [
        ("add 4294967296 0", 'argument 1 of type i32: "4294967296" is outside -2147483648 to 4294967295'),
        ("add 0 1.5", 'argument 2 of type i32: "1.5" is no whole number'),
        ("fadd x 1", 'argument 1 of type f32: "x" is no number'),
        ("add 1", 'invoking "add": 1 arguments given, 2 wanted\n    try: its type is add(i32, i32) -> i32'),
        ("add 1 2 3", 'invoking "add": 3 arguments given, 2 wanted'),
    ],
)
def test_argument_that_does_not_fit_says_its_type(wasmdock: CommandLine, call: str, complaint: str) -> None:
    done = wasmdock("invoke", ADD, *call.split())
    assert (done.code, done.stdout) == (125, b"")
    assert done.stderr.startswith(f"wasmdock: {complaint}")


def test_wit_argument_that_does_not_fit_says_where(wasmdock: CommandLine) -> None:
    done = wasmdock("invoke", LIBRARY, "sum", "[1, -2]")
    assert done.code == 125
    assert "argument numbers[1] of type u32" in done.stderr


def test_unknown_export_lists_those_there_are(wasmdock: CommandLine) -> None:
    done = wasmdock("invoke", ADD, "ad")
    assert (done.code, done.stdout) == (125, b"")
    lines = done.stderr.splitlines()
    assert lines[0] == 'wasmdock: invoking "ad": no such export'
    assert lines[1].startswith("    try: did you mean add")
    assert "         swap(i32, i64) -> (i64, i32)" in lines


def test_module_without_exports_says_none(wasmdock: CommandLine) -> None:
    assert "none" in wasmdock("invoke", guest("no_start"), "main").stderr


def test_module_that_needs_more_memory_than_is_given_is_refused(wasmdock: CommandLine) -> None:
    done = wasmdock("invoke", "--memory", "2000000", guest("big_memory"), "pages")
    assert (done.code, done.stdout) == (137, b"")
    assert "memory minimum size of 100 pages exceeds memory limits (2000000 bytes, set by --memory)" in done.stderr
    assert wasmdock("invoke", guest("big_memory"), "pages").text == "100\n"


@pytest.mark.parametrize("name", ["spin", "sleep_hour"])
def test_call_beyond_its_time_is_124(wasmdock: CommandLine, name: str) -> None:
    done = wasmdock("invoke", "--timeout", "300ms", guest(name), "_start")
    assert (done.code, done.stdout) == (124, b"")
    assert done.stderr.startswith("wasmdock: ") and "0.3 s" in done.stderr and "--timeout" in done.stderr


def test_ctrl_c_ends_a_call(wasmdock: CommandLine) -> None:
    with wasmdock.start("invoke", guest("spin"), "_start") as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr and process.stderr.read() == b""


def test_trap_in_a_call_is_134_and_prints_no_result(wasmdock: CommandLine) -> None:
    done = wasmdock("invoke", guest("divide_by_zero"), "_start")
    assert (done.code, done.stdout) == (134, b"")
    assert done.stderr.startswith("wasmdock: wasm trap: integer divide by zero\n")


def test_exit_code_of_a_called_command_is_given(wasmdock: CommandLine) -> None:
    assert wasmdock("invoke", guest("exit_code"), "_start").code == 7


def test_called_function_prints_on_our_stdout(wasmdock: CommandLine) -> None:
    assert wasmdock("invoke", guest("hello"), "_start").stdout == b"Hello from a sample guest!\n"


def _shared_types(deep: int) -> str:
    """A component whose function `f` takes a pair of pairs of pairs: a few bytes for 2 ** deep numbers."""
    types = "(type $t0 (tuple u8 u8))" + "".join(f"(type $t{i} (tuple $t{i - 1} $t{i - 1}))" for i in range(1, deep))
    lift = '(memory (core memory $i "m")) (realloc (core func $i "r"))'
    core = (
        '(core module $l (memory (export "m") 1) (func (export "f") (param i32)) (func (export "g"))'
        ' (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable)) (core instance $i (instantiate $l))'
    )
    functions = f'(func (export "f") (param "x" $t{deep - 1}) (canon lift (core func $i "f") {lift}))'
    return f'(component {types} {core} {functions} (func (export "g") (canon lift (core func $i "g"))))'


def test_a_type_that_is_larger_than_it_looks_is_refused_where_it_is_called(
    wasmdock: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "bomb.wat"
    file.write_text(_shared_types(18))
    assert wasmdock("invoke", str(file), "g").code == 0
    called, unknown = wasmdock("invoke", str(file), "f", "1"), wasmdock("invoke", str(file), "h")
    assert called.stderr == 'wasmdock: reading the type of "f": it has more than 10000 parts\n'
    assert unknown.stderr.endswith("it exports:\n         f(...)\n         g()\n")
