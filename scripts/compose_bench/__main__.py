"""The command line of scripts/bench-compose: which measures, how often, of how many services; Markdown on stdout."""

import argparse
import http.client
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.compose_bench.project import NATIVE_HELLO, ROOT, WASMDOCK, Project, prepare, wasm, write

GOAL = 0.3
MIB = 1 << 20
FIRST_PORT = 21_000
PATIENCE = 30.0


def ready(rounds: int, folder: Path) -> Iterator[str]:
    """`up -d` of hello, as Wasm in-process and as a native container, in turns."""
    prepare("docker", "buildx", "build", "--load", "--provenance=false", "--target=native", f"--tag={NATIVE_HELLO}",
            *builder(), "dockerfiles/hello-world")  # fmt: skip
    native = write(folder / "native.json", {"hello": {"image": NATIVE_HELLO}})
    ours = Project("wasmdock-bench-hello", ROOT / "compose" / "hello.yaml", True)
    theirs = Project("wasmdock-bench-native", native, False)
    times: dict[Project, list[float]] = {ours: [], theirs: []}
    for each in times:
        each.up()
        each.down()
    for _ in range(rounds):
        for each, found in times.items():
            found.append(each.up())
            each.down()
    mine, other = (statistics.median(found) for found in times.values())
    verdict = "met" if mine / other <= GOAL else "not met"
    yield "| `up -d` of hello | median | least |"
    yield "|---|---|---|"
    yield f"| Wasm, in-process | {mine * 1000:.0f} ms | {min(times[ours]) * 1000:.0f} ms |"
    yield f"| native container | {other * 1000:.0f} ms | {min(times[theirs]) * 1000:.0f} ms |"
    yield f"\n{rounds} rounds in turns; ratio of medians {mine / other:.2f}, goal {GOAL}: {verdict}\n"


def builder() -> list[str]:
    """The toolchain that is here already."""
    found = subprocess.run(["docker", "image", "inspect", "wasmdock/builder"], capture_output=True, check=False)
    return ["--build-arg=BUILDER=wasmdock/builder"] if found.returncode == 0 else []


def many(count: int, folder: Path) -> Iterator[str]:
    """Services that wait, then services that answer."""
    yield f"| {count} services | ready after | memory | each |"
    yield "|---|---|---|---|"
    prepare(WASMDOCK, "pack", "tests/guests/sleep_hour.wat", "-t", "wasmdock-bench-wait", "--name", "wait")
    prepare(WASMDOCK, "build", "dockerfiles/http-hello", "-t", "wasmdock-bench-http")
    waiting = {f"s{number}": wasm("wasmdock-bench-wait") for number in range(count)}
    native = {f"s{number}": {"image": "debian:trixie-slim", "command": "sleep 3600"} for number in range(count)}
    serving = {
        f"s{number}": wasm("wasmdock-bench-http", ports=[f"127.0.0.1:{FIRST_PORT + number}:8080"])
        for number in range(count)
    }
    yield row("Wasm, in-process", Project("wasmdock-bench-many", write(folder / "wait.json", waiting), True), 0)
    yield row("native containers", Project("wasmdock-bench-natives", write(folder / "natives.json", native), False), 0)
    http_project = Project("wasmdock-bench-http", write(folder / "http.json", serving), True)
    yield row("wasi:http, in-process, each asked once", http_project, count)


def row(name: str, project: Project, asked: int) -> str:
    """Start, ask, weigh, remove."""
    try:
        seconds = project.up()
        began = time.perf_counter()
        for number in range(asked):
            ask(FIRST_PORT + number)
        seconds += time.perf_counter() - began
        time.sleep(2.0)  # until all have done what a start takes
        memory = project.memory()
    finally:
        project.down()
    count = asked or name_count(project)
    return f"| {name} | {seconds:.2f} s | {memory / MIB:.0f} MiB | {memory / MIB / count:.1f} MiB |"


def name_count(project: Project) -> int:
    """How many services the file has."""
    return len(json.loads(project.file.read_text())["services"])


def ask(port: int) -> None:
    """One request, until it is answered."""
    until = time.perf_counter() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            if time.perf_counter() > until:
                raise
            time.sleep(0.01)
        finally:
            connection.close()


def main() -> None:
    names = ("ready", "many")
    parser = argparse.ArgumentParser(prog="scripts/bench-compose", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=",".join(names))
    parser.add_argument("--rounds", type=int, default=30, help="of ready (default: 30)")
    parser.add_argument("--services", type=int, default=50, help="of many (default: 50)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if "ready" in options.only:
            for line in ready(options.rounds, Path(name)):
                print(line, flush=True)
        if "many" in options.only:
            for line in many(options.services, Path(name)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
