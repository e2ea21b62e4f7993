"""What the handlers of signals raise while a guest runs in the main thread: it ends the guest, then it is raised.

Python calls them where wasmtime calls us, and what they raise there is printed and lost.
"""

import _signal  # type: ignore[import-not-found]  # typeshed has no stub for it
import signal
import threading
from collections.abc import Callable
from typing import Any

from wasmdock.watch import Guard

# By number and by the C half of the module: the other half turns numbers into enums, for 8 microseconds of a run.
_NAMES = ("SIGINT", "SIGALRM", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGPROF")
_NUMBERS = tuple(int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name))


class Interrupts:
    """Entered in the main thread: keeps what handlers raise with the guard. Elsewhere none are called."""

    __slots__ = ("_guard", "_replaced")

    def __init__(self, guard: Guard) -> None:
        """Replace nothing yet."""
        self._guard = guard
        self._replaced: list[tuple[int, Any, Callable[..., None]]] = []

    def __enter__(self) -> None:
        """Put ourselves before every handler that is a function."""
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            self._replace()
        except BaseException:  # of a handler whose turn had not come
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        """Put the handlers back, but for one that was changed meanwhile, and raise what they raised."""
        while self._replaced:
            try:
                self._put_back()
            except BaseException as error:  # of a handler that is back: those still missing must not be forgotten
                self._guard.fail(error)
        if self._guard.failure is not None:
            raise self._guard.failure

    def _replace(self) -> None:
        for number in _NUMBERS:
            handler = _signal.getsignal(number)
            if callable(handler):
                keeping = self._keeping(handler)
                self._replaced.append((number, handler, keeping))
                _signal.signal(number, keeping)

    def _put_back(self) -> None:
        number, handler, keeping = self._replaced[-1]
        if _signal.getsignal(number) is keeping:
            _signal.signal(number, handler)
        self._replaced.pop()

    def _keeping(self, handler: Callable[..., object]) -> Callable[..., None]:
        def keeping(number: int, frame: Any) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self._guard.fail(error)

        return keeping
