"""Ordinary typed classes that stand in for the world in the fast suite."""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from wasmdock.docker_host import Host
from wasmdock.process import DEFAULT_CAP, Completed

Answer = Completed | BaseException | Callable[[Sequence[str]], Completed]


class FakeRunner:
    """A Runner that answers by the beginning of the argv and remembers what it was asked.

    An answer is a Completed, an exception to raise, or a function of the argv; the longest match wins.
    """

    def __init__(self, answers: Mapping[tuple[str, ...], Answer] | None = None) -> None:
        """Take the answers by the first words of a command; any other command succeeds with no output."""
        self.answers = dict(answers or {})
        self.calls: list[tuple[str, ...]] = []
        self.environments: list[Mapping[str, str]] = []
        self.stdins: list[bytes | None] = []

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_output: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        on_timeout: Callable[[], None] | None = None,
        on_overflow: Callable[[], None] | None = None,
        cap: int = DEFAULT_CAP,
    ) -> Completed:
        """Answer like `run_command`."""
        self.calls.append(tuple(argv))
        self.environments.append(dict(env or {}))
        self.stdins.append(stdin)
        answer = self._answer(argv)
        if isinstance(answer, BaseException):
            raise answer
        completed = answer if isinstance(answer, Completed) else answer(argv)
        for listener in (on_output, on_stderr):
            if listener and completed.stderr:
                listener(completed.stderr)
        if on_timeout and completed.timed_out:
            on_timeout()
        if on_overflow and completed.truncated:
            on_overflow()
        return completed

    def _answer(self, argv: Sequence[str]) -> Answer:
        for length in range(len(argv), 0, -1):
            found = self.answers.get(tuple(argv[:length]))
            if found is not None:
                return found
        return Completed(tuple(argv), 0)


class FakeEngine:
    """A Unix socket that answers like a Docker engine: canned bodies by the path of the request.

    A path without an answer is a 404. `hang` accepts and never answers; `raw` is sent as it is; `drip` seconds pass
    before each byte.
    """

    def __init__(
        self,
        folder: Path,
        answers: Mapping[str, object] | None = None,
        *,
        raw: bytes = b"",
        hang: bool = False,
        drip: float = 0,
    ):
        """Listen on a socket in `folder` until closed."""
        self.path = folder / "docker.sock"
        self.asked: list[str] = []
        self._answers = {"/_ping": "OK", **(answers or {})}
        self._raw, self._hang, self._drip = raw, hang, drip
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def host(self) -> Host:
        """The address of this engine."""
        return Host(f"unix://{self.path}", "DOCKER_HOST", environment={"DOCKER_HOST": f"unix://{self.path}"})

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._socket.close()

    def _serve(self) -> None:
        kept = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self._hang:
                kept.append(connection)
                continue
            with connection:
                words = connection.recv(1 << 16).split(b" ")
                if len(words) < 2:  # somebody only looked who listens
                    continue
                path = words[1].decode()
                self.asked.append(path)
                self._send(connection, self._raw or self._answer(path))

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        with suppress(OSError):  # whoever asked has given up
            for piece in [answer] if not self._drip else [answer[at : at + 1] for at in range(len(answer))]:
                time.sleep(self._drip)
                connection.sendall(piece)

    def _answer(self, path: str) -> bytes:
        found = next((body for start, body in self._answers.items() if path.startswith(start)), None)
        body = found.encode() if isinstance(found, str) else json.dumps({} if found is None else found).encode()
        status = "200 OK" if found is not None else "404 Not Found"
        return f"HTTP/1.0 {status}\r\nApi-Version: 1.45\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
