"""What containers that do nothing keep in memory: one that serves, and many that sleep, Wasm beside native."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.shim_bench.engines import ROOT, WASM, Engine, guest
from wasmdock.engine import assemble
from wasmdock.guest import Artifact, Target

MANY = 50
SETTLE = 2.0  # seconds until a start is over, all its helpers gone


def head() -> Iterator[str]:
    yield "**Memory** of what is in the containers, and of containerd's shims beside them, in MiB (PSS):"
    yield ""
    yield "| engine | containers | in them | each | their shims |"
    yield "|---|---|---:|---:|---:|"


def rows(engine: Engine, _rounds: int) -> Iterator[str]:
    """One row per kind of container."""
    text = (ROOT / "tests/guests/sleep_hour.wat").read_bytes()
    sleeper = engine.wasm_image(Artifact("sleep-hour", Target.WASIP1, assemble(text, "sleep_hour")))
    served = engine.wasm_image(guest("http-hello", Target.WASIP2))
    native = engine.native_image(guest("http-hello/native", Target.NATIVE))
    cases: dict[str, tuple[int, Sequence[str]]] = {
        "http-hello, Wasm": (1, (*WASM, served)),
        "http-hello, native": (1, (native,)),
        "asleep, Wasm": (MANY, (*WASM, sleeper)),
        "asleep, native": (MANY, ("--entrypoint=sleep", native, "3600")),
    }
    for name, (count, words) in cases.items():
        inside, shims = _measure(engine, count, words)
        yield f"| {engine.suite} | {count} {name} | {inside:.1f} | {inside / count:.2f} | {shims:.1f} |"


def _measure(engine: Engine, count: int, words: Sequence[str]) -> tuple[float, float]:
    def start(_: int) -> str:
        return engine.docker("run", "--detach", "--pull=never", "--network=none", *words)

    started: list[str] = []
    try:
        with ThreadPoolExecutor(4) as threads:
            started.extend(threads.map(start, range(count)))
        time.sleep(SETTLE)
        return _weigh(started)
    finally:
        if started:
            engine.docker("rm", "--force", *started)


def _weigh(containers: Sequence[str]) -> tuple[float, float]:
    """MiB of the processes in the containers' cgroups, and of the shims that were started for them."""
    inside = shims = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        groups, line = _read(process / "cgroup"), _read(process / "cmdline")
        if any(container in line for container in containers) and "containerd-shim" in line:
            shims += _pss(process)
        elif any(container in groups for container in containers):
            inside += _pss(process)
    return inside, shims


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def _pss(process: Path) -> float:
    lines = (line.split() for line in _read(process / "smaps_rollup").splitlines())
    return next((int(words[1]) / 1024 for words in lines if words[:1] == ["Pss:"]), 0.0)
