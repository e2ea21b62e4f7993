"""Fixtures and options for all tests."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import requirements
from tests.command_line import CommandLine
from wasmdock.engine import assemble
from wasmdock.guest import Artifact, Target
from wasmdock.inprocess import InProcessRuntime
from wasmdock.oci.image import Image
from wasmdock.pack import pack
from wasmdock.wasm_sniff import Form, form_of

GUESTS = Path(__file__).parent / "guests"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require", default="", help="docker,cargo,registry: a failure where missing")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: children would inherit deafness
        signal.signal(signal.SIGINT, signal.default_int_handler)
    requirements.REQUIRED.update(filter(None, config.getoption("--require").split(",")))


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> InProcessRuntime:
    """An in-process runtime with a compiled-code cache of this session's own."""
    return InProcessRuntime(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is only costly to make again."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def wasmdock(tmp_path: Path, shared: Path) -> CommandLine:
    """The command line in a process of its own."""
    return CommandLine.within(tmp_path / "wasmdock-home", shared)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test touches the user's store; the caches of slow things stay where they are."""
    monkeypatch.setenv("WASMDOCK_HOME", str(tmp_path / "wasmdock-home"))
    yield


def sample(name: str) -> Image:
    """The image of a sample guest in tests/guests."""
    data = assemble((GUESTS / f"{name}.wat").read_bytes(), name)
    target = Target.WASIP2 if form_of(data) is Form.COMPONENT else Target.WASIP1
    return pack(Artifact(name.replace("_", "-"), target, data))


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A command line called in this very process sets signals as a program does: not beyond its test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
