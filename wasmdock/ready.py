"""Whether a socket or a pipe has something to be read, whatever its number is."""

import select
from typing import Any


def is_readable(connected: Any, within: float = 0.0) -> bool:
    """Whether bytes, or the end of the connection, can be read within so many seconds."""
    poll = select.poll()  # select takes no descriptor from 1024 on
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(within * 1000))
