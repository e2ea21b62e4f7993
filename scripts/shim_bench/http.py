"""Requests per second of the http-hello guest: wasmdock-host beside `wasmtime serve`, one instance for each request."""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from scripts.shim_bench.engines import ROOT, guest
from wasmdock.cli.context import Context
from wasmdock.guest import Target
from wasmdock.http_host import Launch, compile_for_host
from wasmdock.runtime import MIB, Limits
from wasmdock.shim import find_programs

GOAL = 0.9  # of wasmtime serve
CONNECTIONS = 16
LIMITS = Limits(memory=128 * MIB, tables=1_000_000, timeout=30.0)
SAME_LIMITS = ("max-memory-size=134217728", "max-table-elements=1000000", "timeout=30s")


def table(rounds: int, seconds: float) -> Iterator[str]:
    """Medians over rounds in which the servers take turns, each with the machine to itself."""
    load = next((name for name in ("oha", "wrk") if shutil.which(name)), None)
    if load is None:
        yield "(no requests per second: neither oha nor wrk is on PATH)"
        return
    component = guest("http-hello", Target.WASIP2).data
    with tempfile.TemporaryDirectory(prefix="shim-bench-") as folder:
        file = Path(folder, "http-hello.wasm")
        file.write_bytes(component)
        servers = _servers(file, component)
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, (argv, environment) in servers.items():
                rates[name].append(_rate(argv, environment, LOADS[load], seconds))
    yield f"**Requests per second**, http-hello, {CONNECTIONS} connections, {load}, median of {rounds} rounds:"
    yield ""
    yield "| server | requests/s | beside wasmtime serve |"
    yield "|---|---:|---|"
    peer = statistics.median(rates.get("wasmtime serve", [float("nan")]))
    for name, found in rates.items():
        share = statistics.median(found) / peer
        judged = (
            f"{share:.2f} (goal >= {GOAL}: {'met' if share >= GOAL else 'missed'})" if name != "wasmtime serve" else ""
        )
        yield f"| {name} | {statistics.median(found):.0f} | {judged if peer == peer else 'wasmtime is not on PATH'} |"
    yield ""


def _servers(file: Path, component: bytes) -> dict[str, tuple[list[str], Mapping[str, str]]]:
    """By name the argv, in which ADDRESS stands for where to listen, and the environment."""
    program = find_programs(None, ROOT) / "wasmdock-host"
    code = compile_for_host(program, component, Context(os.environ).cache)
    launch = Launch(code, address="ADDRESS", limits=LIMITS).variables()
    servers: dict[str, tuple[list[str], Mapping[str, str]]] = {
        "wasmdock-host": ([str(program), "/http-hello.wasm"], launch)
    }
    if wasmtime := shutil.which("wasmtime"):
        limits = [word for limit in SAME_LIMITS for word in ("-W", limit)]
        argv = [wasmtime, "serve", "-S", "cli", *limits, "--addr=ADDRESS", str(file)]
        servers["wasmtime serve"] = (argv, os.environ)
    return servers


def _rate(
    argv: list[str], environment: Mapping[str, str], load: Callable[[str, float], float], seconds: float
) -> float:
    """Start a server, wait until it answers, load it, end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [word.replace("ADDRESS", address) for word in argv]
    variables = {name: value.replace("ADDRESS", address) for name, value in environment.items()}
    with subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(address, server)
            load(f"http://{address}/", min(1.0, seconds))  # not counted
            return load(f"http://{address}/", seconds)
        finally:
            server.kill()


def _wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _oha(url: str, seconds: float) -> float:
    argv = ["oha", "-z", f"{seconds:g}s", "-c", str(CONNECTIONS), "--no-tui", "--output-format", "json", url]
    said = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return float(said["summary"]["requestsPerSec"]) * float(said["summary"]["successRate"])


def _wrk(url: str, seconds: float) -> float:
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", url]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if found is None or "Non-2xx" in said:
        raise RuntimeError(f"loading {url}: {said}")
    return float(found[1])


LOADS: dict[str, Callable[[str, float], float]] = {"oha": _oha, "wrk": _wrk}
