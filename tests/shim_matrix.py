"""The cases every Docker engine must pass with the Wasm runtime: one list, and what it needs to be run."""

import functools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.images import gzip_layer, image_of, tar_of
from tests.requirements import require_docker
from wasmdock.docker import Docker

ROOT = Path(__file__).parent.parent
RUNTIME = ("--runtime=io.containerd.wasmtime.v1", "--platform=wasi/wasm")


@dataclass(frozen=True, slots=True)
class Case:
    """One `docker run` and how it must end.

    image is a sample guest's name; options come before the image, arguments after it; stdout is exact,
    stderr is a regular expression to be found; seconds is the longest it may take.
    """

    name: str
    image: str
    code: int = 0
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    stdin: str = ""
    stdout: str | None = None
    stderr: str = ""
    seconds: float = 60.0


def with_env(**variables: str) -> tuple[str, ...]:
    """Options for environment variables WASMDOCK_..."""
    return tuple(f"--env=WASMDOCK_{name}={value}" for name, value in variables.items())


# Images that no packer of ours would make.
BROKEN = {"broken": b"not Wasm at all", "truncated": b"\0asm\1\0\0\0\1\x7f"}
HELLO = "Hello from a sample guest!\n"
COMPONENT_HELLO = "Hello from a component!\n"

CASES = (
    Case("core module", "hello", stdout=HELLO),
    Case("component", "component_cli", stdout=COMPONENT_HELLO),
    Case("network none", "hello", options=("--network=none",), stdout=HELLO),
    Case("network host", "hello", options=("--network=host",), stdout=HELLO),
    Case("arguments", "args", arguments=("one", "two words"), stdout="/args.wasm\none\ntwo words\n"),
    Case("input", "cat", options=("-i",), stdin="some input", stdout="some input"),
    Case("terminal", "hello", options=("-t",), stdout=HELLO.replace("\n", "\r\n")),
    Case("exit code", "exit_code", code=7),
    Case("component that answers error", "component_fails", code=1),
    Case("trap", "trap", code=134, stderr=r"^wasmdock: running \S+: wasm trap: wasm `unreachable`.*\n +0: "),
    Case("division by zero", "divide_by_zero", code=134, stderr="integer divide by zero"),
    Case("endless recursion", "stack_overflow", code=134, stderr="call stack exhausted"),
    Case("unknown import", "needs_import", code=126, stderr="env.*missing"),
    Case("nothing to start", "no_start", code=126, stderr="no export _start"),
    Case("not Wasm", "broken", code=126, stderr="not a Wasm binary"),
    Case("broken Wasm", "truncated", code=126, stderr="compiling /truncated.wasm"),
    Case("missing export", "hello", code=126, options=("--entrypoint=/hello.wasm#nope",), stderr="no export nope"),
    Case("export as entrypoint", "hello", options=("--entrypoint=/hello.wasm#_start",), stdout=HELLO),
    Case("memory limit", "grow_memory", code=137, options=with_env(MEMORY="8m"), stderr="out of memory"),
    Case("memory limit at the start", "big_memory", code=137, options=with_env(MEMORY="1m"), stderr="out of memory"),
    Case("memory limit of the container", "grow_memory", code=137, options=("--memory=64m",), stderr="out of memory"),
    Case("table limit", "grow_table", code=134, options=with_env(TABLES="100000"), stderr="table elements.*wasm trap"),
    Case("table limit at the start", "big_table", code=137, options=with_env(TABLES="10000"), stderr="out of memory"),
    Case("time limit in a loop", "spin", code=124, options=with_env(TIMEOUT="300ms"), stderr="time limit", seconds=15),
    Case("time limit asleep", "sleep_hour", code=124, options=with_env(TIMEOUT="0.3"), stderr="time limit", seconds=15),
    Case("fuel limit", "spin", code=134, options=with_env(FUEL="1000000"), stderr="fuel"),
    Case("senseless limit", "hello", code=125, options=with_env(MEMORY="lots"), stderr="WASMDOCK_MEMORY=lots"),
    Case("user", "hello", options=("--user=1000:1000",), stdout=HELLO),
    Case("read-only image", "hello", options=("--read-only",), stdout=HELLO),
    Case("no capabilities", "hello", options=("--cap-drop=ALL",), stdout=HELLO),
    Case("no new privileges", "hello", options=("--security-opt=no-new-privileges",), stdout=HELLO),
    Case("privileged", "hello", options=("--privileged",), stdout=HELLO),
    Case("init of docker", "hello", options=("--init",), stdout=HELLO),
    Case("half a processor", "hello", options=("--cpus=0.5",), stdout=HELLO),
    Case("few processes", "hello", options=("--pids-limit=8",), stdout=HELLO),
    Case("pid of the host", "hello", options=("--pid=host",), stdout=HELLO),
    Case("working folder", "hello", options=("--workdir=/work",), stdout=HELLO),
)


