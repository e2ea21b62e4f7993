"""Values that verify themselves when they are made, and stay as they are."""


class Fixed:
    """Set once, when it is made. (A dataclass would cost every start of the command line its import.)"""

    __slots__ = ()

    def _key(self) -> object:
        """What tells one from another."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        """Whether both must be the same bytes."""
        return isinstance(other, type(self)) and self._key() == other._key()

    def __hash__(self) -> int:
        """By what equality is by."""
        return hash(self._key())

    def __repr__(self) -> str:
        """By what tells it from another: the bytes say little."""
        return f"{type(self).__name__}({self._key()})"

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse."""
        raise AttributeError(f'{type(self).__name__} is immutable: "{name}" cannot be set')

    def _fix(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)
