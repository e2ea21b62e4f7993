"""The same image gives the same output and exit code in this process and in Docker."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.requirements import require_cargo, require_docker

ROOT = Path(__file__).parent.parent
VALID = (
    "96D7065598D79299AD539B1299E83196EA19A2660342ED480FD1500E813E636D"
    "CA4112D3A49B783B207219B432E7F0882D8F3840D6D7591ECA271CB028A3D608"
)
KEY = "D0A6947EF7BDA615D38B43A896AE6EA6FDE87F98729C18B6D9AB447051B0E7A0"
FLIPPED = VALID[:-1] + "9"
MOUNT = ("-v", "guest_dir:/")
CHECKER = ("-i", *MOUNT, "signature-checker")
ERROR = "signature-checker:"


@dataclass(frozen=True)
class Case:
    """One command line after `wasmdock run`, its stdin, and what must come of it."""

    name: str
    words: tuple[str, ...]
    code: int
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""


def _asked(answer: str = "") -> str:
    return f"message:\nsignature in hex:\npath of the certificate:\n{answer}"


IS_VALID, NOT_VALID = (_asked(f"The signature is {answer}.\n") for answer in ("valid", "NOT valid"))
CASES = (
    Case("greets", ("hello-world",), 0, stdout="Hello from wasmdock!\n"),
    Case("hands arguments over", ("hello-world", "--args", "a b", "ü"), 0, stdout="a b\nü\n"),
    Case("keeps the exit code", ("hello-world", "--exit", "77"), 77),
    Case("keeps stderr apart", ("hello-world", "--wrong"), 2, stderr="hello-world: unknown argument"),
    Case("greets as a component", ("hello-world:p2",), 0, stdout="Hello from wasmdock!\n"),
    Case("fails as a component", ("hello-world:p2", "--exit", "3"), 1),
    Case("says valid", CHECKER, 0, f"Hello WASI!\n{VALID}\ncertificate\n", IS_VALID),
    Case("says not valid", CHECKER, 1, f"Hello WASI!\n{FLIPPED}\ncertificate\n", NOT_VALID),
    Case("says not valid for a letter", CHECKER, 1, f"hello WASI!\n{VALID}\ncertificate\n", NOT_VALID),
    Case("refuses malformed hex", CHECKER, 2, "Hello WASI!\nxyz\ncertificate\n", stderr="not hex"),
    Case("refuses a short signature", CHECKER, 2, f"Hello WASI!\n{VALID[:-2]}\ncertificate\n", stderr=ERROR),
    Case("names a missing file", CHECKER, 2, f"Hello WASI!\n{VALID}\nnowhere\n", _asked(), "(os error 44)"),
    Case(
        "cannot leave its directory",
        CHECKER,
        2,
        f"Hello WASI!\n{VALID}\n../secret_key\n",
        _asked(),
        "Operation not permitted (os error 63)",
    ),
    Case("is empty without -i", (*MOUNT, "signature-checker"), 2, f"Hello WASI!\n{VALID}\n", stderr=ERROR),
    Case("traps with 134", ("trap.wat",), 134, stderr="unreachable"),
    Case("reports time running out", ("--timeout", "2s", "spin.wat"), 124, stderr="the time limit"),
    Case("ends a sleeper", ("--timeout", "2s", "sleep_hour.wat"), 124, stderr="the time limit"),
    Case("reports memory running out", ("--memory", "64m", "grow_memory.wat"), 137, stderr="out of memory"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guests in a store, a directory to mount, a secret beside it, and the sample guests."""
    require_cargo()
    folder = tmp_path_factory.mktemp("roads")
    (folder / "guest_dir").mkdir()
    (folder / "guest_dir" / "certificate").write_text(KEY + "\n")
    (folder / "secret_key").write_text("top secret\n")
    for sample in (ROOT / "tests" / "guests").glob("*.wat"):
        (folder / sample.name).symlink_to(sample)
    for guest, *flags in (
        ("hello-world",),
        ("hello-world", "--target", "wasip2", "-t", "hello-world:p2"),
        ("signature-checker",),
    ):
        _wasmdock(folder, "build", str(ROOT / "dockerfiles" / guest), *flags).check_returncode()
    return folder


@pytest.mark.cargo
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_run_in_this_process(case: Case, folder: Path) -> None:
    _check(case, folder, "process")


@pytest.mark.cargo
@pytest.mark.docker
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_run_in_docker(case: Case, folder: Path) -> None:
    require_docker()
    _check(case, folder, "docker")


def _check(case: Case, folder: Path, road: str) -> None:
    done = _wasmdock(folder, "run", "--on", road, *case.words, stdin=case.stdin)
    said = done.stderr.decode()
    assert (done.returncode, case.stderr in said) == (case.code, True), said
    if case.stdout:
        assert done.stdout.decode() == case.stdout
    if not case.stderr:
        assert said == ""


def _wasmdock(folder: Path, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "wasmdock", *words],
        cwd=folder,
        env={**os.environ, "WASMDOCK_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
        input=stdin.encode(),
        capture_output=True,
        timeout=250,
        check=False,
    )
