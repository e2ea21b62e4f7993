"""A child process that ends when its parent does, whatever ends the parent."""

import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TICK = 0.2  # seconds


def die_with(parent: int, number: int) -> None:
    """In a child: have the kernel send us this signal when `parent` is gone; elsewhere a thread looks for that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before we asked
        os._exit(128 + signal.SIGKILL)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_TICK)
    os._exit(128 + signal.SIGKILL)
