"""A binary made smaller, names and debug information left out: modules by binaryen's wasm-opt, components without."""

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from wasmdock.errors import BuildError, GuestError, UnavailableError
from wasmdock.guest import Artifact
from wasmdock.process import Runner, run_command
from wasmdock.wasm_sniff import Form, form_of
from wasmdock.wasm_strip import strip

_TIMEOUT = 600.0  # seconds
_CURE = "apt-get install binaryen   (or: cargo install --locked wasm-opt)"
# What today's toolchains switch on by default; wasm-opt 108 takes it only where it is told so.
_FEATURES = ("bulk-memory", "sign-ext", "mutable-globals", "nontrapping-float-to-int", "multivalue", "reference-types")
# What a module may use besides. Of other proposals old binaryens have old encodings, which they read and write alike.
_SETTLED = ("simd", "threads", "tail-call", "extended-const", "memory64")
_FLAGS = ("-Oz", "--strip-debug", "--strip-producers", *(f"--enable-{feature}" for feature in _FEATURES))
_FLAG = re.compile(rb"^--enable-([a-z0-9-]+)$", re.MULTILINE)


def optimize(artifact: Artifact, runner: Runner = run_command) -> tuple[Artifact, str]:
    """The smaller artifact and what made it so (`wasm-opt 108 -Oz`); the same one where nothing was won.

    wasm-opt reads no components: from these only names, producers and debug information are taken. Raises GuestError
    for what is no Wasm, UnavailableError where a module is given and there is no wasm-opt, BuildError.
    """
    doing = f'optimizing "{artifact.name}"'
    if not artifact.target.is_wasm:
        raise GuestError(f"{doing}: it is no Wasm", "leave --optimize out")
    if form_of(artifact.data) is Form.COMPONENT:
        return replace(artifact, data=strip(artifact.data)), "names stripped (wasm-opt reads no components)"
    try:
        version = runner(("wasm-opt", "--version"), timeout=30.0).stdout.decode("utf-8", "replace")
    except UnavailableError as error:
        raise UnavailableError(f"{doing}: no wasm-opt on PATH", _CURE) from error
    number = re.search(r"version[ _](\d+)", version)
    data = _run(artifact.data, doing, runner)
    how = f"wasm-opt {number[1] if number else '?'} -Oz"
    return (replace(artifact, data=data), how) if len(data) < len(artifact.data) else (artifact, how)


def _run(data: bytes, doing: str, runner: Runner) -> bytes:
    with TemporaryDirectory(prefix="wasmdock-") as folder:
        given, made = Path(folder, "in.wasm"), Path(folder, "out.wasm")
        given.write_bytes(data)
        argv = ("wasm-opt", *_FLAGS, str(given), "-o", str(made))
        done = runner(argv, timeout=_TIMEOUT)
        more = _more_features(given, runner) if done.code and not done.timed_out else ()
        if more:
            done = runner((*argv, *(f"--enable-{feature}" for feature in more)), timeout=_TIMEOUT)
        if done.code or done.timed_out or not made.is_file():
            output = done.stderr_text()
            how = "no end in time" if done.timed_out else f"exit code {done.code}"
            raise BuildError(f"{doing}: wasm-opt: {how}", "leave --optimize out, or take a newer binaryen", output)
        return made.read_bytes()


def _more_features(given: Path, runner: Runner) -> tuple[str, ...]:
    """What the module uses besides: that without which it is not valid.

    No module need say what it uses, and with everything on wasm-opt might bring in what the module never needed.
    """
    every = ("wasm-opt", "--all-features")
    known = runner((*every, "--print-features", str(given)), timeout=_TIMEOUT)
    found = (name.decode() for name in _FLAG.findall(known.stdout)) if known.code == 0 else ()
    asked = [name for name in found if name in _SETTLED]
    return tuple(name for name in asked if runner((*every, f"--disable-{name}", str(given)), timeout=_TIMEOUT).code)
