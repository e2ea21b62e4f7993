"""Work done where the call stack is large enough for the guest."""

import threading
from collections.abc import Callable
from typing import TypeVar

from wasmdock.errors import UsageError
from wasmdock.runtime import DEFAULT_STACK

Answer = TypeVar("Answer")

_LOCK = threading.Lock()  # the stack size of new threads is one setting for the whole process
_BELOW = 2 << 20  # bytes for what runs below the guest: Python, wasmtime, host calls
_PAGE = 4096


def with_stack(size: int, work: Callable[[], Answer]) -> Answer:
    """Do the work in this thread, or in one of its own where `size` bytes for Wasm are more than any thread has."""
    if size <= DEFAULT_STACK:
        return work()
    answers: list[Answer] = []
    failures: list[BaseException] = []

    def target() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=target, name="wasmdock-guest", daemon=True)
    _start(thread, size)
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def _start(thread: threading.Thread, size: int) -> None:
    with _LOCK:
        before = threading.stack_size(-(-(size + _BELOW) // _PAGE) * _PAGE)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            raise UsageError(f"giving the guest {size} bytes of stack: there is no room", "ask for less") from error
        finally:
            threading.stack_size(before)
