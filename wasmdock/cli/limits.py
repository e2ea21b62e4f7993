"""The flags that limit a guest -> Limits."""

import argparse

from wasmdock.runtime import Limits


def limits_of(options: argparse.Namespace) -> Limits:
    """What the flags allow. What a guest prints is read by somebody, so only --output limits it."""
    printed = getattr(options, "output", None)
    return Limits(
        memory=options.memory,
        tables=options.tables,
        timeout=options.timeout,
        fuel=options.fuel,
        stack=options.stack,
        printed=printed,
    )
