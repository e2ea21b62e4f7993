"""The host's own cargo: whether it has a target, what it is, and a build with it."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmdock.aside import write_aside
from wasmdock.cargo import (
    Compiled,
    build_failure,
    cargo_arguments,
    compiler_of,
    find_output,
    lacks_network,
    rustup_cure,
)
from wasmdock.cure import Cure
from wasmdock.dep_info import read_dep_info
from wasmdock.errors import BuildError, UnavailableError, WasmdockError
from wasmdock.guest import Guest, Target
from wasmdock.guest_inputs import find_compiler
from wasmdock.process import Runner
from wasmdock.program_size import LIFT, excess

BUILD_TIMEOUT = 3600.0
ASK_TIMEOUT = 600.0  # seconds: rustup may fetch the toolchain that a rust-toolchain.toml asks for
_INSTALL_RUST = "install Rust (https://rustup.rs)"
_SILENT = "rustup may be fetching a toolchain: run `rustc -vV` and see"
_STEERING = (
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTUP_TOOLCHAIN",
)
_STEERING_PREFIXES = ("CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_", "RUSTC_WORKSPACE_")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The rustc that cargo would use: the text of `rustc -vV`, its sysroot, and the variables that steer both."""

    version: str
    sysroot: Path
    steering: tuple[tuple[str, str], ...] = ()

    @property
    def host(self) -> str:
        """The target triple of the machine itself."""
        lines = (line.partition(": ") for line in self.version.splitlines())
        return next((value for key, _, value in lines if key == "host"), "")

    @property
    def compiler(self) -> str:
        """Its name and version: `rustc 1.85.1`."""
        return compiler_of(self.version)

    @property
    def identity(self) -> str:
        """What makes its output differ from another's."""
        return json.dumps([self.version, str(self.sysroot), self.steering])

    def has(self, target: Target) -> bool:
        """Whether the target's core library is installed."""
        folder = self.sysroot / "lib" / "rustlib" / (target.triple or self.host) / "lib"
        return any(folder.glob("libcore-*.rlib"))


def find_toolchain(
    folder: Path, cache: Path, environment: Mapping[str, str], runner: Runner, patience: float = ASK_TIMEOUT
) -> Toolchain:
    """Ask rustc what it is, in the guest's folder where rustup may choose another, for `patience` seconds at most.

    Two calls take 0.1 s under rustup, so the answer is kept in `cache` for as long as rustc and rustup's
    settings stay the same. Raises UnavailableError where there is no cargo, no rustc, a broken or a silent one.
    """
    path = environment.get("PATH", "")
    compiler = find_compiler(folder, environment)
    for program in ("cargo", compiler):
        if not shutil.which(program, path=path):
            raise UnavailableError(f"there is no {program} on PATH")
    rustc = Path(shutil.which(compiler, path=path) or compiler)
    steering = tuple(sorted((key, value) for key, value in environment.items() if _steers(key)))
    stamp = _stamp(rustc, folder, environment, steering)
    kept = _read_kept(cache, stamp)
    if kept is None:
        kept = _ask(compiler, folder, environment, runner, patience)
        _keep(cache, stamp, kept)
    return Toolchain(kept["version"], Path(kept["sysroot"]), steering)


def _steers(variable: str) -> bool:
    return variable in _STEERING or variable.startswith(_STEERING_PREFIXES)


def _ask(
    compiler: str, folder: Path, environment: Mapping[str, str], runner: Runner, patience: float
) -> dict[str, str]:
    answers, until = [], time.monotonic() + patience
    for words in (("-vV",), ("--print", "sysroot")):
        left = max(0.0, until - time.monotonic())
        done = runner([compiler, *words], timeout=left, env=environment, cwd=folder)
        if done.timed_out:
            raise UnavailableError(f"rustc gives no answer within {patience:g} s", _SILENT)
        if done.code != 0:
            said = done.stderr_text().splitlines() or [f"exit code {done.code}"]
            told = next((line for line in said if line.startswith("error")), said[-1])  # rustup adds a backtrace
            raise UnavailableError(f"rustc does not run: {told}", rustup_cure(done.stderr_text()))
        answers.append(done.stdout.decode("utf-8", "replace").strip())
    return {"version": answers[0], "sysroot": answers[1]}


