"""The sections of a core module -> its imports, exports, memories, tables, globals and sizes.

Function bodies, element segments and data bytes are passed over, so the time is linear in the rest.
Source: WebAssembly core specification 3.0, section 5.5.
"""

from collections.abc import Callable
from dataclasses import replace

from wasmdock.wasm_core import constant, memory_type, mutability, table_type, type_group, value_type
from wasmdock.wasm_custom import Notes
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import CORE_SECTIONS
from wasmdock.wasm_types import Export, FuncType, Global, Import, Memory, Section, Table

NAMES = (
    ("custom", "type", "import", "function", "table", "memory", "global", "export", "start")
    + ("element", "code", "data", "data count", "tag")
)  # fmt: skip
_ORDER = {section: rank for rank, section in enumerate((1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11))}
_KINDS = {0: "func", 1: "table", 2: "memory", 3: "global", 4: "tag", 0x20: "func"}
# All types of imports and exports together, as wasmparser's MAX_WASM_TYPE_SIZE: without it a file of
# 1 MB could export one type of a thousand parameters a hundred thousand times.
_TYPE_BUDGET = 1_000_000


class CoreModule:
    """Filled section by section; then `imports`, `exports` and the others hold the finished values."""

    def __init__(self, reader: Reader, inside: str = "") -> None:
        """Read a whole module's sections (the reader stands after the preamble)."""
        self.imports: list[Import] = []
        self.exports: list[Export] = []
        self.memories: list[Memory] = []
        self.tables: list[Table] = []
        self.globals: list[Global] = []
        self.sections: list[Section] = []
        self.notes = Notes()
        self.data_size = 0
        self.start: int | None = None
        self._types: list[FuncType | None] = []
        self._functions: list[int] = []
        self._tags: list[int] = []
        self._texts: dict[int, str] = {}
        self._budget = _TYPE_BUDGET
        self._declared = self._bodies = 0
        self._read(reader, inside)

    def _read(self, reader: Reader, inside: str) -> None:
        last = -1
        for section, size, contents in reader.sections(CORE_SECTIONS):
            custom = ""
            if section == 0:
                custom = contents.name()
                self.notes.read(custom, contents)
            else:
                if _ORDER[section] <= last:
                    raise contents.fault(f"the {NAMES[section]} section is out of order")
                last = _ORDER[section]
                self._section(section, contents)
            self.sections.append(Section(NAMES[section], size, custom, inside))
        if self._declared != self._bodies:
            raise reader.fault(f"{self._declared} functions are declared and {self._bodies} have a body")

    def _section(self, section: int, contents: Reader) -> None:
        readers: dict[int, Callable[[Reader], None]] = {
            1: self._type,
            2: self._import,
            3: self._function,
            4: self._table,
            5: lambda r: self.memories.append(memory_type(r)),
            6: self._global,
            7: self._export,
            11: self._data,
            13: self._tag,
        }
        what = f"{NAMES[section]} section"
        if section == 8:
            self.start = contents.u32()
        elif section == 12:
            contents.u32()
        elif section in readers:
            read = readers[section]
            for _ in range(contents.count(f"entries of the {what}")):
                read(contents)
        else:
            self._passed_over(section, contents)
            return
        contents.finish(what)

    def _passed_over(self, section: int, contents: Reader) -> None:
        count = contents.count(NAMES[section])
        if section == 10:
            self._bodies = count

    def _type(self, reader: Reader) -> None:
        self._types += type_group(reader)

    def _function(self, reader: Reader) -> None:
        self._functions.append(self._type_index(reader))
        self._declared += 1

    def _type_index(self, reader: Reader) -> int:
        index = reader.u32()
        if index >= len(self._types) or self._types[index] is None:
            raise reader.fault(f"there is no function type {index}")
        return index

    def _table(self, reader: Reader) -> None:
        filled = reader.peek() == 0x40
        if filled:
            reader.byte()
            if reader.byte():
                raise reader.fault("a table's encoding is unknown")
        self.tables.append(table_type(reader))
        if filled:
            constant(reader)

    def _global(self, reader: Reader) -> None:
        kind, mutable = value_type(reader), mutability(reader)
        self.globals.append(Global("", kind, mutable, constant(reader)))

    def _tag(self, reader: Reader) -> None:
        if reader.byte():
            raise reader.fault("a tag's attribute is unknown")
        self._tags.append(self._type_index(reader))

    def _data(self, reader: Reader) -> None:
        mode = reader.u32()
        if mode > 2:
            raise reader.unknown(mode, "kind of data segment")
        if mode == 2:
            reader.u32()
        if mode != 1:
            constant(reader)
        size = reader.u32()
        reader.skip(size)
        self.data_size += size

    def _import(self, reader: Reader) -> None:
        module, name = reader.name(), reader.name()
        code = reader.peek()
        if name or code not in (0x7E, 0x7F):
            self._imported(reader, module, name)
            return
        reader.byte()  # compact import section: one module, many names
        again = -1
        if code == 0x7E:
            again = reader.pos
            self._import_type(reader)
        for _ in range(reader.count("imports")):
            name = reader.name()
            if code == 0x7F:
                self._imported(reader, module, name)
            else:
                self._imported(reader.within(again, reader.end), module, name)

    def _import_type(self, reader: Reader) -> tuple[str, int, Memory | Table | Global | None]:
        """(kind, type index of a function or tag, value of the others)."""
        code = reader.byte()
        kind = _KINDS.get(code, "")
        if kind == "tag" and reader.byte():
            raise reader.fault("a tag's attribute is unknown")
        if kind in ("func", "tag"):
            return kind, self._type_index(reader), None
        if kind == "table":
            return kind, 0, table_type(reader)
        if kind == "memory":
            return kind, 0, memory_type(reader)
        if kind == "global":
            return kind, 0, Global("", value_type(reader), mutability(reader))
        raise reader.unknown(code, "kind of import")

    def _imported(self, reader: Reader, module: str, name: str) -> None:
        kind, index, value = self._import_type(reader)
        if isinstance(value, Memory):
            self.memories.append(replace(value, imported=True, name=f"{module}.{name}"))
        elif isinstance(value, Table):
            self.tables.append(replace(value, imported=True, name=f"{module}.{name}"))
        elif isinstance(value, Global):
            self.globals.append(replace(value, imported=True, name=f"{module}.{name}"))
        else:
            (self._functions if kind == "func" else self._tags).append(index)
        text, func = self._described(reader, kind, self._last(kind))
        self.imports.append(Import(module, name, kind, text, func))

    def _space(self, kind: str) -> list[int] | list[Memory] | list[Table] | list[Global]:
        if kind == "memory":
            return self.memories
        if kind == "table":
            return self.tables
        if kind == "global":
            return self.globals
        return self._functions if kind == "func" else self._tags

    def _last(self, kind: str) -> int:
        return len(self._space(kind)) - 1

    def _export(self, reader: Reader) -> None:
        name = reader.name()
        code = reader.byte()
        kind = _KINDS.get(code)
        if kind is None or code == 0x20:
            raise reader.unknown(code, "kind of export")
        index = reader.u32()
        if index >= len(self._space(kind)):
            raise reader.fault(f"export {name[:80]!r}: there is no {kind} {index}")
        self._named(kind, index, name)
        text, func = self._described(reader, kind, index)
        self.exports.append(Export(name, kind, text, func))

    def _named(self, kind: str, index: int, name: str) -> None:
        """Give a memory, table or global the first name it is exported by."""
        if kind == "memory" and not self.memories[index].name:
            self.memories[index] = replace(self.memories[index], name=name)
        elif kind == "table" and not self.tables[index].name:
            self.tables[index] = replace(self.tables[index], name=name)
        elif kind == "global" and not self.globals[index].name:
            self.globals[index] = replace(self.globals[index], name=name)

    def _described(self, reader: Reader, kind: str, index: int) -> tuple[str, FuncType | None]:
        """The type of an import or export, as text and, for a function, as a value."""
        if kind == "memory":
            return memory_text(self.memories[index]), None
        if kind == "table":
            return table_text(self.tables[index]), None
        if kind == "global":
            chosen = self.globals[index]
            return f"mut {chosen.type}" if chosen.mutable else chosen.type, None
        number = (self._functions if kind == "func" else self._tags)[index]
        func = self._types[number] or FuncType()
        self._budget -= 1 + len(func.params) + len(func.results)
        if self._budget < 0:
            raise reader.fault("the types of its imports and exports are too large")
        if number not in self._texts:
            self._texts[number] = str(func)
        return self._texts[number], func if kind == "func" else None


def memory_text(memory: Memory) -> str:
    """`17 pages`, `1..16 pages shared`, with `memory64` and an unusual page size named."""
    extra = (" shared" if memory.shared else "") + (" memory64" if memory.memory64 else "")
    return f"{_range(memory.minimum, memory.maximum)} pages{extra}"


def table_text(table: Table) -> str:
    """`3..3 funcref`."""
    return f"{_range(table.minimum, table.maximum)} {table.element}"


def _range(minimum: int, maximum: int | None) -> str:
    return f"{minimum} or more" if maximum is None else f"{minimum}..{maximum}"
