"""What a benchmark starts and keeps alive to see how many fit: instances in a process, containers in an engine."""

import os
import pickle
import signal
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from wasmdock.bench_load import Stop
from wasmdock.cli.bench_crowd_main import MORE, Kept
from wasmdock.cli.bench_service import start_container
from wasmdock.docker import Docker
from wasmdock.errors import UnavailableError
from wasmdock.oci.image import Image
from wasmdock.pack import entry, extract
from wasmdock.process import own_module, starting
from wasmdock.program_size import largest
from wasmdock.runtime import RunRequest

_MOST_INSTANCES = 100_000
_MOST_CONTAINERS = 256
_START = 60.0
_SETTLE = 1.0  # seconds until an engine's own bookkeeping after a start is over


class Instances:
    """Fresh instances kept after their command ended, in a process of their own. A Crowd.

    Of their own: in a process where others were before, they would move into what those left, and its memory would
    not grow. All are given back together, once the last is stopped.
    """

    def __init__(self, name: str, image: Image, request: RunRequest, cache: Path) -> None:
        """Start the process, and compile in it. Raises GuestError, UnavailableError."""
        kept = Kept(extract(image), tuple(entry(image).argv(request.args)), request.limits.memory, cache, largest())
        self.name, self.most, self._alive = name, _MOST_INSTANCES, 0
        argv, env = own_module("wasmdock.cli.bench_crowd_main", os.getpid())
        with starting(argv):
            self._child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ask(pickle.dumps(kept))

    @property
    def process(self) -> int:
        """Its number."""
        return self._child.pid

    def start(self) -> Stop:
        """One more; asking for it takes some 20 us of its time. Raises UnavailableError."""
        self._ask(MORE)
        self._alive += 1
        return self._stop

    def used(self) -> int:
        """Bytes of their process in memory (resident set, proc_pid_statm(5)). Raises UnavailableError."""
        try:
            pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
        except OSError as error:
            raise UnavailableError(f"reading the memory of instances: {error.strerror}: Linux alone tells") from error
        if not pages:  # it ended and waits to be reaped
            raise self._died()
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _ask(self, question: bytes) -> None:
        """Wait for the answer; where it is a failure and none is alive, end the process."""
        source, answers = self._child.stdin, self._child.stdout
        assert source and answers
        try:
            with suppress(BrokenPipeError):  # a dead child does not answer
                source.write(question)
                source.flush()
            try:
                answer = pickle.load(answers)  # from our own child
            except (EOFError, pickle.UnpicklingError) as error:
                raise self._died() from error
            if answer is not None:
                raise answer
        except BaseException:
            if not self._alive:
                self._end()
            raise

    def _died(self) -> UnavailableError:
        code = self._child.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return UnavailableError(f"keeping one more instance: the process that holds them ended ({how})")

    def _stop(self) -> None:
        self._alive -= 1
        if not self._alive:
            self._end()

    def _end(self) -> None:
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            with suppress(BrokenPipeError):  # a question that nobody took
                if stream:
                    stream.close()


class Containers:
    """Containers that wait for the input they are never given, or that serve. A Crowd."""

    def __init__(
        self, name: str, docker: Docker, reference: str, words: tuple[str, ...], args: tuple[str, ...]
    ) -> None:
        """Keep how to start one; words are options of docker run."""
        self.name, self.most = name, _MOST_CONTAINERS
        self._docker, self._reference, self._words, self._args = docker, reference, words, args
        self._ids: set[str] = set()

    def start(self) -> Stop:
        """One more. Raises UnavailableError for a guest that ends by itself."""
        words = ("--interactive", *self._words, self._reference, *self._args)
        identity, remove = start_container(self._docker, words, "keeping one more container")
        self._ids.add(identity)

        def stop() -> None:
            remove()
            self._ids.discard(identity)

        try:
            state = self._docker.cli("inspect", "--format={{.State.Running}}", identity, timeout=_START)
            if state.stdout.strip() != b"true":
                raise UnavailableError("keeping containers: this guest ends by itself", "give one that waits or serves")
        except BaseException:
            stop()
            raise
        return stop

    def used(self) -> int:
        """Bytes of the processes that each container brings: containerd's shim and what runs in it (PSS).

        What dockerd, containerd and the kernel keep for a container is not in it.
        Raises UnavailableError where the engine's processes cannot be seen: in a virtual machine, or far away.
        """
        if not self._ids:
            return 0
        time.sleep(_SETTLE)
        used = sum(map(proportional_size, families(self._ids)))
        if not used:
            raise UnavailableError("reading the memory of containers: the engine's processes cannot be seen from here")
        return used


def families(words: Collection[str], proc: Path = Path("/proc")) -> set[int]:
    """The processes with one of these words on their command line, and all their descendants (proc(5))."""
    children: dict[int, list[int]] = {}
    found: list[int] = []
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            found += [int(folder.name)] if not set(words).isdisjoint(command) else []
    family: set[int] = set()
    while found:
        process = found.pop()
        family.add(process)
        found += [child for child in children.get(process, []) if child not in family]
    return family


def proportional_size(process: int, proc: Path = Path("/proc")) -> int:
    """Bytes of a process, pages shared with others by their share; 0 where it is gone or hidden."""
    with suppress(OSError):
        for line in (proc / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
