"""`docker run --rm` of hello from the client's start to its end: Wasm, and native under runc and crun, in turns."""

import random
import statistics
import time
from collections.abc import Iterator

from scripts.shim_bench.engines import WASM, Engine, guest
from wasmdock.guest import Target

NETWORKS = {"bridge": 0.9, "none": 0.85}  # the goal: Wasm at most so much of native under runc


def head() -> Iterator[str]:
    yield "**Start to end** of `docker run --rm`, hello, medians in ms:"
    yield ""
    yield "| engine | network | Wasm | native (runc) | native (crun) | Wasm / runc | Wasm / crun | goal |"
    yield "|---|---|---:|---:|---:|---:|---:|---|"


def rows(engine: Engine, rounds: int) -> Iterator[str]:
    """One row per network."""
    wasm = engine.wasm_image(guest("hello-world", Target.WASIP1))
    native = engine.native_image(guest("hello-world", Target.NATIVE))
    cases = {"wasm": (*WASM, wasm), "runc": ("--runtime=runc", native), "crun": ("--runtime=crun", native)}
    for network, goal in NETWORKS.items():
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for turn in range(rounds + 1):  # the first is not counted
            for name in random.sample(list(cases), len(cases)):
                began = time.perf_counter()
                engine.docker("run", "--rm", "--pull=never", f"--network={network}", *cases[name])
                taken[name] += [time.perf_counter() - began] if turn else []
        wasm_time, runc, crun = (statistics.median(taken[name]) * 1e3 for name in cases)
        met = "met" if wasm_time / runc <= goal else "missed"
        times = f"{wasm_time:.0f} | {runc:.0f} | {crun:.0f} | {wasm_time / runc:.2f} | {wasm_time / crun:.2f}"
        yield f"| {engine.suite} | {network} | {times} | <= {goal}: {met} |"
