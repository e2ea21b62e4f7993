"""A wasi:http component served without a container: a wasmdock-host of its own, which ends when we do."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wasmdock.errors import UnavailableError
from wasmdock.http_host import DRAIN, SERVING, Launch
from wasmdock.lifeline import die_with
from wasmdock.ports import free_port

_START_TIME = 30.0


class Served:
    """A guest that is being served; address is HOST:PORT."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str) -> None:
        """Keep the process."""
        self.process = process
        self.address = address

    def wait(self) -> int:
        """Wait for its end and give its exit code, 128 + the number of a signal that killed it."""
        code = self.process.wait()
        return code if code >= 0 else 128 - code

    def end(self, grace: float = DRAIN + 2.0) -> int:
        """Let requests in flight finish, kill it after `grace` seconds, and give its exit code."""
        self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self.wait()


def serve(host: Path, launch: Launch, name: str = "guest", on_line: Callable[[str], None] = lambda _: None) -> Served:
    """Start a guest and come back when it listens; it ends with the calling thread.

    stdout is shared; the lines of stderr are given to `on_line`, from a thread of its own.
    Raises UnavailableError with its own last line where it ends before it listens.
    """
    launch = replace(launch, address=_with_port(launch.address))
    us = os.getpid()
    process = subprocess.Popen(
        [str(host), name],
        env=launch.variables(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C at the terminal is ours to hand on
        preexec_fn=lambda: die_with(us, signal.SIGKILL),
    )
    hearing = _Hearing(process, on_line)
    if not hearing.serves():
        process.kill()
        process.wait()
        hint = "publish another port, or end what listens there" if "in use" in hearing.last else ""
        raise UnavailableError(f"serving on {launch.address}: {hearing.last or 'it said nothing'}", hint)
    return Served(process, launch.address)


class _Hearing:
    """What the program says on stderr, passed on line by line."""

    def __init__(self, process: "subprocess.Popen[bytes]", on_line: Callable[[str], None]) -> None:
        self.last = ""
        self._process, self._on_line = process, on_line
        self._said, self._serving = threading.Event(), False
        threading.Thread(target=self._read, name="wasmdock-host", daemon=True).start()

    def serves(self) -> bool:
        """Wait until it listens or has ended: whether it listens."""
        self._said.wait(_START_TIME)
        return self._serving

    def _read(self) -> None:
        assert self._process.stderr
        held: list[str] = []
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.last = text.removeprefix("wasmdock: ")
            held.append(text)
            if text.startswith(SERVING):
                self._serving = True
                self._said.set()
            if self._serving:  # what comes before is the reason where it does not come to that
                while held:
                    self._on_line(held.pop(0))
        self._said.set()


def _with_port(address: str) -> str:
    """The address with a free port in place of 0: the program does not say which one it was given."""
    host, _, port = address.rpartition(":")
    if port != "0":
        return address
    return f"{host}:{free_port(host.strip('[]'))}"