def _stamp(rustc: Path, folder: Path, environment: Mapping[str, str], steering: Any) -> str:
    """Changes whenever another rustc could answer."""
    home = Path(environment.get("RUSTUP_HOME") or Path(environment.get("HOME", "/")) / ".rustup")
    here = folder.resolve()
    chosen = [place / name for place in (here, *here.parents) for name in ("rust-toolchain.toml", "rust-toolchain")]
    watched = [rustc.resolve(), home / "settings.toml", home / "toolchains", home / "update-hashes", *chosen]
    facts = [str(rustc), steering, [(str(path), _stat(path)) for path in watched if path.exists()]]
    overridden = "[overrides]\n" in _text(home / "settings.toml") and str(here)
    return hashlib.sha256(json.dumps([facts, overridden]).encode()).hexdigest()


def _stat(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_kept(cache: Path, stamp: str) -> dict[str, str] | None:
    try:
        kept = json.loads((cache / "toolchains" / f"{stamp}.json").read_bytes())
        return {"version": str(kept["version"]), "sysroot": str(kept["sysroot"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(cache: Path, stamp: str, kept: Mapping[str, str]) -> None:
    """Written aside and renamed; a cache that cannot be written only costs time."""
    folder = cache / "toolchains"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_aside(folder / f"{stamp}.json", json.dumps(dict(kept)).encode())


def build_on_host(
    guest: Guest,
    target: Target,
    *,
    compiler: str,
    target_folder: Path,
    environment: Mapping[str, str],
    runner: Runner,
    progress: Callable[[bytes], None] | None = None,
    timeout: float = BUILD_TIMEOUT,
) -> Compiled:
    """Build with the host's cargo, whose rustc is `compiler`, into `target_folder`.

    Where no registry answers, it tries once more with the crates that are already here.
    Raises BuildError with the end of cargo's output.
    """
    _forget_crate(target_folder, guest)
    locked = (guest.folder / "Cargo.lock").exists()
    env = {**environment, "CARGO_TARGET_DIR": str(target_folder)}
    notes: tuple[str, ...] = ()

    def cargo(offline: bool) -> Any:
        words = cargo_arguments(guest, target, locked=locked, offline=offline)
        return runner(["cargo", *words], timeout=timeout, env=env, cwd=guest.folder, on_stderr=progress)

    done = cargo(offline=False)
    if lacks_network(done):
        again = cargo(offline=True)
        if again.code == 0:
            done, notes = again, ("no registry answered: built offline with the crates already here",)
    if done.code != 0 or done.timed_out:
        raise build_failure(guest, target, "the host's cargo", done)
    output = Path(find_output(done.stdout, guest, target))
    return Compiled(_read_output(output, guest), compiler, notes, read_dep_info(output, target_folder))


def _forget_crate(target_folder: Path, guest: Guest) -> None:
    """Make cargo compile the guest's own crate again.

    Cargo goes by times: a file put back with an old time would leave the old output under the new digest.
    """
    for pattern in ("release/.fingerprint", "*/release/.fingerprint"):
        for fingerprint in target_folder.glob(f"{pattern}/{guest.name}-*"):
            shutil.rmtree(fingerprint, ignore_errors=True)


def _read_output(path: Path, guest: Guest) -> bytes:
    try:
        size = path.stat().st_size
        too_large = excess(size)
        data = b"" if too_large else path.read_bytes()
    except OSError as error:
        raise BuildError(f'building "{guest.name}": cargo\'s output "{path}" is gone: {error.strerror}') from error
    if too_large:
        raise BuildError(f'building "{guest.name}": "{path.name}": {too_large}', LIFT)
    return data


def explain_missing(toolchain: Toolchain | WasmdockError, target: Target) -> tuple[str, Cure]:
    """Why the host's cargo cannot build for a target, and what changes that."""
    add = f"rustup target add {target.triple}"
    then = (add,) if target.is_wasm else ()
    if isinstance(toolchain, WasmdockError):
        if not toolchain.hint:
            return toolchain.message, Cure(then, words=_INSTALL_RUST)
        is_command = toolchain.hint == rustup_cure(toolchain.hint)
        return toolchain.message, Cure((toolchain.hint, *then)) if is_command else Cure(words=toolchain.hint)
    if not target.is_wasm:
        return f"rustc has no library for {target.triple or 'this machine'}", Cure(words=_INSTALL_RUST)
    cause = f"rustc has no target {target.triple}"
    if ".rustup" in toolchain.sysroot.parts or "toolchains" in toolchain.sysroot.parts:
        return cause, Cure((add,))
    return cause, Cure(("apt install libstd-rust-dev-wasm32",), add)
