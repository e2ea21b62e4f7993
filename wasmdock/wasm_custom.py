"""The custom sections worth reading: who made the binary, its name, the features it was built for.

A custom section never makes a binary unsound (core specification 5.5.3), so a spoiled one reads as empty.
Sources: tool-conventions ProducersSection.md and Linking.md, core specification appendix 7.4 (names).
"""

from wasmdock.errors import GuestError
from wasmdock.wasm_reader import Reader

_MOST = 1000  # of one kind; real binaries have fewer than ten


class Notes:
    """What the custom sections of a module or component said, gathered over all its modules."""

    def __init__(self) -> None:
        """Nothing read yet."""
        self.name = ""
        self.producers: dict[str, dict[tuple[str, str], None]] = {}
        self.features: dict[str, None] = {}

    def read(self, custom: str, contents: Reader) -> None:
        """Take what one custom section says; the reader stands after its name."""
        try:
            if custom == "producers":
                self._producers(contents)
            elif custom in ("name", "component-name"):
                self._name(contents)
            elif custom == "target_features":
                self._features(contents)
        except GuestError:
            return

    def absorb(self, other: "Notes") -> None:
        """Add what a nested module's custom sections said (not its name)."""
        for field, values in other.producers.items():
            self.producers.setdefault(field, {}).update(values)
        self.features.update(other.features)

    def _producers(self, contents: Reader) -> None:
        for _ in range(contents.count("fields")):
            values = self.producers.setdefault(contents.name(), {})
            for _ in range(contents.count("producers")):
                value = (contents.name(), contents.name())
                if len(values) < _MOST:
                    values[value] = None

    def _name(self, contents: Reader) -> None:
        if contents.byte() == 0:
            contents.u32()
            self.name = contents.name()

    def _features(self, contents: Reader) -> None:
        for _ in range(contents.count("features")):
            used = contents.byte() == 0x2B  # '+'
            name = contents.name()
            if used and len(self.features) < _MOST:
                self.features[name] = None
