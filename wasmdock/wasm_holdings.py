"""How many memories and tables an instance of a Wasm binary has: what a limit is shared among.

A component has those of every core module that it instantiates, as often as it does so. Source:
component-model/design/mvp/Binary.md.
"""

from wasmdock.wasm_reader import Reader, UnknownCodeError
from wasmdock.wasm_sniff import (
    COMPONENT_SECTIONS,
    CORE_SECTIONS,
    Form,
    core_modules,
    extern_name,
    extern_type,
    form_of,
    sort,
)

Holdings = tuple[int, int]

_TABLES, _MEMORIES = 4, 5  # section codes of the core specification, 5.5.2
_MODULE, _CORE_INSTANCE, _COMPONENT, _INSTANCE, _ALIAS, _IMPORT = 1, 2, 4, 5, 6, 10  # of a component
_NONE: Holdings = (0, 0)
_DEEPEST = 100  # of components within each other; wasmtime takes no more


def count_holdings(data: bytes) -> Holdings:
    """(memories, tables) of an instance of a core module or a component. Raises GuestError.

    Of a component that says how it is put together in words we do not know, those that its modules define.
    """
    reader = Reader(data, 8)
    if form_of(data) is Form.MODULE:
        return _of_module(reader)
    memories, tables = zip(_NONE, *map(_of_module, core_modules(data)), strict=True)
    try:
        return _Component(reader, (max(memories), max(tables)), 0).held
    except UnknownCodeError:
        return sum(memories), sum(tables)


def _of_module(reader: Reader) -> Holdings:
    counts = {_MEMORIES: 0, _TABLES: 0}
    for section, _, contents in reader.sections(CORE_SECTIONS):
        if section in counts:
            counts[section] += contents.u32()
    return counts[_MEMORIES], counts[_TABLES]


class _Component:
    """What an instance of one component holds; `most` is what a module that comes from outside of it may hold."""

    def __init__(self, reader: Reader, most: Holdings, depth: int) -> None:
        if depth > _DEEPEST:
            raise UnknownCodeError(f"more than {_DEEPEST} components within each other")
        self.held, self._most, self._depth = _NONE, most, depth
        self._modules: list[Holdings] = []
        self._components: list[Holdings] = []
        for section, _, contents in reader.sections(COMPONENT_SECTIONS):
            self._section(section, contents)

    def _section(self, section: int, contents: Reader) -> None:
        if section == _MODULE:
            contents.skip(8)
            self._modules.append(_of_module(contents))
        elif section == _COMPONENT:
            contents.skip(8)
            self._components.append(_Component(contents, self._most, self._depth + 1).held)
        elif section in (_CORE_INSTANCE, _INSTANCE):
            made = self._modules if section == _CORE_INSTANCE else self._components
            for _ in range(contents.count("instances")):
                self._instance(contents, made, in_core=section == _CORE_INSTANCE)
        elif section in (_ALIAS, _IMPORT):
            for _ in range(contents.count("definitions")):
                self._from_elsewhere(_aliased(contents) if section == _ALIAS else _imported(contents))

    def _instance(self, contents: Reader, made: list[Holdings], *, in_core: bool) -> None:
        """One instance: of a module or component with arguments, or a bundle of what is there already."""
        is_made = contents.byte() == 0
        if is_made:
            index = contents.u32()
            self._hold(made[index] if index < len(made) else self._most)
        for _ in range(contents.count("parts")):
            if is_made or in_core:
                contents.name()
            else:
                extern_name(contents)
            if in_core:
                contents.byte()
            else:
                sort(contents)
            contents.u32()

    def _from_elsewhere(self, kind: str) -> None:
        if kind == "module":
            self._modules.append(self._most)
        elif kind == "component":
            self._components.append(self._most)

    def _hold(self, more: Holdings) -> None:
        self.held = (self.held[0] + more[0], self.held[1] + more[1])


def _aliased(contents: Reader) -> str:
    kind, target = sort(contents), contents.byte()
    contents.u32()
    if target == 2:  # of an outer component
        contents.u32()
    else:
        contents.name()
    return kind


def _imported(contents: Reader) -> str:
    extern_name(contents)
    return extern_type(contents)[0]
