"""The sections of a component -> its imports and exports with WIT types, and its core modules' contents.

Definitions that types do not refer to (core instances, core aliases) are passed over. A code this reader
does not know in the type, alias, instance or canon sections costs the types of what follows, not the
component: names, kinds and sizes remain. Source: component-model/design/mvp/Binary.md.
"""

from dataclasses import replace

from wasmdock.wasm_core import value_type
from wasmdock.wasm_custom import Notes
from wasmdock.wasm_reader import Reader, UnknownCodeError
from wasmdock.wasm_sections import CoreModule
from wasmdock.wasm_sniff import COMPONENT_SECTIONS, Form, extern_name, flag, form_of, sort
from wasmdock.wasm_types import Export, Global, Memory, Section, Table
from wasmdock.wasm_wit import Scope, alias, bound, define_type, extern_item, named_type, wit_value

NAMES = (
    ("custom", "core module", "core instance", "core type", "component", "instance", "alias", "type")
    + ("canon", "start", "import", "export", "value")
)  # fmt: skip
_MOST_ITEMS = 50_000  # of all imported and exported instances together: types are shared, output is not


class Component:
    """Filled section by section; `scope` holds what it defines, the lists what its core modules hold."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        """Read a whole component's sections (the reader stands after the preamble)."""
        self.scope = scope
        self.sections: list[Section] = []
        self.inside: dict[tuple[str, str], int] = {}
        self.memories: list[Memory] = []
        self.tables: list[Table] = []
        self.globals: list[Global] = []
        self.notes = Notes()
        self.data_size = 0
        self._lost = False
        for section, size, contents in reader.sections(COMPONENT_SECTIONS):
            custom = ""
            if section == 0:
                custom = contents.name()
                self.notes.read(custom, contents)
            else:
                self._section(section, contents)
            self.sections.append(Section(NAMES[section], size, custom))

    def _section(self, section: int, contents: Reader) -> None:
        if section in (1, 4):
            self._nested(section, contents)
        elif section in (10, 11):
            for _ in range(contents.count(NAMES[section])):
                (self._import if section == 10 else self._export)(contents)
            contents.finish(f"{NAMES[section]} section")
        elif section in _DEFINITIONS and not self._lost:
            try:
                for _ in range(contents.count(NAMES[section])):
                    _DEFINITIONS[section](contents, self.scope)
            except UnknownCodeError:
                self._lost = True

    def _nested(self, section: int, contents: Reader) -> None:
        start = contents.pos
        form = form_of(contents.take(8))
        if form is not (Form.MODULE if section == 1 else Form.COMPONENT):
            raise contents.fault(f"a {form} stands where a {NAMES[section]} should", start)
        if section == 1:
            self._absorb_module(CoreModule(contents, NAMES[1]))
            return
        inner = Component(contents, self.scope.inner(contents))
        self._absorb(inner)
        for key, size in inner.inside.items():
            self.inside[key] = self.inside.get(key, 0) + size
        if not self._lost:
            exports = () if inner._lost else tuple(inner.scope.exports)
            self.scope.components.append(Export("", "component", "component", items=exports))

    def _absorb_module(self, module: CoreModule) -> None:
        self._absorb(module)
        for section in module.sections:
            key = (section.name, section.custom)
            self.inside[key] = self.inside.get(key, 0) + section.size

    def _absorb(self, inner: "CoreModule | Component") -> None:
        self.memories += [memory for memory in inner.memories if not memory.imported]
        self.tables += [table for table in inner.tables if not table.imported]
        self.globals += [each for each in inner.globals if not each.imported]
        self.notes.absorb(inner.notes)
        self.data_size += inner.data_size

    def _import(self, contents: Reader) -> None:
        item = extern_item(contents, self.scope)
        if self._lost:  # what its type's index stands for is not known, so nothing may rely on it
            item = replace(item, items=())
        self.scope.imports.append(item)
        self._define(item)

    def _export(self, contents: Reader) -> None:
        name = extern_name(contents)
        kind, index = sort(contents), contents.u32()
        found = self.scope.find(kind, index)
        if flag(contents, "mark of an export's type"):
            stated = bound(contents, self.scope, name)
            if stated.type not in ("", stated.kind) or stated.items:
                found = stated
        item = _named(name, kind, found)
        self.scope.exports.append(item)
        self._define(item)

    def _define(self, item: Export) -> None:
        if not self._lost:
            self.scope.define(item)

    def all_sections(self) -> tuple[Section, ...]:
        """The component's own sections, then those of its core modules summed by kind."""
        inside = [Section(name, size, custom, NAMES[1]) for (name, custom), size in self.inside.items()]
        return (*self.sections, *inside)

    def interface(self) -> tuple[tuple[Export, ...], tuple[Export, ...]]:
        """Its imports and exports, with the items of instances one level deep."""
        left = _MOST_ITEMS
        trimmed: list[tuple[Export, ...]] = []
        for items in (self.scope.imports, self.scope.exports):
            kept = []
            for item in items:
                left -= len(item.items)
                inner = tuple([replace(each, items=()) for each in item.items]) if left >= 0 else ()
                kept.append(replace(item, items=inner))
            trimmed.append(tuple(kept))
        return trimmed[0], trimmed[1]


