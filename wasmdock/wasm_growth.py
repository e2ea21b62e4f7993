"""Whether a Wasm binary has code that grows a table: few have, so a refused growth is a likely cause where one has."""

from wasmdock.errors import GuestError
from wasmdock.wasm_operators import Widths, read_bodies, read_functions, read_imports, read_shape, read_types
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import CORE_SECTIONS, core_modules

_TABLE_GROW = b"\xfc\x0f"  # as compilers write it; the bytes may mean something else, too
_TYPES, _IMPORTS, _FUNCTIONS, _CODE = 1, 2, 3, 10  # section codes of the core specification, 5.5
_MOST = 1_000_000  # types or functions; more are wasmtime's to refuse


def grows_tables(data: bytes) -> bool:
    """Whether some function has a table.grow; False where that cannot be read."""
    if _TABLE_GROW not in data:
        return False
    try:
        return any(map(_grows, core_modules(data)))
    except GuestError:
        return False


def _grows(module: Reader) -> bool:
    types: list[int] = []
    functions: list[int] = []
    for section, _, contents in module.sections(CORE_SECTIONS):
        if section == _TYPES:
            types = read_types(contents, _MOST)
        elif section == _IMPORTS:
            functions += read_imports(contents, types)
        elif section == _FUNCTIONS:
            functions += read_functions(contents, types, _MOST)
        elif section == _CODE:
            bodies = (body for body, *_ in read_bodies(contents) if _TABLE_GROW in body.data[body.pos : body.end])
            return any(read_shape(body, Widths(types, functions)).grows for body in bodies)
    return False
