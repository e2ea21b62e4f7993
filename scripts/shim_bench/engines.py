"""The engines of scripts/engine, with our runtime installed, and the images that are measured on them."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.cli.toolchain import build_folder
from wasmdock.docker import Docker
from wasmdock.guest import Artifact, Target
from wasmdock.pack import pack

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("trixie", "sid", "newest")
WASM = ("--runtime=io.containerd.wasmtime.v1", "--platform=wasi/wasm")
PATIENCE = 120.0  # seconds of one docker command


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine: its name, and the environment in which `docker` reaches it."""

    suite: str
    environment: Mapping[str, str]

    def docker(self, *words: str) -> str:
        """Run the docker client and give what it printed. Raises CalledProcessError."""
        argv = ["timeout", "-k", "5", str(PATIENCE), "docker", *words]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def wasm_image(self, artifact: Artifact) -> str:
        """Load a guest."""
        reference = f"shim-bench/{artifact.name}:wasm"
        Docker.connect(self.environment).load(pack(artifact), reference)
        return reference

    def native_image(self, artifact: Artifact) -> str:
        """The same program for Linux, in Debian's slim image."""
        reference = f"shim-bench/{artifact.name}:native"
        with tempfile.TemporaryDirectory(prefix="shim-bench-") as folder:
            program = Path(folder, artifact.name)
            program.write_bytes(artifact.data)
            program.chmod(0o755)
            text = f'FROM debian:trixie-slim\nCOPY {artifact.name} /\nENTRYPOINT ["/{artifact.name}"]\n'
            Path(folder, "Dockerfile").write_text(text)
            self.docker("build", "--quiet", f"--tag={reference}", folder)
        return reference


@cache
def start_engine(suite: str) -> Engine:
    """Start an engine unless it runs, and put this checkout's runtime into it."""
    script = str(ROOT / "scripts/engine")

    def say(verb: str) -> str:
        argv = [script, verb, "--suite", suite]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout

    say("start")
    listed = subprocess.run(["bash", "-c", f"{say('env')}\nenv -0"], capture_output=True, text=True, check=True).stdout
    environment = dict(line.split("=", 1) for line in listed.split("\0") if "=" in line)
    prefix = f"{say('root').strip()}/usr/local"
    subprocess.run(["wasmdock", "engine", "install", "--prefix", prefix], stdout=subprocess.DEVNULL, check=True)
    return Engine(suite, environment)


@cache
def guest(name: str, target: Target) -> Artifact:
    """One of dockerfiles/, compiled."""
    return build_folder(ROOT / "dockerfiles" / name, target, Context(os.environ)).artifact
