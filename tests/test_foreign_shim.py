"""A Wasm runtime that is not ours, in a real engine: stand-ins for runwasi's, which no registry has.

One hangs where it is started, as runwasi's does on Docker 28; the other ends every guest with 137 and not a word.
"""

import json
import os
import platform
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import GUESTS, sample
from tests.requirements import require_docker
from wasmdock.cli import run_cli
from wasmdock.docker import Docker
from wasmdock.doctor_facts import may_hang
from wasmdock.engine import assemble
from wasmdock.engine_files import find_root
from wasmdock.launch import WASM_PLATFORM

pytestmark = pytest.mark.docker
SHIM, FOLDER = "usr/local/sbin/containerd-shim-wasmtime-v1", "usr/local/libexec/wasmdock-test-quiet"
# Under a name of its own: containerd keeps to the place where it first found a shim.
QUIET_SHIM, QUIET_RUNTIME = "usr/local/sbin/containerd-shim-quiet-v1", "io.containerd.quiet.v1"
HANGS = f"#!/bin/sh\ntouch /{FOLDER}/started\nexec sleep 600\n"
QUIET = f'#!/bin/sh\nPATH=/{FOLDER}:$PATH exec containerd-shim-runc-v2 "$@"\n'
RUNC = rf"""#!/bin/sh
bundle= previous= creates=
for word; do
  case $previous in --bundle | -b) bundle=$word ;; esac
  case $word in create) creates=1 ;; esac
  previous=$word
done
if [ "$creates" ] && [ "$bundle" ]; then
  cd "$bundle" && cp /{FOLDER}/ends "$(sed 's/.*"root":{{"path":"\([^"]*\)".*/\1/' config.json)/ends"
  sed -i 's/"args":\[[^]]*\]/"args":["\/ends"]/' "$bundle/config.json"
fi
PATH=${{PATH#/{FOLDER}:}} exec runc "$@"
"""
# A Linux program for amd64: exit_group(137).
CODE = b"\xbf\x89\0\0\0\xb8\xe7\0\0\0\x0f\x05"
HEADER = b"\x7fELF\2\1\1" + b"\0" * 9 + b"\2\0\x3e\0\1\0\0\0" + (0x400078).to_bytes(8, "little") + b"\x40" + b"\0" * 7
HEADER += b"\0" * 12 + b"\x40\0\x38\0\1\0\0\0\0\0\0\0" + b"\1\0\0\0\5\0\0\0" + b"\0" * 8
HEADER += (0x400000).to_bytes(8, "little") * 2 + (0x78 + len(CODE)).to_bytes(8, "little") * 2 + b"\0\x10" + b"\0" * 6
ENDS = HEADER + CODE


@pytest.fixture
def engine() -> Docker:
    require_docker()
    return Docker.connect(os.environ)


@pytest.fixture
def install(engine: Docker) -> Iterator[Callable[[str, str], Path]]:
    """Put a shim before ours on the engine's PATH; gives the folder it leaves its mark in."""
    found = find_root(engine.host)
    if found is None or not os.access(found.path / "usr/local", os.W_OK) or platform.machine() != "x86_64":
        pytest.skip("the engine's own files cannot be changed from here")
    folder, shims = found.path / FOLDER, [found.path / SHIM, found.path / QUIET_SHIM]
    if shims[0].exists():
        pytest.skip("the engine has another Wasm runtime there")
    folder.mkdir(parents=True)

    def put(name: str, script: str) -> Path:
        shim = found.path / name
        for path, content in ((folder / "runc", RUNC.encode()), (folder / "ends", ENDS), (shim, script.encode())):
            path.write_bytes(content)
            path.chmod(0o755)
        return folder

    try:
        yield put
    finally:
        for path in (*shims, *folder.iterdir()):
            path.unlink(missing_ok=True)
        folder.rmdir()


def test_runtime_that_may_hang_the_engine_is_named_and_never_started(
    engine: Docker, install: Callable[[str, str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not may_hang(engine.facts()):
        pytest.skip("this engine is too old to hang")
    folder = install(SHIM, HANGS)
    assert run_cli(["doctor", "--format", "json"]) == 0  # the in-process road works
    form = json.loads(capsys.readouterr().out)
    found = next(each for each in form["findings"] if each["subject"] == "Wasm runtime")
    assert (found["severity"], form["facts"]["docker"]["works"]) == ("problem", None)
    assert f"/{SHIM} is not ours" in found["text"] and "it hangs Docker" in found["text"]
    guest = tmp_path / "hello.wasm"
    guest.write_bytes(assemble((GUESTS / "hello.wat").read_bytes(), "hello"))
    assert run_cli(["run", "--on", "docker", str(guest)]) == 125
    said = capsys.readouterr().err
    assert "is not ours, and hangs Docker" in said and "wasmdock engine install" in said
    assert not (folder / "started").exists()


def test_silent_137_is_explained_by_running_the_same_bytes_again(
    engine: Docker, install: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    install(QUIET_SHIM, QUIET)
    name = f"wasmdock-explain-{secrets.token_hex(4)}"
    engine.load(sample("trap"), f"{name}:latest")
    try:
        words = ["run", f"--name={name}", f"--runtime={QUIET_RUNTIME}", f"--platform={WASM_PLATFORM}", name]
        done = engine.cli(*words, timeout=60)
        assert (done.code, done.stdout, done.stderr) == (137, b"", b"")
        assert run_cli(["explain", name]) == 0
    finally:
        engine.cli("rm", "--force", name, timeout=30)
        engine.remove(f"{name}:latest", force=True)
    first, backtrace = capsys.readouterr().out.splitlines()[:2]
    assert "it trapped (this Wasm runtime ends it with 137 and says nothing): wasm `unreachable`" in first
    assert "trap!deepest" in backtrace
