"""How large a program may be: one bound for all that reads, packs or compiles one, in this process."""

LARGEST = 256 << 20  # bytes, unless somebody says otherwise
VARIABLE = "WASMDOCK_COMPILE_SIZE"
LIFT = f"let programs be larger: {VARIABLE}=1g, or none"
_ANY = 1 << 62
_bounds = [LARGEST]


def bound_programs(most: int | None = LARGEST) -> None:
    """Take programs of at most so many bytes from now on; None: of any size."""
    _bounds[0] = _ANY if most is None else most


def largest() -> int:
    """Bytes of the largest program that is taken."""
    return _bounds[0]


def excess(size: int) -> str:
    """What is wrong with a program of so many bytes; empty where nothing is."""
    return f"{size} bytes are more than the {largest()} that a program may have" if size > largest() else ""
