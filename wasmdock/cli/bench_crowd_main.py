"""The other half of bench_crowds.Instances: a process that holds the instances of one guest, one more for each word."""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wasmdock.errors import UnavailableError, WasmdockError
from wasmdock.lifeline import die_with

MORE = b"+"  # asks for one more
_FULL = pickle.dumps(UnavailableError("keeping one more instance: no memory left"))  # made while there is some


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept: the binary, its argv, the bytes of memory each may have, the folder of compiled code.

    largest: bytes of the largest program that is taken.
    """

    data: bytes
    argv: tuple[str, ...]
    memory: int | None
    cache: Path
    largest: int


def main() -> None:
    """Take what to keep from stdin, then start one more instance for each byte that comes, until none does.

    Each answer on stdout is a pickle: None, or the WasmdockError that was in the way.
    """
    die_with(int(sys.argv[1]), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches us too; our parent ends us
    source = sys.stdin.buffer  # what is larger than a pipe comes in pieces
    kept: Kept = pickle.load(source)  # from our own parent
    try:
        start = _starter(kept)
    except WasmdockError as error:
        _say(error)
        return
    _say(None)
    alive = []
    while source.read(1) == MORE:
        try:
            alive.append(start())
            _say(None)
        except (WasmdockError, MemoryError) as error:  # the others stay: their memory is still to be counted
            _say(error)
    os._exit(0)  # giving them back one by one would take its time


def _starter(kept: Kept) -> Callable[[], object]:
    from wasmdock.code_cache import CodeCache
    from wasmdock.engine import Engine
    from wasmdock.engine.held import Held
    from wasmdock.program_size import bound_programs
    from wasmdock.wasm_sniff import Form, form_of

    bound_programs(kept.largest)
    held = Held(Engine(CodeCache(kept.cache)), kept.data, form_of(kept.data) is Form.COMPONENT)
    return lambda: held.start(kept.argv, kept.memory)


def _say(answer: Exception | None) -> None:
    """Tell our parent; a MemoryError, or what there is no memory to tell of, as such."""
    try:
        said = _FULL if isinstance(answer, MemoryError) else pickle.dumps(answer)
    except MemoryError:
        said = _FULL
    os.write(sys.stdout.fileno(), said)


if __name__ == "__main__":
    main()
