"""The design's rules, kept by a test: layers, one importer per package, who may speak, and how long things get."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "wasmdock"

# From the bottom up. A module imports what stands before it, in its own layer too; `*` is a family, whose members
# may import one another. Cycles there are none (but see CYCLES).
LAYERS = {
    "1 values, no I/O": """
        errors cure program_size digits amounts escaping stats wit values wit_values wasm_* capabilities wasm inspection
        http_message
        oci oci.fields oci.reference oci.manifest oci.compression oci.fixed oci.image oci.image_index oci.tar
        oci.layer""",
    "2 one concern each": """
        ready passing aside given ports
        runtime grants stack launch process lifeline attach relay guest guest_files guest_inputs dep_info results
        surroundings code_cache watch interrupts oci.*""",
    "3 the ends of the pipeline": """
        shape pack convert sbom keys cosign provenance difference optimize
        cargo host_cargo docker* builder build shim engine.* engine http_host serve
        report_tables report report_ranking plot_theme plot_canvas plot_curves plots report_html""",
    "4 what stands on them": """
        explain child programs inprocess child_main compose* bench* budget claims doctor_facts engine_files foresight
        doctor* engine_container testing""",
    "5 the command line": "cli*",
    "6 the program": "__main__",
}
ORDER = [name for names in LAYERS.values() for name in names.split()]

# Third-party packages and the modules that may import them.
IMPORTERS = {
    "wasmtime": ("engine.",),
    "docker": ("docker",),
    "requests": ("docker",),  # what docker-py raises
    "urllib3": ("docker", "oci.registry_wire"),  # what docker-py raises; TLS within TLS
    "yaml": ("compose",),
    "rich": ("cli.bench_live",),
    "matplotlib": ("plots", "plot_canvas", "plot_curves"),
    "shtab": ("cli.completion",),
    "zstandard": ("oci.compression",),
    "cryptography": ("keys",),
    "testcontainers": ("testing",),
    "pytest": ("testing",),
}

# Imports that close a circle, to be cut.
CYCLES = {
    ("cli.compose", "cli.compose_up"),
    ("cli.compose_process", "cli.compose"),
}

# Who else prints, ends the process or reads the environment, and why. What runs as `python -m` has streams, arguments
# and an end of its own.
SPEAKERS = {
    ("__main__", "print"): "--version answers before the command line is loaded",
    ("process", "os.environ"): "a child of ours starts with our own environment; a guest in it gets none of it",
    ("testing", "os.environ"): "it stands in for the command line in other people's tests",
    ("lifeline", "os._exit"): "a child whose parent died before it could ask to die with it",
    ("compose_child", "os._exit"): "it is forked: what its parent registered for its own end must not run twice",
}
OF_A_PROGRAM = ("os._exit", "sys.exit", "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr")
LONG_SCRIPTS = {"scripts/engine", *(f"dockerfiles/engine/{name}.sh" for name in ("engine", "enter", "run"))}
HEAVY = "wasmtime docker rich tarfile ssl asyncio requests urllib3 http.client email multiprocessing typing_extensions"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below `wasmdock.`; the package itself is the public API."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    del found["__init__"]
    return found


def imports(tree: ast.Module) -> Iterator[str]:
    """Every name imported anywhere in a module, late imports and those for types included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below.removeprefix("wasmdock.") in modules() else node.module


def own_imports(name: str) -> set[str]:
    found = {each.removeprefix("wasmdock.") for each in imports(modules()[name]) if each.startswith("wasmdock.")}
    return found - {name}


def place(name: str) -> int:
    """Where a module stands: by its own name, else by its family's; -1 for nowhere."""
    families = (index for index, each in enumerate(ORDER) if fnmatchcase(name, each))
    return ORDER.index(name) if name in ORDER else next(families, -1)


def test_every_module_has_a_place_in_a_layer() -> None:
    assert [name for name in modules() if place(name) < 0] == [], "add it to LAYERS above"


@pytest.mark.parametrize("name", modules())
def test_module_imports_only_what_stands_before_it(name: str) -> None:
    after = [each for each in own_imports(name) if place(each) >= place(name)]
    assert [each for each in after if place(each) != place(name) or "*" not in ORDER[place(name)]] == []


def test_modules_do_not_import_one_another_in_circles() -> None:
    graph = {name: own_imports(name) - {each for one, each in CYCLES if one == name} for name in modules()}
    assert list(TopologicalSorter(graph).static_order())


def test_only_the_program_imports_the_command_line() -> None:
    importers = [name for name in modules() if any(each.startswith("cli") for each in own_imports(name))]
    assert [name for name in importers if not name.startswith("cli")] == ["__main__"]


@pytest.mark.parametrize("name, forbidden", [
    ("bench", "docker engine inprocess"),  # it sees the Runtime protocol
    ("report", "bench inprocess docker"),  # it sees results, never how they were measured
    ("launch", "process docker doctor"),  # it decides, and asks nobody
    ("pack", "process docker engine"),
])  # fmt: skip
def test_stage_does_not_see_the_others_means(name: str, forbidden: str) -> None:
    seen = {each.partition(".")[0].partition("_")[0] for each in own_imports(name)}
    assert seen & set(forbidden.split()) == set()


def test_third_party_package_has_its_importer() -> None:
    for name, tree in modules().items():
        packages = {each.partition(".")[0] for each in imports(tree)} - {"wasmdock"}
        for package in packages - sys.stdlib_module_names:
            allowed = IMPORTERS.get(package, ())
            assert f"{name}.".startswith(tuple(allowed)), f"{name} imports {package}"


def speech(tree: ast.Module) -> Iterator[str]:
    """What prints, ends the process or reads the environment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("print", "input", "exit"):
            yield node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            text = f"{node.value.id}.{node.attr}"
            if text in ("os.environ", "os.getenv", "os._exit", "sys.exit", "sys.argv", "sys.stdout", "sys.stderr"):
                yield text


def is_program(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)


def test_only_the_command_line_prints_exits_and_reads_the_environment() -> None:
    others = {name: tree for name, tree in modules().items() if not name.startswith("cli")}
    found = {(name, what) for name, tree in others.items() for what in speech(tree)}
    assert {each for each in found if not (is_program(others[each[0]]) and each[1] in OF_A_PROGRAM)} == set(SPEAKERS)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_file_has_at_most_400_lines_and_its_functions_60(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [each.name for each in functions if (each.end_lineno or 0) - each.lineno >= 60] == []


def test_script_has_at_most_40_lines() -> None:
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    scripts += (ROOT / "dockerfiles").rglob("*.sh")
    long = {str(path.relative_to(ROOT)) for path in scripts if len(path.read_text().splitlines()) > 40}
    assert long <= LONG_SCRIPTS


def test_no_module_is_named_after_nothing() -> None:
    words = {word for name in modules() for word in name.replace(".", "_").split("_")}
    assert words & {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"} == set()


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_help_and_version_load_nothing_heavy(flag: str) -> None:
    program = f"""
import sys
sys.argv[1:] = [{flag!r}]
from wasmdock.__main__ import main
try:
    main()
except SystemExit:
    pass
print("\\nloaded:", *(name for name in {HEAVY.split()!r} if name in sys.modules))"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert completed.stdout.rpartition("loaded:")[2].split() == []


def test_version_loads_no_second_module_of_ours() -> None:
    program = "import sys; sys.argv[1:] = ['--version']; import wasmdock.__main__ as w; w.main(); print(*sys.modules)"
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours = [name for name in completed.stdout.split() if name.startswith("wasmdock.")]
    assert ours == ["wasmdock.__main__"]
