"""wasmdock completion: the shell's completion script, made from the parser."""

import argparse

from wasmdock.cli.context import Context


def completion(options: argparse.Namespace, context: Context) -> int:
    """Print the script for one shell."""
    import shtab

    from wasmdock.cli.parser import build_parser

    print(shtab.complete(build_parser(), options.shell))
    return 0
