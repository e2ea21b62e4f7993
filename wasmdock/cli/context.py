"""What every verb needs of its surroundings: folders, the store, the engine, a voice on stderr."""

import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wasmdock.cli.values import parse_size
from wasmdock.errors import UsageError
from wasmdock.program_size import VARIABLE, bound_programs

if TYPE_CHECKING:
    from wasmdock.docker import Docker
    from wasmdock.docker_facts import EngineFacts
    from wasmdock.oci.store import Store


class Context:
    """The environment, read once; everything costly is made on first use."""

    def __init__(self, environment: Mapping[str, str], quiet: bool = False) -> None:
        """Keep the environment; nothing is read from disk yet."""
        self.environment = environment
        self.quiet = quiet

    def bound_programs(self) -> None:
        """Hold every program to WASMDOCK_COMPILE_SIZE, where it is set."""
        given = self.environment.get(VARIABLE)
        if not given:
            bound_programs()
            return
        try:
            bound_programs(parse_size(given))
        except UsageError as error:
            raise UsageError(f"{VARIABLE}: {error.message}", error.hint) from error

    @cached_property
    def cache(self) -> Path:
        """The folder for what can be made again: WASMDOCK_CACHE, else XDG's cache."""
        return self._folder("WASMDOCK_CACHE", "XDG_CACHE_HOME", ".cache")

    @cached_property
    def data(self) -> Path:
        """The folder for what cannot: WASMDOCK_HOME, else XDG's data."""
        return self._folder("WASMDOCK_HOME", "XDG_DATA_HOME", ".local/share")

    @property
    def code_cache(self) -> Path:
        """The folder for compiled code."""
        return self.cache / "code"

    @cached_property
    def store(self) -> "Store":
        """The local image store."""
        from wasmdock.oci.store import Store

        return Store(self.data / "images")

    @cached_property
    def docker(self) -> "Docker":
        """The engine, if one answers. Raises UnavailableError."""
        from wasmdock.docker import Docker

        return Docker.connect(self.environment)

    @cached_property
    def engine_facts(self) -> "EngineFacts":
        """What the engine says of itself. Raises UnavailableError."""
        return self.docker.facts()

    @property
    def is_terminal(self) -> bool:
        """Whether people read what goes to stderr."""
        return sys.stderr.isatty()

    def say(self, text: str) -> None:
        """A line of talk on stderr, unless --quiet."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def _folder(self, own: str, xdg: str, default: str) -> Path:
        if self.environment.get(own):
            return Path(self.environment[own]).absolute()
        if self.environment.get(xdg, "").startswith("/"):
            return Path(self.environment[xdg]) / "wasmdock"
        home = self.environment.get("HOME")
        if not home:
            raise UsageError(f"finding wasmdock's folder: neither {own} nor HOME is set", f"set {own}")
        return Path(home) / default / "wasmdock"
