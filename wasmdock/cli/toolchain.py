"""Guests' folders -> artifacts, with this machine's toolchain and what the environment says of it."""

import sys
from collections.abc import Callable
from pathlib import Path

from wasmdock.build import Build, build_guest, is_first
from wasmdock.builder import Builder
from wasmdock.cargo import STATIC
from wasmdock.cli.context import Context
from wasmdock.digits import read_digits
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.guest import Target, load_guest

_CA_VARIABLES = ("WASMDOCK_CA_BUNDLE", "CARGO_HTTP_CAINFO", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CA_FILES = tuple(
    Path("/etc") / name for name in ("ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/cert.pem")
)


def build_folder(
    folder: Path, target: Target | None, context: Context, static: bool = False, cache: Path | None = None
) -> Build:
    """Compile a guest with whatever toolchain there is.

    static: a native program must bring its C library along, for an image FROM scratch holds none.
    """
    guest = load_guest(folder)
    environment = dict(context.environment)
    if static and target is Target.NATIVE:
        environment["RUSTFLAGS"] = f"{environment.get('RUSTFLAGS', '')} {STATIC}".strip()
    doing = f"building {guest.name} for {(target or guest.default_target).value}"
    made = build_guest(
        guest,
        target or guest.default_target,
        cache=cache or context.cache,
        environment=environment,
        engine=lambda: context.docker,
        builder=Builder(builder_folder(), environment, ca_bundle(context)),
        progress=telling(context, doing, is_first(cache or context.cache, guest)),
    )
    for note in made.notes:
        context.say(f"wasmdock: {note}")
    return made


def telling(context: Context, doing: str, first: bool = True) -> Callable[[bytes], None]:
    """What hears of the toolchain's output: a terminal gets it as it comes, others one line when it begins.

    first: it was not done here before, and may take longer than ever after.
    """
    if context.is_terminal and not context.quiet:
        return _pass_on
    told = False

    def tell_once(_chunk: bytes) -> None:
        nonlocal told
        if not told:
            context.say(f"wasmdock: {doing}{': the first time this may take minutes' if first else ''}")
        told = True

    return tell_once


def _pass_on(chunk: bytes) -> None:
    """Pass the toolchain's own output on to the terminal as it comes."""
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()


def builder_folder() -> Path:
    """Where the builder image's Dockerfile is: in the checkout, or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "dockerfiles" / "builder", package / "dockerfiles" / "builder"):
        if (folder / "Dockerfile").is_file():
            return folder
    raise UnavailableError("finding the builder image: dockerfiles/builder is missing", "install wasmdock again")


def ca_bundle(context: Context) -> Path | None:
    """The CA bundle of this host, which may hold a proxy's certificate: the one variables name, else the system's."""
    for name in _CA_VARIABLES:
        if context.environment.get(name):
            return Path(context.environment[name])
    return next((path for path in _CA_FILES if path.is_file()), None)


def build_anew(folder: Path, target: Target | None, cache: Path, context: Context, is_optimized: bool = False) -> bytes:
    """The program's bytes, built with an empty cache."""
    from wasmdock.optimize import optimize

    artifact = build_folder(folder, target, context, static=True, cache=cache).artifact
    return (optimize(artifact)[0] if is_optimized else artifact).data


def epoch(context: Context) -> int | None:
    """The time of an image: SOURCE_DATE_EPOCH, seconds since 1970, or None. Raises UsageError."""
    text = context.environment.get("SOURCE_DATE_EPOCH", "")
    seconds = read_digits(text)
    if text and seconds is None:
        raise UsageError(f'reading SOURCE_DATE_EPOCH "{text}": not seconds since 1970')
    return seconds