def _instance(reader: Reader, scope: Scope) -> None:
    """Read one instance: of a component with arguments, or a bundle of definitions."""
    code = reader.byte()
    if code == 0:
        made = scope.find("component", reader.u32())
        for _ in range(reader.count("arguments")):
            reader.name()
            sort(reader)
            reader.u32()
        scope.instances.append(Export("", "instance", "instance", items=made.items))
    elif code == 1:
        items = [_bundled(reader, scope) for _ in range(reader.count("exports"))]
        scope.instances.append(Export("", "instance", "instance", items=tuple(items)))
    else:
        raise reader.unknown(code, "kind of instance")


def _bundled(reader: Reader, scope: Scope) -> Export:
    name, kind = extern_name(reader), sort(reader)
    return _named(name, kind, scope.find(kind, reader.u32()))


def _named(name: str, kind: str, found: Export) -> Export:
    return named_type(name, found) if kind == "type" else Export(name, kind, found.type, items=found.items)


def _canon(reader: Reader, scope: Scope) -> None:
    """Read one canonical definition; only `lift` makes a function that the component can export."""
    code = reader.byte()
    if code in (0, 1) and reader.byte():
        raise reader.unknown(code, "canonical function")
    if code == 0:
        reader.u32()
        _options(reader)
        found = scope.find("type", reader.u32())
        scope.funcs.append(Export("", "func", found.type if found.kind == "func" else "func"))
    elif code in _INDEX_OPERANDS:
        for _ in range(_INDEX_OPERANDS[code]):
            reader.u32()
        if code in _THEN_OPTIONS:
            _options(reader)
    elif code == 9:  # task.return
        if flag(reader, "mark of a result"):
            reader.byte()
        else:
            wit_value(reader, scope)
        _options(reader)
    elif code in (0x0A, 0x0B):  # context.get, context.set
        value_type(reader)
        reader.u32()
    else:
        raise reader.unknown(code, "canonical function")


# How many numbers (indices, or one-byte flags, which read the same) follow a canonical built-in's code.
_INDEX_OPERANDS = {
    **dict.fromkeys((0x05, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F, 0x22, 0x23, 0x24, 0x25, 0x26, 0x28, 0x42), 0),
    **dict.fromkeys((0x01, 0x02, 0x03, 0x04, 0x06, 0x0C, 0x0E, 0x0F, 0x10, 0x13, 0x14, 0x15, 0x16, 0x17), 1),
    **dict.fromkeys((0x1A, 0x1B, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x40), 1),
    **dict.fromkeys((0x11, 0x12, 0x18, 0x19, 0x20, 0x21, 0x27, 0x41), 2),
}
_THEN_OPTIONS = frozenset((0x01, 0x0F, 0x10, 0x16, 0x17, 0x1C, 0x1D))


def _options(reader: Reader) -> None:
    for _ in range(reader.count("options")):
        code = reader.byte()
        if code in (3, 4, 5, 7, 8):  # memory, realloc, post-return, callback, core type
            reader.u32()
        elif code not in (0, 1, 2, 6, 9):
            raise reader.unknown(code, "canonical option")


_DEFINITIONS = {5: _instance, 6: alias, 7: define_type, 8: _canon}
