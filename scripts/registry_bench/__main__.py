"""Measures pulls and pushes through a registry of its own: a line for each goal, 1 at the end where one is missed."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_BIG = 100 << 20  # bytes of the large layer
_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}"}}}}
http: {{addr: "0.0.0.0:{port}"}}
"""
_OURS = (sys.executable, "-m", "wasmdock")


def run(*argv: str, home: Path | None = None, check: bool = True, timeout: float = 300) -> str:
    """Run a program to its end and give what it printed."""
    own = {"WASMDOCK_HOME": str(home)} if home else {}
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **own}, timeout=timeout, check=check
    )
    return done.stdout.decode()


def timed(work: Callable[[], object]) -> float:
    """Seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Bench:
    """One registry, the images in it, and what was missed."""

    def __init__(self, folder: Path, port: int, rounds: int) -> None:
        self.folder, self.rounds, self.missed = folder, rounds, 0
        self.here = f"127.0.0.1:{port}"
        inside = os.environ.get("WASMDOCK_ENGINE_ADDRESS")  # the engine of scripts/engine sees this machine at .1
        self.there = f"{inside.rpartition('.')[0]}.1:{port}" if inside else self.here
        self.home, self.fresh, self.out = folder / "home", folder / "fresh", folder / "out"
        self._number = 0

    def prepare(self) -> None:
        """Build and push what is pulled."""
        length = bytes((_BIG + 1 >> shift & 127) | (128 if shift < 28 else 0) for shift in range(0, 35, 7))
        big = self.folder / "big.wasm"  # one custom section, its length as five bytes of LEB128
        big.write_bytes(b"\0asm\1\0\0\0" + b"\0" + length + b"\0" + os.urandom(_BIG))
        self.ours("pack", str(big), "--shape", "wasm-layer")
        self.ours("save", "big", "-o", str(self.folder / "layout"))
        self.ours("build", "dockerfiles/hello-world")
        for name in ("big", "hello-world"):
            self.ours("push", name, f"{self.here}/{name}:v1")

    def ours(self, *argv: str, home: Path | None = None) -> str:
        return run(*_OURS, *argv, home=home or self.home)

    def pull(self, name: str) -> float:
        """Our pull into an empty store."""
        shutil.rmtree(self.fresh, ignore_errors=True)
        return timed(lambda: self.ours("pull", f"{self.here}/{name}:v1", home=self.fresh))

    def crane_pull(self) -> float:
        shutil.rmtree(self.out, ignore_errors=True)
        return timed(lambda: run("crane", "pull", "--format=oci", f"{self.here}/big:v1", str(self.out)))

    def new_name(self) -> str:
        self._number += 1
        return f"{self.here}/new{self._number}:v1"

    def beside(self, what: str, ours: Callable[[], float], theirs: Callable[[], float], goal: float) -> None:
        """Both in turns; the ratio of the medians against the goal."""
        pairs = [(ours(), theirs()) for _ in range(self.rounds + 1)][1:]
        one, other = (statistics.median(each) for each in zip(*pairs, strict=True))
        self.say(
            f"{what}: {one * 1e3:.0f} ms beside {other * 1e3:.0f} ms: {one / other:.2f} times",
            one / other <= goal,
            goal,
        )

    def say(self, what: str, is_met: bool, goal: object) -> None:
        self.missed += not is_met
        print(f"{'met   ' if is_met else 'MISSED'}  {what} (goal: {goal})", flush=True)

    def memory(self) -> None:
        """How much more memory a pull and a push of the large layer take, at most, than those of hello-world."""
        peaks = {}
        for name in ("hello-world", "big"):
            shutil.rmtree(self.fresh, ignore_errors=True)
            pulled = _peak(*_OURS, "pull", f"{self.here}/{name}:v1", home=self.fresh)
            peaks[name] = max(pulled, _peak(*_OURS, "push", name, self.new_name(), home=self.home))
        grown = (peaks["big"] - peaks["hello-world"]) / 1024
        self.say(f"memory for 100 MB: {grown:+.1f} MiB over that for hello-world", grown < 16, "16 MiB")

    def docker(self) -> None:
        """hello-world beside a native Debian image of layers that the engine has not."""
        name = f"{self.there}/native:v1"
        container = run("docker", "create", "debian:trixie-slim", "true").strip()
        imported = f'docker export {container} | docker import - "{name}"'
        run("sh", "-c", imported)
        run("docker", "rm", container)
        run("docker", "push", name)

        def theirs() -> float:
            run("docker", "rmi", "-f", name)
            return timed(lambda: run("docker", "pull", name))

        self.beside("pull of hello-world beside docker pull of debian", lambda: self.pull("hello-world"), theirs, 0.2)
        run("docker", "rmi", "-f", name)


def _peak(*argv: str, home: Path) -> int:
    """KiB; a child of a child, since the kernel keeps only the largest of all children."""
    program = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=-3, check=True);"
    program += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    return int(run(sys.executable, "-c", program, *argv, home=home))


def main(rounds: int) -> int:
    """Everything, in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="wasmdock-bench-") as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(name), int(free.getsockname()[1])
        free.close()
        (folder / "registry.yml").write_text(_CONFIG.format(folder=folder / "registry", port=port))
        with (folder / "registry.log").open("wb") as log:
            server = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=log
            )
        try:
            time.sleep(0.5)
            bench = Bench(folder, port, rounds)
            bench.prepare()
            _measure(bench)
        finally:
            server.terminate()
            server.wait(10)
    return 1 if bench.missed else 0


def _measure(bench: Bench) -> None:
    layout = str(bench.folder / "layout")
    again = bench.ours("push", "hello-world", f"{bench.here}/hello-world:v1")
    bench.say(
        f"push of an unchanged image: {again.partition('blobs: ')[2].strip()}", "sent" not in again, "no blob sent"
    )
    bench.memory()
    bench.beside("pull of 100 MB beside crane", lambda: bench.pull("big"), bench.crane_pull, 1.3)
    bench.beside(
        "push of 100 MB beside crane",
        lambda: timed(lambda: bench.ours("push", "big", bench.new_name())),
        lambda: timed(lambda: run("crane", "push", layout, bench.new_name())),
        1.3,
    )
    if subprocess.run(["timeout", "-k", "5", "20", "docker", "version"], capture_output=True).returncode == 0:
        bench.docker()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