def cli(*arguments: str, stdin: str = "", timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the docker client; TimeoutExpired where it hangs, after it was killed."""
    argv = ["docker", *arguments]
    done = subprocess.run(argv, input=stdin.encode(), capture_output=True, timeout=timeout)
    # Decoded here: text mode would hide what a terminal does to line ends.
    stdout, stderr = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(argv, done.returncode, stdout, stderr)


def run(
    reference: str, *options: str, arguments: Sequence[str] = (), stdin: str = "", timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """`docker run --rm` of a Wasm image with the Wasm runtime."""
    return cli("run", "--rm", "--pull=never", *RUNTIME, *options, reference, *arguments, stdin=stdin, timeout=timeout)


def check(case: Case) -> None:
    """Run a case and hold its end against what is expected."""
    done = run(image(case.image), *case.options, arguments=case.arguments, stdin=case.stdin, timeout=case.seconds)
    assert done.returncode == case.code, done.stderr
    if case.stdout is not None:
        assert done.stdout == case.stdout
    assert re.search(case.stderr, done.stderr), done.stderr


def image(name: str) -> str:
    """The engine's image of a sample guest, loaded when it is first used."""
    engine_root()
    return _image(name, os.environ.get("DOCKER_HOST", ""))


@functools.cache
def _image(name: str, _host: str) -> str:
    reference = f"wasmdock-shim-test/{name.replace('_', '-')}:latest"
    if name in BROKEN:
        layer = gzip_layer(tar_of({f"{name}.wasm": BROKEN[name]}))
        packed = image_of(layer, run={"Entrypoint": [f"/{name}.wasm"]})
    else:
        packed = sample(name)
    Docker.connect(os.environ).load(packed, reference)
    return reference


def engine_root() -> Path:
    """The folder that is / for the engine, with this checkout's shim installed in it; or the end of the test."""
    return _prepared(os.environ.get("DOCKER_HOST") or require_docker())


@functools.cache
def _prepared(address: str) -> Path:
    require_docker()
    root = Path(address.removeprefix("unix://").removesuffix("/run/docker.sock").removesuffix("/var") or "/")
    if not os.access(root / "usr/local", os.W_OK):
        pytest.skip(f"the engine's {root}/usr/local is not ours to write to")
    install(binaries(), root / "usr/local")
    return root


@functools.cache
def binaries() -> Path:
    """The folder with the programs built from shim/ (or WASMDOCK_SHIM names it), or the end of the test."""
    if folder := os.environ.get("WASMDOCK_SHIM"):
        return Path(folder)
    if not shutil.which("cargo"):
        pytest.skip("no cargo to build the shim with")
    done = subprocess.run([ROOT / "scripts/shim"], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def install(folder: Path, prefix: Path) -> None:
    """Copy the programs and set the links, as shim/README.md says."""
    home = prefix / "libexec/wasmdock"
    home.mkdir(parents=True, exist_ok=True)
    (prefix / "bin").mkdir(exist_ok=True)
    for name in ("wasmdock-shim", "wasmdock-host"):
        temporary = home / f".{name}"
        shutil.copy(folder / name, temporary)
        temporary.replace(home / name)  # a running shim keeps its file
    for link, target in (
        (home / "runc", "wasmdock-shim"),
        (home / "wasmdock-runtime", "wasmdock-shim"),
        (prefix / "bin/containerd-shim-wasmtime-v1", "../libexec/wasmdock/wasmdock-shim"),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def table(suites: Sequence[str]) -> Iterator[str]:
    """The cases on each engine of scripts/engine, as lines of a Markdown table: seconds, or how it failed."""
    yield f"| case | {' | '.join(suites)} |"
    yield f"|---|{'---:|' * len(suites)}"
    for case in CASES:
        cells = []
        for suite in suites:
            use_engine(suite)
            began = time.monotonic()
            try:
                check(case)
                cells.append(f"{time.monotonic() - began:.2f} s")
            except (AssertionError, subprocess.TimeoutExpired) as error:
                cells.append(f"**{type(error).__name__}**")
        yield f"| {case.name} | {' | '.join(cells)} |"


def use_engine(suite: str) -> None:
    """Take the engine that scripts/engine calls by this name from here on."""
    argv = [str(ROOT / "scripts/engine"), "env", "--suite", suite]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name != "PATH":
            os.environ[name] = value


if __name__ == "__main__":
    for line in table(sys.argv[1:] or ["trixie"]):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
