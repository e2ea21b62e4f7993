"""Work done where the call stack is large enough for the guest, and where a signal reaches whoever waits for it."""

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from wasmdock.errors import UsageError

Answer = TypeVar("Answer")

_LOCK = threading.Lock()  # the stack size of new threads is one setting for the whole process
_BELOW = 2 << 20  # bytes for what runs below the guest: Python, wasmtime, host calls
_PAGE = 4096
_ELSEWHERE = 512 << 10  # bytes taken for a thread's stack where it cannot be asked for: macOS gives no less
_SIZE = threading.local()


def with_stack(
    size: int,
    work: Callable[[], Answer],
    leave: Callable[[threading.Thread], None] = lambda _: None,
    *,
    apart: bool = False,
) -> Answer:
    """Do the work in this thread, or in one of its own: where `apart`, or this one's stack has no `size` bytes free.

    leave is called with that thread where the wait for it ends early, by what a signal's handler raises: Ctrl-C.
    """
    if not apart and size + _BELOW <= _own_size():
        return work()
    answers: list[Answer] = []
    failures: list[BaseException] = []
    running = threading.Lock()
    running.acquire()

    def target() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # raised again in the caller's thread
            failures.append(error)
        finally:
            running.release()

    thread = threading.Thread(target=target, name="wasmdock-guest", daemon=True)
    _start(thread, size)
    try:
        running.acquire()  # a Thread whose join is interrupted says that it has ended (Python 3.11, 3.12)
        thread.join()
    except BaseException:
        leave(thread)
        raise
    if failures:
        raise failures[0]
    return answers[0]


def _own_size() -> int:
    """Bytes of this thread's stack, asked once."""
    size: int | None = getattr(_SIZE, "bytes", None)
    if size is None:
        size = _SIZE.bytes = _asked() if sys.platform == "linux" else _ELSEWHERE
    return size


def _asked() -> int:
    """What pthread_getattr_np(3) says; the attributes are opaque, 64 bytes at the most."""
    libc, attributes = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    libc.pthread_self.restype = ctypes.c_void_p
    if libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes):
        return _ELSEWHERE
    libc.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size))
    libc.pthread_attr_destroy(attributes)
    return size.value


def _start(thread: threading.Thread, size: int) -> None:
    with _LOCK:
        before = threading.stack_size(-(-(size + _BELOW) // _PAGE) * _PAGE)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            raise UsageError(f"giving the guest {size} bytes of stack: there is no room", "ask for less") from error
        finally:
            threading.stack_size(before)
