"""The type syntax of a component -> WIT text: value types, function types, instance and component types.

Text is made as types are read, since a type refers only to earlier ones; a type that was exported or
imported under a name is given by that name, as in WIT. Source: component-model/design/mvp/Binary.md.
"""

from dataclasses import dataclass, field

from wasmdock.wasm_core import type_group, value_type
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import extern_name, flag, sort
from wasmdock.wasm_types import Export

PRIMITIVES = {
    0x7F: "bool", 0x7E: "s8", 0x7D: "u8", 0x7C: "s16", 0x7B: "u16", 0x7A: "s32", 0x79: "u32",
    0x78: "s64", 0x77: "u64", 0x76: "f32", 0x75: "f64", 0x74: "char", 0x73: "string",
    0x64: "error-context",
}  # fmt: skip
# Types share parts, so text can grow exponentially with the bytes (tuple<t, t> of tuple<t, t> of ...).
_LONGEST = 400
_DEEPEST = 100  # as wasmparser's MAX_WASM_COMPONENT_TYPE_DEPTH; also keeps clear of Python's recursion limit


@dataclass(slots=True)
class Scope:
    """The index spaces of one component, component type or instance type, as far as types need them."""

    parent: "Scope | None" = None
    depth: int = 0
    types: list[Export] = field(default_factory=list)
    funcs: list[Export] = field(default_factory=list)
    instances: list[Export] = field(default_factory=list)
    components: list[Export] = field(default_factory=list)
    imports: list[Export] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    # Items by name, per tuple of items and shared by all scopes: else N aliases of N exports take N*N steps.
    # The tuple is kept beside its index so that its id stays its own.
    named: dict[int, tuple[tuple[Export, ...], dict[str, Export]]] = field(default_factory=dict)

    def inner(self, reader: Reader) -> "Scope":
        """A scope within this one; refuses nesting that no tool produces."""
        if self.depth >= _DEEPEST:
            raise reader.fault(f"components or types are nested more than {_DEEPEST} deep")
        return Scope(self, self.depth + 1, named=self.named)

    def space(self, kind: str) -> list[Export] | None:
        """The index space a kind of definition lives in; None for those that types never refer to."""
        if kind in ("type", "resource"):
            return self.types
        return {"func": self.funcs, "instance": self.instances, "component": self.components}.get(kind)

    def find(self, kind: str, index: int) -> Export:
        """What an index stands for; only its kind is known where the definition could not be read."""
        space = self.space(kind)
        if space is not None and 0 <= index < len(space):
            return space[index]
        return Export("", kind, "" if kind == "type" else kind)

    def define(self, item: Export) -> None:
        """Give a definition the next index of its space."""
        space = self.space(item.kind)
        if space is not None:
            space.append(item)

    def item_of(self, instance: Export, kind: str, name: str) -> Export:
        """An instance's export of that name; only its kind is known where the instance is not."""
        items = instance.items
        if id(items) not in self.named:
            self.named[id(items)] = (items, {item.name: item for item in items})
        found = self.named[id(items)][1].get(name)
        if found is not None and self.space(found.kind) is self.space(kind):
            return found
        return Export(name, kind, "" if kind == "type" else kind)

    def outer(self, count: int) -> "Scope":
        """The scope `count` levels out (the outermost where there are not so many)."""
        scope = self
        for _ in range(min(count, _DEEPEST)):
            scope = scope.parent or scope
        return scope


def clipped(text: str, short: str) -> str:
    """The text, or its short form where sharing made it long."""
    return text if len(text) <= _LONGEST else short


def wit_value(reader: Reader, scope: Scope) -> str:
    """A value type: a primitive or the index of a defined type."""
    code = reader.peek()
    if code in PRIMITIVES:
        reader.byte()
        return PRIMITIVES[code]
    return called(scope.find("type", reader.signed(33)))


def called(item: Export) -> str:
    """How a type is referred to: by its name, else by what it is."""
    return clipped(item.name, f"{item.name[:_LONGEST]}...") or item.type or "_"


def _optional(reader: Reader, scope: Scope) -> str:
    return wit_value(reader, scope) if flag(reader, "mark of an optional type") else ""


def define_type(reader: Reader, scope: Scope) -> None:
    """Read one entry of a type section (or one type declaration) into the scope."""
    code = reader.byte()
    if code == 0x3F:
        item = _resource(reader)
    elif code in (0x40, 0x43):
        item = Export("", "func", _func(reader, scope, "async func" if code == 0x43 else "func"))
    elif code in (0x41, 0x42):
        item = _scope_type(reader, scope, code)
    elif code in PRIMITIVES:
        item = Export("", "type", PRIMITIVES[code])
    else:
        item = Export("", "type", _defined(reader, scope, code))
    scope.types.append(item)


def _resource(reader: Reader) -> Export:
    value_type(reader)
    if flag(reader, "mark of a destructor"):
        reader.u32()
    return Export("", "resource", "resource")


def _func(reader: Reader, scope: Scope, word: str) -> str:
    params = [f"{reader.name()}: {wit_value(reader, scope)}" for _ in range(reader.count("parameters"))]
    text = f"{word}({', '.join(params)})"
    if not flag(reader, "mark of a result"):
        text += f" -> {wit_value(reader, scope)}"
    elif reader.byte():
        raise reader.fault("named results are no longer in the format")
    return clipped(text, f"{word}({len(params)} parameters)")


