"""A Wasm binary without names, producers and debug information, the modules nested in a component's included."""

from wasmdock.errors import GuestError
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import COMPONENT_SECTIONS, CORE_SECTIONS, Form, form_of
from wasmdock.wasm_writer import section

_CUSTOM, _CORE_MODULE, _COMPONENT = 0, 1, 4  # section codes of component-model/design/mvp/Binary.md
_NAMES = ("name", "component-name", "producers", "sourceMappingURL", "external_debug_info")
_DEPTH = 32  # components within each other


def strip(data: bytes) -> bytes:
    """The same binary without what no engine runs; every other section as it was. Raises GuestError."""
    return _stripped(Reader(data, 8), data[:8], form_of(data) is Form.COMPONENT, 0)


def _stripped(reader: Reader, head: bytes, is_component: bool, depth: int) -> bytes:
    if depth > _DEPTH:
        raise GuestError(f"not a Wasm binary we strip: more than {_DEPTH} components within each other")
    kept = [head]
    for code, length, contents in reader.sections(COMPONENT_SECTIONS if is_component else CORE_SECTIONS):
        start, end = contents.pos, contents.end
        if code == _CUSTOM and _is_idle(contents):
            continue
        if is_component and code in (_CORE_MODULE, _COMPONENT):
            contents.skip(8)
            inner = _stripped(contents, reader.data[start : start + 8], code == _COMPONENT, depth + 1)
            kept.append(section(code, inner))
        else:
            kept.append(reader.data[end - length : end])
    return b"".join(kept)


def _is_idle(contents: Reader) -> bool:
    name = contents.name()
    return name in _NAMES or name.startswith((".debug_", "reloc..debug_"))
