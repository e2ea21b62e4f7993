"""The Wasm runtime's files (shim/): found or built, and put where a containerd finds them."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wasmdock.cargo import rustup_cure
from wasmdock.errors import UnavailableError
from wasmdock.process import Completed, Runner, run_command

PROGRAMS = ("wasmdock-shim", "wasmdock-host")
# Where each name leads, below the prefix. shim/README.md says what each is for.
LINKS = {
    "libexec/wasmdock/runc": "wasmdock-shim",
    "libexec/wasmdock/wasmdock-runtime": "wasmdock-shim",
    "bin/containerd-shim-wasmtime-v1": "../libexec/wasmdock/wasmdock-shim",
}
FOLDER = "libexec/wasmdock"
PREFIX = Path("/usr/local")  # where it goes unless another is named
BUILD_TIMEOUT = 3600.0  # seconds; a cold build compiles wasmtime
FROM_CLONE = '--from "$(scripts/shim)"'  # what finds the programs where nothing else does, in a clone with cargo
CHECKOUT = Path(__file__).resolve().parent.parent


def find_programs(
    given: Path | None,
    checkout: Path = CHECKOUT,
    runner: Runner = run_command,
    *,
    command: str = "wasmdock engine install",
    progress: Callable[[bytes], None] | None = None,
) -> Path:
    """The folder with the runtime's programs: the one given, this environment's, or built from the checkout.

    command is what the user called, without --from; progress sees what a build says. Raises UnavailableError that
    names every way there is.
    """
    looked = given or Path(sys.executable).parent
    if _holds_programs(looked):
        return looked
    script = _script(checkout)
    if given or not script.is_file():
        raise UnavailableError(
            f'finding the Wasm runtime: "{looked}" does not hold {" and ".join(PROGRAMS)}',
            f"in a clone of wasmdock, with cargo: {command} {FROM_CLONE}",
        )
    done = runner([str(script)], timeout=BUILD_TIMEOUT, on_stderr=progress)
    if done.code != 0:
        raise _build_failure(done, script)
    return Path(done.stdout.decode().strip().splitlines()[-1])


def are_at_hand(checkout: Path = CHECKOUT) -> bool:
    """Whether `find_programs` finds or builds them without being told where."""
    return _holds_programs(Path(sys.executable).parent) or _script(checkout).is_file()


def _holds_programs(folder: Path) -> bool:
    return all((folder / name).is_file() for name in PROGRAMS)


def _script(checkout: Path) -> Path:
    return checkout / "scripts" / "shim"


def _build_failure(done: Completed, script: Path) -> UnavailableError:
    """What was looked for, what was wrong with the cargo that was to build it, and the cure."""
    said = done.stderr_text().splitlines() or [f"exit code {done.code}"]
    told = next((line for line in said if line.startswith("error")), said[-1])
    last = "install Rust: https://rustup.rs" if "command not found" in told else f"{script} shows all of it"
    return UnavailableError(
        f'building the Wasm runtime, as "{Path(sys.executable).parent}" does not hold {" and ".join(PROGRAMS)}: {told}',
        rustup_cure(done.stderr_text()) or last,
    )


def install_programs(folder: Path, prefix: Path) -> list[Path]:
    """Copy the programs below `prefix` and link their names; each is written aside and renamed.

    Containers that run keep the program they started with. Gives the paths made. Raises UnavailableError.
    """
    with _changing("installing the Wasm runtime under", prefix):
        home = prefix / FOLDER
        home.mkdir(parents=True, exist_ok=True)
        (prefix / "bin").mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            _copy(folder / name, home / name)
        for name, target in LINKS.items():
            _link(prefix / name, target)
    return [*(home / name for name in PROGRAMS), *(prefix / name for name in LINKS)]


def uninstall_programs(prefix: Path) -> list[Path]:
    """Remove what `install_programs` made and give the paths removed. Raises UnavailableError."""
    removed = []
    with _changing("removing the Wasm runtime from", prefix):
        for path in (*(prefix / name for name in LINKS), *(prefix / FOLDER / name for name in PROGRAMS)):
            if path.is_symlink() or path.is_file():
                path.unlink()
                removed.append(path)
        home = prefix / FOLDER
        if home.is_dir() and not any(home.iterdir()):
            home.rmdir()
    return removed


@contextmanager
def _changing(doing: str, prefix: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = "run it with sudo, or choose another --prefix" if isinstance(error, PermissionError) else ""
        raise UnavailableError(f'{doing} "{prefix}": {error.strerror or error}', cure) from error


def _copy(source: Path, target: Path) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    os.close(handle)
    aside = Path(name)
    try:
        shutil.copyfile(source, aside)
        aside.chmod(0o755)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _link(path: Path, target: str) -> None:
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(path)
