"""A Compose project that is started and removed, by wasmdock in-process or by docker compose."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from wasmdock.cli.bench_crowds import families, proportional_size

ROOT = Path(__file__).parent.parent.parent
WASMDOCK = str(Path(sys.executable).parent / "wasmdock")
NATIVE_HELLO = "hello-world:native"


@dataclass(frozen=True, slots=True)
class Project:
    """A file, the program that takes it, and the name it goes by."""

    name: str
    file: Path
    in_process: bool

    def up(self) -> float:
        """Seconds until `up -d` is back."""
        words = ["up", "--detach", *(["--on", "process"] if self.in_process else [])]
        began = time.perf_counter()
        self._call(*words)
        return time.perf_counter() - began

    def down(self) -> None:
        """Remove it."""
        self._call("down", *([] if self.in_process else ["--timeout", "0"]))

    def memory(self) -> int:
        """Bytes of its processes (PSS): the supervisor with all it started, or each container's with its shim."""
        words = {self.name}
        if not self.in_process:
            listed = self._call("ps", "--quiet", "--no-trunc")
            words = set(listed.split())
        return sum(map(proportional_size, families(words)))

    def _call(self, *words: str) -> str:
        program = [WASMDOCK] if self.in_process else ["docker"]
        argv = [*program, "compose", "-f", str(self.file), "-p", self.name, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout


def write(file: Path, services: dict[str, dict[str, object]]) -> Path:
    """A Compose file of these services; JSON is YAML."""
    file.write_text(json.dumps({"services": services}))
    return file


def wasm(image: str, **more: object) -> dict[str, object]:
    """A Wasm service."""
    return {"image": image, "platform": "wasi/wasm", "runtime": "io.containerd.wasmtime.v1", **more}


def prepare(*words: str) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
