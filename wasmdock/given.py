"""Files that the user names: read whole, up to a size, and only where reading comes to an end."""

import os
import stat
from pathlib import Path


def read_given(path: Path, most: int) -> bytes:
    """The bytes of a file or of a pipe. Raises OSError, and ValueError for more than `most` or for a device."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise ValueError("a device, and no file")
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most >> 20} MiB")
    return data
