"""What bytes are, and a Wasm binary's form and world, from headers and export names in under a millisecond.

Sources: WebAssembly core specification section 5.5 (modules), component-model/design/mvp/Binary.md.
"""

from enum import StrEnum

from wasmdock.errors import GuestError
from wasmdock.wasm_reader import CUT_SHORT, Reader

MAGIC = b"\0asm"
ELF = b"\x7fELF"
CORE_SECTIONS = 13
COMPONENT_SECTIONS = 12
_CORE_MODULE, _COMPONENT = 1, 4  # section codes of component-model/design/mvp/Binary.md

_OTHER = (
    (ELF, "an ELF file: a Linux program, not Wasm", ""),
    (b"#!", "a script, not Wasm", ""),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"),
    (b"BZh", "compressed with bzip2", "unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first"),
    (b"MZ", "a Windows program, not Wasm", ""),
    (b"\xcf\xfa\xed\xfe", "a macOS program, not Wasm", ""),
    (b"\xca\xfe\xba\xbe", "a macOS program or a Java class, not Wasm", ""),
    (b"!<arch>\n", "a static library (ar archive), not a linked Wasm binary", ""),
    (b"BC\xc0\xde", "LLVM bitcode, not a linked Wasm binary", ""),
    (b"{", "JSON text, not Wasm", ""),
)
_OSABI_WASMTIME = 200  # wasmtime-environ/src/obj.rs ELFOSABI_WASMTIME


class Form(StrEnum):
    """What kind of binary: a core module or a component."""

    MODULE = "module"
    COMPONENT = "component"


class World(StrEnum):
    """What it is for: run once, answer HTTP requests, or be called function by function."""

    COMMAND = "command"
    HTTP = "http"
    LIBRARY = "library"


def sniff(data: bytes) -> tuple[Form, World]:
    """Form and world of a Wasm binary, from section headers and export names alone.

    Raises GuestError where the bytes are not Wasm or their sections do not add up.
    """
    form = form_of(data)
    reader = Reader(data, 8)
    if form is Form.MODULE:
        return form, core_world(_core_functions(reader))
    return form, component_world(_component_exports(reader))


def form_of(data: bytes) -> Form:
    """The form the first eight bytes announce; GuestError says what the bytes are instead."""
    if data[:4] != MAGIC:
        what, hint = recognise(data)
        raise GuestError(f"not a Wasm binary: {what}", hint)
    if len(data) < 8:
        raise GuestError(f"not a sound Wasm binary: it ends too early at offset {len(data):#x}", CUT_SHORT)
    version, layer = int.from_bytes(data[4:6], "little"), int.from_bytes(data[6:8], "little")
    if (version, layer) == (1, 0):
        return Form.MODULE
    if (version, layer) == (13, 1):
        return Form.COMPONENT
    if layer == 1:
        what = f"a component in the draft format {version}; 13 is the one in use"
        raise GuestError(f"not a Wasm binary we know: {what}", "build it again with current tools")
    raise GuestError(f"not a Wasm binary we know: version {version} of layer {layer}")


def check_whole(data: bytes) -> None:
    """Raise GuestError where bytes are not Wasm, or where its sections do not end with them."""
    known = CORE_SECTIONS if form_of(data) is Form.MODULE else COMPONENT_SECTIONS
    for _ in Reader(data, 8).sections(known):
        pass


def core_modules(data: bytes) -> list[Reader]:
    """The sections of a core module, or of every core module nested in a component. Raises GuestError."""
    components = [Reader(data, 8)] if form_of(data) is Form.COMPONENT else []
    modules = [] if components else [Reader(data, 8)]
    while components:
        for section, _, contents in components.pop().sections(COMPONENT_SECTIONS):
            if section in (_CORE_MODULE, _COMPONENT):
                contents.skip(8)
                (modules if section == _CORE_MODULE else components).append(contents)
    return modules


