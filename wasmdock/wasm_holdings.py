"""How many memories and tables a Wasm binary defines, its nested modules' included: what a limit is shared among."""

from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import COMPONENT_SECTIONS, CORE_SECTIONS, Form, form_of

_CORE_MODULE, _COMPONENT = 1, 4  # section codes of component-model/design/mvp/Binary.md
_TABLES, _MEMORIES = 4, 5  # section codes of the core specification, 5.5.2


def count_holdings(data: bytes) -> tuple[int, int]:
    """(memories, tables) defined by a core module, or by all modules in a component. Raises GuestError."""
    components = [Reader(data, 8)] if form_of(data) is Form.COMPONENT else []
    modules = [] if components else [Reader(data, 8)]
    while components:
        for section, _, contents in components.pop().sections(COMPONENT_SECTIONS):
            if section in (_CORE_MODULE, _COMPONENT):
                contents.skip(8)
                (modules if section == _CORE_MODULE else components).append(contents)
    counts = {_MEMORIES: 0, _TABLES: 0}
    for module in modules:
        for section, _, contents in module.sections(CORE_SECTIONS):
            if section in counts:
                counts[section] += contents.u32()
    return counts[_MEMORIES], counts[_TABLES]
