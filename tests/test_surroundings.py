"""What a benchmark ran on is read from what Linux says, and a machine that says less is no failure."""

from pathlib import Path

from tests.conftest import sample
from wasmdock.cli.bench_crowds import families, proportional_size
from wasmdock.engine import Engine
from wasmdock.engine.held import Held
from wasmdock.pack import extract
from wasmdock.surroundings import parse_cpu, parse_memory, surroundings


def test_processor_is_named_as_it_names_itself() -> None:
    assert parse_cpu("processor\t: 0\nmodel name\t: Abacus  3000 @ 2 GHz\n") == "Abacus 3000 @ 2 GHz"
    assert parse_cpu("") == ""


def test_memory_is_what_the_kernel_has() -> None:
    assert parse_memory("MemFree: 1 kB\nMemTotal:       8058324 kB\n") == "7.7 GiB"
    assert parse_memory("") == ""


def test_surroundings_say_what_a_reader_asks_first() -> None:
    assert {"cpu", "cores", "memory", "system", "governor", "load"} <= set(surroundings())


def process(proc: Path, number: int, parent: int, command: str, pss: int = 0) -> None:
    folder = proc / str(number)
    folder.mkdir()
    (folder / "stat").write_text(f"{number} (a (b) c) S {parent} 0 0")
    (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (folder / "smaps_rollup").write_text(f"ffff [rollup]\nRss: 99 kB\nPss: {pss} kB\nPss_Dirty: 1 kB\n")


def test_family_of_a_container_is_its_shim_and_all_below(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, "containerd-shim-runc-v2 -namespace moby -id abc123", 5000)
    process(tmp_path, 11, 10, "/hello")
    process(tmp_path, 12, 11, "child")
    process(tmp_path, 20, 1, "containerd-shim-runc-v2 -namespace moby -id other")
    process(tmp_path, 21, 20, "grep abc123x")
    assert families({"abc123"}, tmp_path) == {10, 11, 12}
    assert proportional_size(10, tmp_path) == 5000 * 1024


def test_process_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert proportional_size(7, tmp_path) == 0


def test_held_instances_of_modules_and_components_are_given_back() -> None:
    for name in ("hello", "component_cli", "exit_code"):
        held = Held(Engine(), extract(sample(name)), is_component=name.startswith("component"))
        stops = [held.start(("guest",)) for _ in range(3)]
        for stop in stops:
            stop()
