"""A health check by curl or wget of an http service that asks itself -> the request, sent without either program."""

import shlex
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_SELVES = ("localhost", "127.0.0.1", "0.0.0.0", "::1")
_ENDS = (["||", "exit", "1"], ["||", "false"], ["||", "exit"], ["2>&1"], [">/dev/null"], [">", "/dev/null"])
# Options by program: those that take a value, and those that mean nothing to one request that is only looked at.
_VALUED = {
    "curl": ("-o", "--output", "-m", "--max-time", "--connect-timeout", "--retry", "-A", "--user-agent"),
    "wget": ("-O", "--output-document", "-T", "--timeout", "-t", "--tries", "-U", "--user-agent"),
}
_PLAIN = {
    "curl": ("-s", "--silent", "-S", "--show-error", "-L", "--location", "-k", "--insecure", "--http1.1", "-4"),
    "wget": ("-q", "--quiet", "-nv", "--no-verbose", "--no-check-certificate", "-4"),
}
_FAILING = ("-f", "--fail", "--fail-with-body")  # without one, curl takes any answer
_HEAD = ("-I", "--head", "--spider")


@dataclass(frozen=True, slots=True)
class Probe:
    """One request: what is asked for on which port of the container, and whether a status of 400 and above is ill."""

    path: str
    port: int
    method: str = "GET"
    strict: bool = True

    def is_answered(self, host: str, port: int) -> bool:
        """Ask for it at this address, where that port of the container answers. Raises OSError where nobody does."""
        request = f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nConnection: close\r\n\r\n"
        with socket.create_connection((host, port)) as connection:
            connection.sendall(request.encode())
            line = connection.makefile("rb").readline(1 << 10)
        words = line.split()
        if not line.startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
            return False
        return not self.strict or int(words[1]) < 400


def read_probe(test: Sequence[str], name: str) -> Probe | None:
    """The test (CMD or CMD-SHELL and words) of the service `name`; None where it is anything but such a request."""
    words = list(test[1:])
    if test[0] == "CMD-SHELL":
        try:
            words = shlex.split(" ".join(words))
        except ValueError:
            return None
        words = _without_ends(words)
    program = words[0].rpartition("/")[2] if words else ""
    if program not in _VALUED:
        return None
    options, urls = _sorted(program, words[1:])
    if urls is None or len(urls) != 1:
        return None
    parts = urlsplit(urls[0] if "://" in urls[0] else f"http://{urls[0]}")
    if parts.scheme != "http" or parts.hostname not in (*_SELVES, name):
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    strict = program == "wget" or not options.isdisjoint(_FAILING)
    return Probe(path, parts.port or 80, "GET" if options.isdisjoint(_HEAD) else "HEAD", strict)


def _without_ends(words: list[str]) -> list[str]:
    """The words without what a shell adds: where its output goes, and the exit code 1 for any failure."""
    again = True
    while again:
        again = False
        for end in _ENDS:
            if words[-len(end) :] == end:
                words, again = words[: -len(end)], True
    return words


def _sorted(program: str, words: Sequence[str]) -> tuple[set[str], list[str] | None]:
    """The options and the rest; None for the rest where an option is not known."""
    options: set[str] = set()
    urls: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if not word.startswith("-"):
            urls.append(word)
            continue
        for option, value in _single(program, word):
            if option in _VALUED[program]:
                if not value:
                    next(waiting, None)
            elif option not in (*_PLAIN[program], *_FAILING, *_HEAD):
                return options, None
            options.add(option)
    return options, urls


def _single(program: str, word: str) -> Iterator[tuple[str, str]]:
    """`-fsS` -> three options; `-O-` and `--tries=1` -> one with its value."""
    if word.startswith("--") or word in _PLAIN[program]:
        option, _, value = word.partition("=")
        yield option, value
        return
    for at, letter in enumerate(word[1:], 2):
        yield f"-{letter}", word[at:]
        if f"-{letter}" in _VALUED[program]:
            return
