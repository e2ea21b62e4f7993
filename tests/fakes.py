"""Ordinary typed classes that stand in for the world in the fast suite."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
