"""A binary's imports -> what it can ask its host for, in words: a table and nothing else.

Sources: wasi_snapshot_preview1.witx; the WIT packages wasi:cli, wasi:filesystem and so on.
"""

from collections.abc import Iterator
from enum import StrEnum

from wasmdock.wasm_sniff import Form
from wasmdock.wasm_types import Import, WasmBinary


class Capability(StrEnum):
    """What a guest may ask for; `OTHER` is anything this table does not know, by name."""

    ARGUMENTS = "arguments"
    ENVIRONMENT = "environment"
    STDIO = "stdio"
    FILES = "files"
    SOCKETS = "sockets"
    HTTP = "http"
    CLOCKS = "clocks"
    RANDOM = "random"
    EXIT = "exit"
    OTHER = "other"


PREVIEW1 = ("wasi_snapshot_preview1", "wasi_unstable")
# By the longest prefix that fits; None asks for nothing outside the guest. Reading, writing and closing
# a descriptor counts as stdio: a file's descriptor can only come from path_open or a preopened folder.
_PREVIEW1: dict[str, Capability | None] = {
    "args_": Capability.ARGUMENTS,
    "environ_": Capability.ENVIRONMENT,
    "fd_": Capability.STDIO,
    "fd_prestat_": Capability.FILES,
    "fd_readdir": Capability.FILES,
    "path_": Capability.FILES,
    "sock_": Capability.SOCKETS,
    "clock_": Capability.CLOCKS,
    "poll_oneoff": Capability.CLOCKS,
    "random_": Capability.RANDOM,
    "proc_": Capability.EXIT,
    "sched_yield": None,
}
_INTERFACES: dict[str, Capability | None] = {
    "wasi:cli/environment": Capability.ENVIRONMENT,
    "wasi:cli/exit": Capability.EXIT,
    "wasi:cli/std": Capability.STDIO,
    "wasi:cli/terminal-": Capability.STDIO,
    "wasi:cli/types": None,
    "wasi:filesystem/": Capability.FILES,
    "wasi:sockets/": Capability.SOCKETS,
    "wasi:http/": Capability.HTTP,
    "wasi:clocks/": Capability.CLOCKS,
    "wasi:random/": Capability.RANDOM,
    "wasi:io/": None,
}
_ASKING = ("func", "instance", "component", "module")  # memories, types and the like ask for nothing


def capabilities(binary: WasmBinary) -> dict[Capability, tuple[str, ...]]:
    """Each capability the imports can ask for, in the order of `Capability`, with the imports that do.

    A core import is named by its function (`fd_write`, or `env.log` outside WASI), a component's by its
    interface (`wasi:filesystem/types@0.2.3`).
    """
    found: dict[Capability, dict[str, None]] = {}
    for capability, name in _asked(binary):
        found.setdefault(capability, {})[name] = None
    return {each: tuple(found[each]) for each in Capability if each in found}


def _asked(binary: WasmBinary) -> Iterator[tuple[Capability, str]]:
    for each in binary.imports:
        if each.kind not in _ASKING or names_types_only(each):
            continue
        if binary.form is Form.COMPONENT:
            capability, name = _look_up(_INTERFACES, each.name), each.name
        elif each.module in PREVIEW1:
            capability, name = _look_up(_PREVIEW1, each.name), each.name
        else:
            capability, name = Capability.OTHER, f"{each.module}.{each.name}"
        if capability is not None:
            yield capability, name
        if _gives_arguments(each):
            yield Capability.ARGUMENTS, name


def _gives_arguments(each: Import) -> bool:
    """By its functions; where these could not be read, by being the interface that has that function."""
    unread = each.kind == "instance" and not each.items and each.name.startswith("wasi:cli/environment")
    return unread or any(item.name == "get-arguments" for item in each.items)


def names_types_only(each: Import) -> bool:
    """Whether an interface is imported only to name its types: then nothing of it can be called.

    An interface without items is one whose type could not be read: of that nothing is known.
    """
    return bool(each.items) and all(item.kind in ("type", "resource") for item in each.items)


def _look_up(table: dict[str, Capability | None], name: str) -> Capability | None:
    fitting = [prefix for prefix in table if name.startswith(prefix)]
    return table[max(fitting, key=len)] if fitting else Capability.OTHER
