"""How dear a Wasm binary is to compile at the worst, from the sizes of its functions."""

from wasmdock.errors import GuestError
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import CORE_SECTIONS, core_modules

_CODE = 10  # section code of the core specification, 5.5.13
_TYPED_REFERENCES = (0x63, 0x64)  # (ref null ht) and (ref ht): the only value types of more than a byte
# In bytes of straight code, which wasmtime 50 compiles at some 300 kB a second on one core (measured): a function costs
# 60 of them before its first instruction, 15 locals cost one, and nested blocks make a body cost up to its square.
_FUNCTION, _LOCALS, _SQUARE = 60, 15, 1024


def estimate_cost(data: bytes, enough: int) -> int:
    """The worst case in bytes of straight code, counted up to `enough`; what cannot be read costs that much."""
    try:
        return _estimate(data, enough)
    except GuestError:
        return enough


def _estimate(data: bytes, enough: int) -> int:
    total = len(data)
    for module in core_modules(data):
        for section, _, contents in module.sections(CORE_SECTIONS):
            if section == _CODE:
                total += _code_cost(contents, enough - total)
            if total >= enough:
                return total
    return total


def _code_cost(code: Reader, enough: int) -> int:
    total = 0
    for _ in range(code.u32()):
        size = code.u32()
        start = code.skip(size)
        body = code.within(start, start + size)
        total += _FUNCTION + size * size // _SQUARE
        for _ in range(body.u32()):
            total += body.u32() // _LOCALS
            if body.byte() in _TYPED_REFERENCES:
                body.signed(33)
            if total >= enough:
                return total
        if total >= enough:
            return total
    return total
