"""SIGTERM and SIGHUP end a verb as Ctrl-C does: nothing it started goes on, no file of its is half written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C's asked us to end; exit_code is what shells make of it."""

    def __init__(self, number: int) -> None:
        """Keep what the signal's number comes to."""
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def tidying_up() -> Iterator[list[Terminated]]:
    """Raise Terminated where one of the signals would have ended us at once; later ones wait for the tidying up.

    What was raised is in the list, for whom it reached as a mere KeyboardInterrupt. A signal that is ignored (nohup) or
    that others handle is left alone.
    """
    raised: list[Terminated] = []
    if threading.current_thread() is not threading.main_thread():
        yield raised
        return
    ours = [number for number in _NUMBERS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, lambda *_: None)  # timeout(1) sends its signal twice
        raised.append(Terminated(number))
        raise raised[0]

    try:
        for number in ours:
            signal.signal(number, end)
        yield raised
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