def _defined(reader: Reader, scope: Scope, code: int) -> str:
    """The text of a defined value type whose code byte was just read."""
    if code == 0x70:
        text = f"list<{wit_value(reader, scope)}>"
    elif code == 0x6B:
        text = f"option<{wit_value(reader, scope)}>"
    elif code == 0x6A:
        text = _result(_optional(reader, scope), _optional(reader, scope))
    elif code in (0x69, 0x68):
        name = called(scope.find("type", reader.u32()))
        text = name if code == 0x69 else f"borrow<{name}>"
    elif code in (0x66, 0x65):
        payload = _optional(reader, scope)
        text = ("stream" if code == 0x66 else "future") + (f"<{payload}>" if payload else "")
    elif code == 0x67:
        text = f"list<{wit_value(reader, scope)}, {reader.u32()}>"
    elif code == 0x63:
        text = f"map<{wit_value(reader, scope)}, {wit_value(reader, scope)}>"
    else:
        return _compound(reader, scope, code)
    return clipped(text, text.partition("<")[0])


def _result(ok: str, err: str) -> str:
    if err:
        return f"result<{ok or '_'}, {err}>"
    return f"result<{ok}>" if ok else "result"


def _compound(reader: Reader, scope: Scope, code: int) -> str:
    """The text of a record, variant, tuple, flags or enum."""
    if code == 0x6F:
        parts = [wit_value(reader, scope) for _ in range(reader.count("tuple members"))]
        return clipped(f"tuple<{', '.join(parts)}>", "tuple")
    if code == 0x72:
        word, count = "record", reader.count("fields")
        parts = [f"{reader.name()}: {wit_value(reader, scope)}" for _ in range(count)]
    elif code == 0x71:
        word, parts = "variant", [_case(reader, scope) for _ in range(reader.count("cases"))]
    elif code in (0x6E, 0x6D):
        word = "flags" if code == 0x6E else "enum"
        parts = [reader.name() for _ in range(reader.count("names"))]
    else:
        raise reader.unknown(code, "type")
    return clipped(f"{word} {{{', '.join(parts)}}}", word)


def _case(reader: Reader, scope: Scope) -> str:
    name, payload = reader.name(), _optional(reader, scope)
    if reader.byte():
        raise reader.fault("a case refines another, which is no longer in the format")
    return f"{name}({payload})" if payload else name


def _scope_type(reader: Reader, scope: Scope, code: int) -> Export:
    """A component type (0x41) or an instance type (0x42), by what it exports."""
    inner = scope.inner(reader)
    for _ in range(reader.count("declarations")):
        _declaration(reader, inner)
    kind = "component" if code == 0x41 else "instance"
    return Export("", kind, kind, items=tuple(inner.exports))


def _declaration(reader: Reader, scope: Scope) -> None:
    code = reader.byte()
    if code == 0:
        core_type(reader)
    elif code == 1:
        define_type(reader, scope)
    elif code == 2:
        alias(reader, scope)
    elif code in (3, 4):
        item = extern_item(reader, scope)
        scope.define(item)
        (scope.imports if code == 3 else scope.exports).append(item)
    else:
        raise reader.unknown(code, "declaration")


def core_type(reader: Reader) -> None:
    """Pass over a core type of a component: a core function type, or a module type."""
    if reader.peek() == 0:  # a non-final sub type is prefixed so as not to look like a module type
        reader.byte()
    elif reader.peek() == 0x50:
        raise reader.unknown(reader.byte(), "core type that we can pass over")
    type_group(reader)


def extern_item(reader: Reader, scope: Scope) -> Export:
    """A named import, or an export in a type: its name and the type it is bound to."""
    name = extern_name(reader)
    return bound(reader, scope, name)


def bound(reader: Reader, scope: Scope, name: str) -> Export:
    """The type an import or export states, under its name."""
    kind = sort(reader)
    if kind == "value":
        return Export(name, kind, wit_value(reader, scope))
    if kind == "type":
        if flag(reader, "bound of a type"):
            return Export(name, "resource", "resource")
        return named_type(name, scope.find("type", reader.u32()))
    found = scope.find("type", reader.u32())
    if kind == found.kind:
        return Export(name, kind, found.type, items=found.items)
    return Export(name, kind, kind)


def named_type(name: str, found: Export) -> Export:
    """A type under a name is a type, whatever it is one of: under a function's kind it would take its index."""
    return Export(name, "resource" if found.kind == "resource" else "type", found.type, items=found.items)


def alias(reader: Reader, scope: Scope) -> None:
    """Read one alias: an instance's export, a core instance's export, or something of an outer scope."""
    kind = sort(reader)
    target = reader.byte()
    if target == 2:
        count, index = reader.u32(), reader.u32()
        if kind in ("type", "component"):
            found = scope.outer(count).find(kind, index)
            (scope.types if kind == "type" else scope.components).append(found)
    elif target in (0, 1):
        instance, name = scope.find("instance", reader.u32()), reader.name()
        if target == 0:
            scope.define(scope.item_of(instance, kind, name))
    else:
        raise reader.unknown(target, "target of an alias")
