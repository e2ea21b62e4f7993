"""How dear a Wasm binary is to compile at the worst, from its types and the shapes of its functions."""

from wasmdock.errors import GuestError
from wasmdock.wasm_operators import Shape, Widths, read_bodies, read_functions, read_imports, read_shape, read_types
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import CORE_SECTIONS, Form, core_modules, form_of

_TYPES, _IMPORTS, _FUNCTIONS, _CODE = 1, 2, 3, 10  # section codes of the core specification, 5.5
# In bytes of straight code, of which wasmtime 50 compiles at least 300 kB a second on one core. Measured with the
# binaries of tests/hostile_modules.py: a function costs 60 before its first instruction, 15 locals cost one.
_FUNCTION, _LOCALS, _SQUARE = 60, 15, 1024
_TYPE, _VALUE = 40, 10  # a type brings a trampoline, which handles each of its values
_CALLED, _CALLED_SQUARE = 3, 3000  # values handed over by calls: linear, and with the square of their number
_JOINED_SQUARE = 700  # values that meet where branches do, each handed through every block around it
_HELD = 3  # of three locals held through a loop, one
_HELPED_SQUARE = 24  # calls of wasmtime's own functions, such as memory.grow
_ADAPTED = 8  # a component's types become code that copies values: for each byte of what is not a core module
_SMALL = 64  # bytes of a function in which nothing can go wrong


def estimate_cost(data: bytes, enough: int) -> int:
    """The worst case in bytes of straight code, counted up to `enough`; what cannot be read costs that much."""
    try:
        return min(_estimate(data, enough), enough)
    except GuestError:
        return enough


def _estimate(data: bytes, enough: int) -> int:
    modules = core_modules(data)
    total = len(data)
    if form_of(data) is Form.COMPONENT:
        total += _ADAPTED * (len(data) - sum(module.end - module.pos for module in modules))
    for module in modules:
        if total >= enough:
            break
        total += _module_cost(module, enough - total)
    return total


def _module_cost(module: Reader, enough: int) -> int:
    total, types, functions = 0, [], []
    for section, _, contents in module.sections(CORE_SECTIONS):
        if section == _TYPES:
            types = read_types(contents, enough // _TYPE)
            total += sum(_TYPE + width * _VALUE for width in types)
        elif section == _IMPORTS:
            functions += read_imports(contents, types)
        elif section == _FUNCTIONS:
            functions += read_functions(contents, types, enough // _FUNCTION)
        elif section == _CODE:
            total += _code_cost(contents, Widths(types, functions), enough - total)
        if total >= enough:
            return total
    return total


def _code_cost(code: Reader, widths: Widths, enough: int) -> int:
    total = 0
    for body, size, held in read_bodies(code):
        total += _FUNCTION + size * size // _SQUARE + held // _LOCALS
        if total >= enough:
            return total
        if size > _SMALL:
            total += _shape_cost(read_shape(body, widths), min(held, size))
    return total


def _shape_cost(shape: Shape, held: int) -> int:
    called = shape.called * _CALLED + shape.called**2 // _CALLED_SQUARE
    joined = shape.joined + shape.joined**2 // _JOINED_SQUARE
    return called + joined + held * shape.loops // _HELD + shape.helped**2 // _HELPED_SQUARE
