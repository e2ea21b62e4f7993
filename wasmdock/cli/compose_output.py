"""How the lines of services look: a prefix each, in a colour of its own on a terminal."""

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Colours:
    """Prefixes of equal width, as docker compose prints them."""

    def __init__(self, names: list[str], coloured: bool) -> None:
        """Take all names there will be."""
        width = max(map(len, names), default=0)
        self._prefixes = {}
        for index, name in enumerate(names):
            text = f"{name.ljust(width)}  | "
            self._prefixes[name] = f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{text}\x1b[0m" if coloured else text

    def prefix(self, name: str) -> str:
        """What to print before a line of this one."""
        return self._prefixes.get(name, f"{name}  | ")
