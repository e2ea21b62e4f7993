"""wasmtime: configuration, compiled code, fresh instances.

The one importer of the wasmtime package. Its private bindings are used in three places that the public
classes do not reach (standard input from bytes, the epoch callback, a call without type look-ups), which
is why the dependency is pinned to one major version.
"""

from wasmdock.engine.command import Program, load_command
from wasmdock.engine.compiler import COMPILE_TIME, Engine, assemble, version
from wasmdock.engine.endings import BusyError, Ending, EndKind
from wasmdock.engine.instance import Grants

__all__ = [
    "COMPILE_TIME",
    "BusyError",
    "EndKind",
    "Ending",
    "Engine",
    "Grants",
    "Program",
    "assemble",
    "load_command",
    "version",
]
