"""SIGTERM and SIGHUP during work that leaves something behind: they end it as Ctrl-C does, cleaned up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from wasmdock.cli import Terminated

_NUMBERS = (signal.SIGTERM, signal.SIGHUP)


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
