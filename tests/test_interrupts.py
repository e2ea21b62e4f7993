"""Handlers of signals while a guest runs: none is lost, whatever another one raises meanwhile."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wasmdock import interrupts
from wasmdock.interrupts import Interrupts
from wasmdock.watch import Guard

Handler = Callable[..., Any]


def ours(*_: object) -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.signal(number, ours) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Interrupting:
    """The signal module, where a handler raises as soon as the `number`-th of ours has been set."""

    def __init__(self, number: int) -> None:
        self._left = number

    def getsignal(self, number: int) -> Handler | int | None:
        return signal.getsignal(number)

    def signal(self, number: int, handler: Handler) -> None:
        signal.signal(number, handler)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("number", range(1, 7))
def test_every_handler_is_back_where_one_raises_meanwhile(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are replaced, SIGINT's and two of ours, and while they are put back."""
    monkeypatch.setattr(interrupts, "_signal", Interrupting(number))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interrupts(Guard()):
        pass
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getsignal(signal.SIGUSR1) is signal.getsignal(signal.SIGUSR2) is ours
