"""What cures something, in parts: commands in their order, one that does as well, and what no command does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cure:
    """words come first and are for people; steps are whole commands, one after the other; otherwise: one instead."""

    steps: tuple[str, ...] = ()
    otherwise: str = ""
    words: str = ""

    @property
    def command(self) -> str:
        """The one command that is all of it; empty where it takes more, or a choice."""
        return self.steps[0] if len(self.steps) == 1 and not self.otherwise and not self.words else ""

    @property
    def told(self) -> str:
        """All of it as a sentence, each command in backticks."""
        parts = [self.words] * bool(self.words) + [f"`{step}`" for step in self.steps]
        return ", then ".join(parts) + (f" or `{self.otherwise}`" if self.otherwise else "")
