"""How many memories and tables a Wasm binary defines, its nested modules' included: what a limit is shared among."""

from wasmdock.wasm_sniff import CORE_SECTIONS, core_modules

_TABLES, _MEMORIES = 4, 5  # section codes of the core specification, 5.5.2


def count_holdings(data: bytes) -> tuple[int, int]:
    """(memories, tables) defined by a core module, or by all modules in a component. Raises GuestError."""
    counts = {_MEMORIES: 0, _TABLES: 0}
    for module in core_modules(data):
        for section, _, contents in module.sections(CORE_SECTIONS):
            if section in counts:
                counts[section] += contents.u32()
    return counts[_MEMORIES], counts[_TABLES]
