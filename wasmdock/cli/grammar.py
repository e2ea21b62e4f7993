"""A parser that complains in one line: what is wrong, what was perhaps meant, and where to read on."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from wasmdock.errors import RUN_FAILED, UsageError


class Grammar(argparse.ArgumentParser):
    """argparse's parser, whose usage comes only where nothing better is known.

    elsewhere holds flags that other tools have for the same, and what to write instead.
    """

    elsewhere: Mapping[str, str] = MappingProxyType({})
    _words: Sequence[str] = ()

    def parse_args(  # type: ignore[override]  # its overloads tell namespaces apart, which we never give
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse all of them; what is left over is the fault of the verb at hand."""
        self._words = tuple(sys.argv[1:] if args is None else args)
        options, left = self.parse_known_args(args, namespace)
        if left:
            at_hand: Grammar = getattr(options, "grammar", self)
            at_hand._refuse(left)
        return options

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and end with 2; what is missing needs the usage to be understood.

        A verb whose exit code is the guest's ends with 125: a guest may end with 2.
        """
        if "required" in message:
            first = next(iter(self._words), "")  # before a verb, argparse only says that the verb is missing
            if first.startswith("-") and first not in self._option_string_actions:
                self._refuse([first])
            self.print_usage(sys.stderr)
        code = RUN_FAILED if self.get_default("is_run") else UsageError.exit_code
        self.exit(code, f"{self.prog}: {message}\n    see: {self.prog} --help\n")

    def _refuse(self, words: Sequence[str]) -> NoReturn:
        flags = [word.partition("=")[0] for word in words if word.startswith("-")]
        meant = self._meant(flags[0]) if flags else ""
        if not meant:
            self.print_usage(sys.stderr)
        self.error(f"unrecognized arguments: {' '.join(words)}{meant}")

    def _meant(self, flag: str) -> str:
        instead = self.elsewhere.get(flag, "")
        if flag in self._option_string_actions:  # it stood before the verb
            instead = f"write {flag} after {self.prog.rpartition(' ')[2]}"
        return f"; {instead}" if instead else _suggestion(flag, self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse, with what was perhaps meant in place of the whole list."""
        if action.choices is None or value in action.choices:
            return
        names = [str(each) for each in action.choices]
        meant = _suggestion(str(value), names) or f" (choose from {', '.join(names)})"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}{meant}")


def _suggestion(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    words = list(known)
    swapped = [each for each in words if sorted(each) == sorted(word)]
    close = get_close_matches(word, words, n=1, cutoff=0.7) or swapped
    return f"; did you mean {close[0]}?" if close else ""
