"""Compiled programs kept ready: one engine for each kind of limits, one program for each image on it."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from wasmdock.code_cache import CodeCache
from wasmdock.engine import COMPILE_TIME, Engine, Program, load_command
from wasmdock.errors import GuestError, UnavailableError
from wasmdock.oci.fields import NOTHING
from wasmdock.oci.image import Image
from wasmdock.pack import Entry, entry, extract
from wasmdock.runtime import Limits
from wasmdock.wasm_sniff import Form, World, sniff

_MOST_PROGRAMS = 64  # images kept ready; the oldest goes first


class Prepared(NamedTuple):
    """An image made ready: its Wasm binary, what it starts, the compiled program, and the image's environment."""

    data: bytes
    entry: Entry
    program: Program
    env: Mapping[str, str] = NOTHING


class _Kind(NamedTuple):
    """Of an engine: whether it meters fuel, its stack in bytes, whether its instances come from a pool."""

    metered: bool
    stack: int
    pooled: bool


class Programs:
    """Programs by image and kind of limits. Safe to use from several threads."""

    def __init__(self, folder: Path | None, compile_time: float | None = COMPILE_TIME, *, pooled: bool = False) -> None:
        """Make nothing yet. folder keeps compiled code; compile_time is seconds, None: no limit.

        pooled: many instances are to come, so those that fit take turns in a pool.
        """
        self._folder = folder
        self._compile_time = compile_time
        self._may_pool: Callable[[Limits], bool] = _never
        if pooled:
            from wasmdock.engine.pool import suits  # who runs one guest is spared it

            self._may_pool = suits
        self._engines: dict[_Kind, Engine] = {}
        self._prepared: dict[tuple[object, _Kind], Prepared] = {}
        self._lock = threading.Lock()  # over both; never held while something compiles

    def of_image(self, image: Image, limits: Limits, *, apart: bool = False) -> Prepared:
        """The image's program for these limits; apart: not from the pool. Raises GuestError, ImageError."""
        kind = _Kind(limits.fuel is not None, limits.stack, not apart and self._may_pool(limits))
        key = (image.digest, kind)
        found = self._prepared.get(key)
        if found is None:
            found = self._load(extract(image), entry(image), kind)._replace(env=image.env)
            with self._lock:
                while len(self._prepared) >= _MOST_PROGRAMS:
                    self._prepared.pop(next(iter(self._prepared)))
                self._prepared[key] = found
        return found

    def load(self, data: bytes, start: Entry, limits: Limits) -> Prepared:
        """Compile one binary, or fetch its compiled code. Raises GuestError, UnavailableError."""
        return self._load(data, start, _Kind(limits.fuel is not None, limits.stack, self._may_pool(limits)))

    def _load(self, data: bytes, start: Entry, kind: _Kind) -> Prepared:
        form, world = sniff(data)
        _check_world(form, world, start)
        if kind.pooled:
            from wasmdock.engine.pool import fits, has_room, is_too_large

            try:
                return self._load_on(kind._replace(pooled=fits(data, form) and has_room()), data, start, form)
            except GuestError as error:
                if not is_too_large(error):
                    raise
        return self._load_on(kind._replace(pooled=False), data, start, form)

    def _load_on(self, kind: _Kind, data: bytes, start: Entry, form: Form) -> Prepared:
        program = load_command(self._engine(kind), data, form is Form.COMPONENT, start.export or "_start")
        return Prepared(data, start, program)

    def _engine(self, kind: _Kind) -> Engine:
        with self._lock:
            if kind not in self._engines:
                cache = CodeCache(self._folder) if self._folder else None
                self._engines[kind] = Engine(cache, kind.metered, kind.stack, self._compile_time, kind.pooled)
            return self._engines[kind]


def _never(_limits: Limits) -> bool:
    return False


def _check_world(form: Form, world: World, start: Entry) -> None:
    if world is World.HTTP:
        raise UnavailableError(
            f'starting "{start.path}": it answers HTTP requests (wasi:http), which this process cannot serve',
            "run it on an engine with the Wasm runtime: wasmdock run --on docker",
        )
    if world is World.LIBRARY and not start.export:
        raise GuestError(
            f'starting "{start.path}": it is a library, not a command',
            "call one of its exports: wasmdock invoke",
        )
    if start.export and form is Form.COMPONENT:
        raise GuestError(
            f'starting "{start.path}#{start.export}": only a core module\'s export can be an entrypoint',
            "call it with wasmdock invoke",
        )