def recognise(data: bytes) -> tuple[str, str]:
    """What bytes that are not Wasm seem to be, and what to do about it (may be empty)."""
    if not data:
        return "an empty file", ""
    if data[:4] == ELF and data[7:8] == bytes([_OSABI_WASMTIME]):
        return "already compiled by wasmtime (.cwasm)", "give the .wasm file it was compiled from"
    for magic, what, hint in _OTHER:
        if data.startswith(magic):
            return what, hint
    if data[257:262] == b"ustar":
        return "a tar archive", "give the .wasm file in it"
    if _is_text_form(data):
        return "text form: WebAssembly text (.wat)", "translate it: wasm-tools parse FILE.wat -o FILE.wasm"
    if _is_text(data[:512]):
        return "it is text", "give the .wasm file"
    return f"it begins with {data[:4].hex(' ')} and not with 00 61 73 6d", ""


def _is_text(head: bytes) -> bool:
    """Whether it reads as UTF-8; the last letter may be cut in two."""
    text = head.decode("utf-8", "replace")[: -3 if len(head) == 512 else None]
    return "\ufffd" not in text and all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def _is_text_form(data: bytes) -> bool:
    """Whether the first words are those of the text format, after blanks and line comments."""
    start = data[:65536].removeprefix(b"\xef\xbb\xbf").lstrip()
    while start.startswith(b";;"):
        start = start.partition(b"\n")[2].lstrip()
    return start.startswith((b"(;", b"(")) and start[1:].lstrip().startswith(
        (b";", b"module", b"component", b"type", b"import", b"func", b"memory", b"export")
    )


def core_world(functions: list[str]) -> World:
    """The world of a core module, from the names of the functions it exports."""
    return World.COMMAND if "_start" in functions else World.LIBRARY


def component_world(exports: list[str]) -> World:
    """The world of a component, from its export names; the first that fits, as the shims look it up."""
    for name in exports:
        interface = name.partition("@")[0]
        if interface == "wasi:cli/run":
            return World.COMMAND
        if interface in ("wasi:http/incoming-handler", "wasi:http/handler"):
            return World.HTTP
    return World.LIBRARY


def _core_functions(reader: Reader) -> list[str]:
    names = []
    for section, _, contents in reader.sections(CORE_SECTIONS):
        if section == 7:
            for _ in range(contents.count("exports")):
                name, kind = contents.name(), contents.byte()
                contents.u32()
                if kind == 0:
                    names.append(name)
    return names


def _component_exports(reader: Reader) -> list[str]:
    names = []
    for section, _, contents in reader.sections(COMPONENT_SECTIONS):
        if section == 11:
            for _ in range(contents.count("exports")):
                names.append(extern_name(contents))
                sort(contents)
                contents.u32()
                if flag(contents, "mark of an export's type"):
                    extern_type(contents)
    return names


def flag(reader: Reader, what: str) -> bool:
    """A byte that is 0 or 1."""
    code = reader.byte()
    if code > 1:
        raise reader.unknown(code, what)
    return code == 1


def extern_name(reader: Reader) -> str:
    """The name of a component's import or export; its options (implements, version, id) are passed over."""
    code = reader.byte()
    if code > 2:
        raise reader.unknown(code, "kind of name")
    name = reader.name()
    if code == 2:
        for _ in range(reader.count("name options")):
            if reader.byte() > 2:
                raise reader.fault("an option of a name is unknown")
            reader.name()
    return name


SORTS = {1: "func", 2: "value", 3: "type", 4: "component", 5: "instance"}


def sort(reader: Reader) -> str:
    """What kind of thing an index of a component stands for."""
    code = reader.byte()
    if code == 0:
        core = reader.byte()
        if core == 0x11:
            return "module"
        return "core"
    if code not in SORTS:
        raise reader.unknown(code, "kind of definition")
    return SORTS[code]


def extern_type(reader: Reader) -> tuple[str, int]:
    """(kind, index of its type or -1) of an import or export of a component."""
    kind = sort(reader)
    if kind == "type":
        return ("type", reader.u32()) if not flag(reader, "bound of a type") else ("resource", -1)
    if kind == "value":
        return kind, reader.signed(33)
    return kind, reader.u32()
