"""Cargo's command line and its answers: arguments in, the path of the output or what went wrong out."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wasmdock.dep_info import DepInfo
from wasmdock.errors import BuildError, GuestError
from wasmdock.guest import Artifact, Guest, Target
from wasmdock.process import Completed

TAIL_LINES = 40
IN_BUILDER = "the builder image"  # as `build_failure` is told it
_NO_NETWORK = re.compile(
    r"(?i)could not resolve host|couldn't resolve host|network failure|spurious network error|failed to connect"
    r"|could not connect|couldn't connect|connection refused|timed out|unable to update registry"
    r"|download of config\.json failed|you may want to enable --offline"
)
_TLS = re.compile(r"(?i)ssl peer certificate|certificate (?:verify|is not trusted)|SSL certificate problem")


class Compiled(NamedTuple):
    """What came out of cargo: the artifact's bytes, the compiler of them (`rustc 1.85.1`), notes for the user.

    read is what the build has read that is no source of the guest's.
    """

    data: bytes
    compiler: str
    notes: tuple[str, ...] = ()
    read: DepInfo = DepInfo()


def compiler_of(said: str) -> str:
    """`rustc 1.85.1 (4eb161250 2025-03-15)`, the first line of what rustc says it is -> `rustc 1.85.1`; else empty."""
    words = said.partition("\n")[0].split()
    return " ".join(words[:2]) if words[:1] == ["rustc"] else ""


def cargo_arguments(guest: Guest, target: Target, *, locked: bool, offline: bool = False) -> list[str]:
    """The words after `cargo` that build the guest and report its files as JSON on stdout."""
    words = ["build", "--release", "--message-format=json-render-diagnostics"]
    words.append("--lib" if wants_library(guest, target) else "--bins")
    words += ["--locked"] if locked else []
    words += ["--offline"] if offline else []
    words += [f"--target={target.triple}"] if target.is_wasm else []
    return words


STATIC = "-C target-feature=+crt-static"


def needs_triple(target: Target, environment: Mapping[str, str]) -> bool:
    """Whether cargo must be told the host's own triple.

    Without one, flags for a static program would reach build scripts and procedural macros, which cannot be static.
    """
    flags = environment.get("RUSTFLAGS", "") + environment.get("CARGO_ENCODED_RUSTFLAGS", "")
    return not target.is_wasm and "+crt-static" in flags


def wants_library(guest: Guest, target: Target) -> bool:
    """Whether the crate's library is the artifact: a cdylib for Wasm; a native program is always a binary."""
    return guest.is_library and target.is_wasm


def check_target(guest: Guest, target: Target) -> None:
    """Raise GuestError where cargo would find nothing to build, with words that help more than its own."""
    has_program = (guest.folder / "src" / "main.rs").exists() or (guest.folder / "src" / "bin").is_dir()
    has_program = has_program or "[[bin]]" in (guest.folder / "Cargo.toml").read_text(encoding="utf-8")
    if not has_program and not wants_library(guest, target):
        to_library = 'make it a library guest, in Cargo.toml: [lib] crate-type = ["cdylib"]; or add a src/main.rs'
        raise GuestError(
            f'building "{guest.name}" for {target.shown}: the crate has no program (src/main.rs)',
            f"build it --target {guest.default_target.value}" if guest.is_library else to_library,
        )


def find_output(messages: bytes, guest: Guest, target: Target) -> str:
    """The path of the artifact by cargo's messages. Raises BuildError where there is none, or more than one."""
    kind = "cdylib" if wants_library(guest, target) else "bin"
    found: dict[str, str] = {}
    for message in _messages(messages):
        built = message.get("target") or {}
        if message.get("reason") != "compiler-artifact" or kind not in built.get("kind", ()):
            continue
        names = (message.get("filenames") or ()) if target.is_wasm else (message.get("executable"),)
        for name in names:
            if isinstance(name, str) and (name.endswith(".wasm") or not target.is_wasm):
                found[str(built.get("name"))] = name
    wanted = {guest.name, guest.name.replace("-", "_")} & found.keys()
    if len(found) == 1 or wanted:
        return found[wanted.pop()] if wanted else next(iter(found.values()))
    listed = ", ".join(sorted(found)) or "none"
    raise BuildError(
        f'building "{guest.name}" for {target.shown}: cargo made no one program of that name (it made: {listed})',
        "name one program like the crate",
    )


def _messages(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        if line.startswith(b"{"):
            try:
                message = json.loads(line)
            except ValueError:  # a build script may print what it likes
                continue
            if isinstance(message, dict):
                yield message


def artifact_of(guest: Guest, target: Target, data: bytes) -> Artifact:
    """The artifact of these bytes. Raises GuestError where they are not what the target makes."""
    if target.is_wasm and not data.startswith(b"\0asm"):
        raise GuestError(f'building "{guest.name}" for {target.shown}: what came out is not Wasm')
    return Artifact(guest.name, target, data, guest.version, guest.description, guest.license)


def rustup_cure(text: str) -> str:
    """The command that rustup itself names where it has no toolchain to run; empty where it names none."""
    found = re.search(r"rustup default [\w.-]+", text)
    return found[0] if found else ""


def lacks_network(done: Completed) -> bool:
    """Whether cargo failed because it could not reach a registry."""
    return done.code != 0 and bool(_NO_NETWORK.search(done.stderr_text(1 << 16)))


def build_failure(guest: Guest, target: Target, road: str, done: Completed) -> BuildError:
    """What a failed cargo means, with the end of its output."""
    text = done.stderr_text(1 << 16)
    how = "it did not end in time" if done.timed_out else f"exit code {done.code}"
    errors = [line for line in text.splitlines() if line.startswith("error")]
    first = f": {errors[0]}" if errors else ""
    message = f'building "{guest.name}" for {target.shown} with {road}: cargo: {how}{first}'
    return BuildError(message, _hint(text, target, road), "\n".join(text.splitlines()[-TAIL_LINES:]))


def _hint(text: str, target: Target, road: str) -> str:
    if road == IN_BUILDER and "not defined at compile time" in text:
        return "no variable of yours gets into the builder image: set it in .cargo/config.toml, under [env]"
    if _TLS.search(text):
        return "a proxy re-signs TLS here: name its certificates with SSL_CERT_FILE"
    if "Cargo.lock needs to be updated" in text or "--locked was passed" in text:
        return "`cargo update --workspace` brings Cargo.lock in line with Cargo.toml"
    if "can't find crate for `std`" in text or "can't find crate for `core`" in text:
        return f"`rustup target add {target.triple}`"
    if re.search(r"linker `?\w+`? not found", text):
        return "install a C compiler: `apt install gcc`"
    if _NO_NETWORK.search(text):
        return "cargo reaches no registry and has not all crates; connect once, or set HTTPS_PROXY"
    return ""
