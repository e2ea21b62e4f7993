"""The README's commands print what it says they print."""

import argparse
import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import require_cargo
from wasmdock.cli.parser import build_parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
_END = "__end_of_command__"


@pytest.mark.cargo
def test_every_command_of_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    require_cargo()
    blocks = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    steps = [step for block in blocks for step in _steps(block)]
    assert len(steps) > 15
    for (command, wanted), printed in zip(steps, _printed([command for command, _ in steps], tmp_path), strict=True):
        assert _matches(wanted, printed), f"$ {command}\nwanted:\n{wanted}\nprinted:\n{printed}"


@pytest.mark.cargo
def test_the_readmes_library_example_runs(tmp_path: Path) -> None:
    require_cargo()
    build = ["wasmdock build dockerfiles/hello-world", "wasmdock extract hello-world"]
    list(_printed(build, tmp_path))
    example = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[0]
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, timeout=120, check=True)
    assert done.stdout == b"exited 3\n"


def test_every_verb_has_an_example_that_parses() -> None:
    action = next(each for each in build_parser()._actions if isinstance(each, argparse._SubParsersAction))
    for name, parser in action.choices.items():
        example = re.search(r"wasmdock [^\")]+", parser.epilog)
        assert example, name
        assert build_parser().parse_args(example[0].split()[1:]).verb, name


def test_every_verb_of_the_readme_is_a_verb() -> None:
    help_text = build_parser().format_help()
    for verb in set(re.findall(r"^(?:\$ )?wasmdock ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^    {verb}\b", help_text, re.MULTILINE), verb


def _matches(wanted: str, printed: str) -> bool:
    """Whether it is what was wanted; Docker carries stdout and stderr apart, so that their lines may change places."""
    texts = ((wanted, printed), ("".join(sorted(wanted.splitlines(True))), "".join(sorted(printed.splitlines(True)))))
    return any(doctest.OutputChecker().check_output(*each, doctest.ELLIPSIS) for each in texts)


def _steps(block: str) -> list[tuple[str, str]]:
    """Commands with the output under each."""
    return [(part.split("\n", 1)[0], part.split("\n", 1)[1]) for part in block.split("$ ")[1:] if part]


def _printed(commands: list[str], folder: Path) -> list[str]:
    """What each command prints, stdout and stderr together, in one shell that starts in `folder`."""
    (folder / "dockerfiles").symlink_to(ROOT / "dockerfiles")
    script = "".join(f"{command}\necho {_END}\n" for command in commands)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=280,
        check=False,
    )
    printed = re.sub(r"(?m)^wasmdock: building .*\n", "", done.stdout.decode())  # said only where it was not built yet
    return printed.split(f"{_END}\n")[:-1]
