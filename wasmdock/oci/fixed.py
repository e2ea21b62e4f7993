"""Values that verify themselves when they are made, and stay as they are."""


class Fixed:
    """Set once, when it is made. (A dataclass would cost every start of the command line its import.)"""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse."""
        raise AttributeError(f'{type(self).__name__} is immutable: "{name}" cannot be set')

    def _fix(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)
