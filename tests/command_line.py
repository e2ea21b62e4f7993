"""The command line as users meet it: a process of its own, with folders of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GUESTS = Path(__file__).parent / "guests"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs `wasmdock`; store and cache are the test's own, and no engine answers."""

    environment: Mapping[str, str]

    @classmethod
    def within(cls, home: Path, shared: Path) -> "CommandLine":
        """Keep the store in `home`, and what only costs time to make again in `shared`."""
        ours = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        own = {
            "WASMDOCK_HOME": str(home),
            "WASMDOCK_CACHE": str(shared / "cache"),
            "PYTHONPYCACHEPREFIX": str(shared / "pycache"),
            "DOCKER_HOST": f"unix://{home}/nobody-answers-here.sock",
            "COLUMNS": "80",
        }
        return cls({**ours, **own})

    def __call__(self, *args: str | Path, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Done:
        """Run to the end, a minute at most."""
        done = subprocess.run(
            self.argv(*args), input=stdin, capture_output=True, cwd=cwd, env={**self.environment, **env}, timeout=60
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    def start(self, *args: str | Path, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """Run beside the test, output and errors in pipes."""
        return subprocess.Popen(
            self.argv(*args), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment
        )

    def shell(self, script: str) -> Done:
        """Run a shell's line in which `wasmdock` is this one; all it started ends with it."""
        program = f'wasmdock() {{ "{sys.executable}" -m wasmdock "$@"; }}; {script}'
        with subprocess.Popen(
            ["bash", "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Done(process.returncode, stdout, stderr.decode())

    def argv(self, *args: str | Path) -> list[str]:
        """What is executed."""
        return [sys.executable, "-m", "wasmdock", *map(str, args)]


def guest(name: str) -> Path:
    """The text form of a sample guest."""
    return GUESTS / f"{name}.wat"
