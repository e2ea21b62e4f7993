"""The other half of bench_crowds.Instances: a process that holds the instances of one guest, one more for each word."""

import os
import pickle
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from wasmdock.lifeline import die_with

MORE = b"+"  # asks for one more
FINE = b"."  # it is there, or everything is ready; anything else is a pickled WasmdockError


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept: the binary, its argv, the bytes of memory each may have, the folder of compiled code."""

    data: bytes
    argv: tuple[str, ...]
    memory: int | None
    cache: Path


def main() -> None:
    """Take what to keep from stdin, then start one more instance for each byte that comes, until none does."""
    from wasmdock.errors import WasmdockError

    die_with(int(sys.argv[1]), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches us too; our parent ends us
    source, answers = sys.stdin.fileno(), sys.stdout.fileno()
    with os.fdopen(os.dup(source), "rb", buffering=0) as file:
        kept: Kept = pickle.load(file)  # from our own parent
    try:
        _hold(kept, source, answers)
    except WasmdockError as error:
        os.write(answers, pickle.dumps(error))


def _hold(kept: Kept, source: int, answers: int) -> None:
    """Without buffers: what an instance takes is counted from outside, and how long it takes, too."""
    from wasmdock.code_cache import CodeCache
    from wasmdock.engine import Engine
    from wasmdock.engine.held import Held
    from wasmdock.wasm_sniff import Form, form_of

    held = Held(Engine(CodeCache(kept.cache)), kept.data, form_of(kept.data) is Form.COMPONENT)
    os.write(answers, FINE)
    alive = []
    while os.read(source, 1) == MORE:
        alive.append(held.start(kept.argv, kept.memory))
        os.write(answers, FINE)
    os._exit(0)  # giving them back one by one would take its time


if __name__ == "__main__":
    main()
