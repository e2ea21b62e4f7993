"""The program wasmdock-host with the hello guest, from exec to exit: what a start costs besides Docker."""

import os
import random
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.shim_bench.engines import guest
from wasmdock.cli.context import Context
from wasmdock.guest import Target
from wasmdock.http_host import Launch, compile_for_host
from wasmdock.shim import find_programs

GOAL = 4e-3  # seconds
TURNS = 7  # measures per round: they are short


def table(rounds: int) -> Iterator[str]:
    """Medians of wasmdock-host and of /bin/true."""
    checkout = Path(__file__).resolve().parents[2]
    program = find_programs(None, checkout) / "wasmdock-host"
    code = compile_for_host(program, guest("hello-world", Target.WASIP1).data, Context(os.environ).cache)
    cases: dict[str, tuple[list[str], Mapping[str, str]]] = {
        "wasmdock-host, hello": ([str(program), "/hello-world.wasm"], Launch(code).variables()),
        "/bin/true": (["/bin/true"], {}),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds * TURNS):
        for name in random.sample(list(cases), len(cases)):
            taken[name].append(seconds(*cases[name]))
    yield "**Exec to exit**, compiled code kept, in ms:"
    yield ""
    yield "| program | median | 90 % | goal |"
    yield "|---|---:|---:|---|"
    for name, times in taken.items():
        median, high = statistics.median(times), statistics.quantiles(times, n=10)[-1]
        goal = f"<= {GOAL * 1e3:.0f}: {'met' if median <= GOAL else 'missed'}" if "host" in name else ""
        yield f"| {name} | {median * 1e3:.2f} | {high * 1e3:.2f} | {goal} |"
    yield ""


def seconds(argv: list[str], environment: Mapping[str, str]) -> float:
    """One run with nothing to read and nobody to read it. Raises RuntimeError where it fails."""
    nothing = os.open(os.devnull, os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, nothing, number) for number in (0, 1)]
    began = time.perf_counter()
    _, status = os.waitpid(os.posix_spawn(argv[0], argv, dict(environment), file_actions=streams), 0)
    taken = time.perf_counter() - began
    os.close(nothing)
    if status:
        raise RuntimeError(f"{argv[0]}: ended with {os.waitstatus_to_exitcode(status)}")
    return taken
