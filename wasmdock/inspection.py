"""A WasmBinary -> what `inspect` shows: aligned text for people, and a stable JSON form for programs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wasmdock.capabilities import capabilities, names_types_only
from wasmdock.wasm import imports_by_interface
from wasmdock.wasm_sniff import Form, World
from wasmdock.wasm_types import PAGE, Export, Global, Import, Memory, Section, Table, WasmBinary

CORE_MODULE = "core module"

_MANY = 40  # rows of one kind before the rest is only counted
_WIDE = 100  # columns of a type's text


def render(binary: WasmBinary, facts: Mapping[str, str] | None = None) -> str:
    """Human text, no trailing newline; `facts` are extra rows (image, digest, platform) put on top."""
    rows = [*(facts or {}).items(), *_summary(binary)]
    blocks = [
        _aligned([(f"{name}:", value) for name, value in rows if value]),
        _block("imports", _import_rows(binary)),
        _block("exports", _export_rows(binary.exports)),
        _block("memories", _memory_rows(binary.memories)),
        _block("globals", _global_rows(binary)),
        _block(f"sections of {binary.size:,} bytes", _section_rows(binary)),
        _block("producers", _producer_rows(binary)),
    ]
    return "\n\n".join(block for block in blocks if block)


def _summary(binary: WasmBinary) -> list[tuple[str, str]]:
    asked = capabilities(binary)
    start = "calls _initialize first" if binary.reactor else ""
    return [
        ("name", binary.name),
        ("form", "component" if binary.form is Form.COMPONENT else "module (core WebAssembly)"),
        ("world", ", ".join(filter(None, (_WORLDS[binary.world], start)))),
        ("asks for", ", ".join(asked) or "nothing"),
        ("features", _cut(binary.target_features)),
    ]


_WORLDS = {
    World.COMMAND: "command (runs once and exits)",
    World.HTTP: "http (answers HTTP requests)",
    World.LIBRARY: "library (its functions are called one by one)",
}


def _block(title: str, rows: Sequence[Sequence[str]]) -> str:
    return f"{title}\n{_aligned(rows, '  ')}" if rows else ""


def _aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Columns two blanks apart, the last one ragged; cells that are amounts stand to the right."""
    rows = [[_printable(cell) for cell in row] for row in rows]
    widths = [0] * max(map(len, rows))
    for row in rows:
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths[i], len(cell))
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if cell.endswith(("B", "%")) else cell.ljust(width)
            for cell, width in zip(row[:-1], widths, strict=False)
        ]
        lines.append(indent + "  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def _few(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    if len(rows) <= _MANY:
        return rows
    return [*rows[:_MANY], (f"... {len(rows) - _MANY} more",)]


def _cut(names: Sequence[str]) -> str:
    """Names on one line, the rest counted once the line is full."""
    line = ""
    for count, name in enumerate(names):
        longer = f"{line}, {_plain(name)}" if line else _plain(name)
        if line and len(longer) > _WIDE:
            return f"{line} ... {len(names) - count} more"
        line = longer
    return line


def _plain(name: str) -> str:
    """A name of bearable length, `[method]fields.get` without its mark."""
    for mark in ("[method]", "[static]", "[constructor]"):
        name = name.removeprefix(mark)
    return name if len(name) <= _WIDE else f"{name[:_WIDE]}..."


def _printable(text: str) -> str:
    """The text with anything a terminal would act on escaped; names in a binary may hold any character."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _import_rows(binary: WasmBinary) -> list[tuple[str, ...]]:
    only = {each.name for each in binary.imports if names_types_only(each)}
    return _few(
        [
            (_plain(where), _cut(names) or ("(types only)" if where in only else ""))
            for where, names in imports_by_interface(binary).items()
        ]
    )


def _export_rows(exports: Sequence[Export]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for export in exports[: _MANY + 1]:
        rows.append((_plain(export.name), _typed(export)))
        rows += [(f"  {_plain(item.name)}", _typed(item)) for item in export.items if item.kind == "func"]
    return _few(rows) if len(exports) <= _MANY else [*rows[:_MANY], (f"... {len(exports)} in all",)]


def _typed(export: Export) -> str:
    """`func (i32) -> i32`, `global i32`, or the WIT text, which begins with the kind itself."""
    begins = export.type.startswith((export.kind, f"async {export.kind}"))
    return export.type if begins else f"{export.kind} {export.type}".rstrip()


def _memory_rows(memories: Sequence[Memory]) -> list[tuple[str, ...]]:
    return _few([(_plain(each.name) or "(unnamed)", *_limits(each), _marks(each)) for each in memories])


def _limits(memory: Memory) -> tuple[str, str]:
    low = f"from {_pages(memory.minimum, memory.page)}"
    return low, "without a maximum" if memory.maximum is None else f"to {_pages(memory.maximum, memory.page)}"


def _pages(count: int, page: int) -> str:
    return f"{count} {'page' if count == 1 else 'pages'} ({size(count * page)})"


def _marks(memory: Memory) -> str:
    page = f"pages of {memory.page} B" if memory.page != PAGE else ""
    marks = (("imported", memory.imported), ("shared", memory.shared), ("64-bit", memory.memory64))
    return ", ".join([word for word, holds in marks if holds] + [page] * bool(page))


def _global_rows(binary: WasmBinary) -> list[tuple[str, ...]]:
    named = [each for each in binary.globals if each.name]
    rows: list[tuple[str, ...]] = [
        (_plain(each.name), f"mut {each.type}" if each.mutable else each.type, _value(each)) for each in named
    ]
    return _few(rows)


def _value(each: Global) -> str:
    if each.imported:
        return "imported"
    return "" if each.value is None else str(each.value)


def _section_rows(binary: WasmBinary) -> list[tuple[str, ...]]:
    inside = _by_size([each for each in binary.sections if each.inside])
    rows: list[tuple[str, ...]] = []
    for name, weight in _folded(_by_size([each for each in binary.sections if not each.inside]), binary.size):
        rows.append(_section_row(name, weight, binary.size))
        if name == CORE_MODULE:
            rows += [_section_row(f"  {each}", part, binary.size) for each, part in _folded(inside, binary.size)]
    return rows


def _by_size(sections: Iterable[Section]) -> list[tuple[str, int]]:
    sizes: dict[str, int] = {}
    for each in sections:
        name = f"{each.name} {_plain(each.custom)}".rstrip()
        sizes[name] = sizes.get(name, 0) + each.size
    return sorted(sizes.items(), key=lambda entry: (-entry[1], entry[0]))


def _folded(sizes: list[tuple[str, int]], total: int) -> list[tuple[str, int]]:
    """Sections below half a percent, and those past one screen, as one row."""
    kept = [each for each in sizes if each[1] * 200 >= total][:_MANY]
    rest = sizes[len(kept) :]
    if len(rest) < 2:
        return sizes
    return [*kept, (f"{len(rest)} smaller", sum(weight for _, weight in rest))]


def _section_row(name: str, weight: int, total: int) -> tuple[str, ...]:
    return (name, f"{weight:,} B", f"{100 * weight / total:.1f} %", "")


def _producer_rows(binary: WasmBinary) -> list[tuple[str, ...]]:
    return [
        (_plain(field), _cut([f"{name} {version}".rstrip() for name, version in values]))
        for field, values in binary.producers.items()
    ]


def size(count: int) -> str:
    """A number of bytes for people: `123 B`, `49.4 KiB`, `1.1 MiB`."""
    if count < 1024:
        return f"{count} B"
    amount, units = count / 1024, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.1f} {units[0]}".replace(".0 ", " ")


def to_json(binary: WasmBinary) -> dict[str, Any]:
    """The stable form of `inspect --format json`; keys are only ever added.

    Sizes are bytes; limits are pages (`page` bytes each) or elements, `maximum` null: none stated. Types
    are text; a core function also has `params` and `results`. A global's `value` is a number, null where
    it is no constant, or text (`nan`, `inf`, `-inf`) where JSON has no number for it.
    """
    return {
        "form": str(binary.form),
        "world": str(binary.world),
        "size": binary.size,
        "name": binary.name,
        "reactor": binary.reactor,
        "start": binary.start,
        "data_size": binary.data_size,
        "capabilities": {str(each): list(names) for each, names in capabilities(binary).items()},
        "interfaces": {where: list(names) for where, names in imports_by_interface(binary).items()},
        "imports": [{"module": each.module, **_item(each)} for each in binary.imports],
        "exports": [_item(each) for each in binary.exports],
        "memories": [_fields(each) for each in binary.memories],
        "tables": [_fields(each) for each in binary.tables],
        "globals": [{**_fields(each), "value": _number(each.value)} for each in binary.globals],
        "sections": [_fields(each) for each in binary.sections],
        "producers": {
            field: [{"name": name, "version": version} for name, version in values]
            for field, values in binary.producers.items()
        },
        "target_features": list(binary.target_features),
    }


def _item(each: Import | Export) -> dict[str, Any]:
    form: dict[str, Any] = {"name": each.name, "kind": each.kind, "type": each.type}
    if each.func is not None:
        form |= {"params": list(each.func.params), "results": list(each.func.results)}
    if each.items:
        form["items"] = [_item(item) for item in each.items]
    return form


def _fields(each: Memory | Table | Global | Section) -> dict[str, Any]:
    return asdict(each)


def _number(value: int | float | None) -> int | float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
