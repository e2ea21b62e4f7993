"""Which road an image takes, and why: every row of the table."""

import pytest

from wasmdock.errors import UnavailableError, UsageError
from wasmdock.launch import WASM_PLATFORM, WASM_RUNTIME, Launch, Machine, Nature, Road, plan_launch

CORE, COMPONENT, HTTP, NATIVE = Nature.CORE_COMMAND, Nature.COMPONENT_COMMAND, Nature.HTTP, Nature.NATIVE
BARE = Machine()
STOPPED = Machine(trouble="no Docker engine answers at /run/docker.sock")
PLAIN = Machine("Docker 26.1.5")
PROVEN = Machine("Docker 26.1.5", wasm_proven=True)
HERE, DOCKER = Road.PROCESS, Road.DOCKER

ROADS = [
    # nature, machine, wanted, road, a part of the reason
    (CORE, BARE, None, HERE, "no Docker engine answers"),
    (CORE, STOPPED, None, HERE, "no Docker engine answers at /run/docker.sock"),
    (CORE, PLAIN, None, HERE, "Docker 26.1.5 has not been seen to run Wasm with this runtime (--on docker tries it)"),
    (CORE, PROVEN, None, DOCKER, "Docker 26.1.5 runs Wasm containers"),
    (CORE, PROVEN, HERE, HERE, "you asked for it"),
    (CORE, PLAIN, DOCKER, DOCKER, "you asked for it"),
    (COMPONENT, BARE, None, HERE, "in-process, for a WASI 0.2 command component"),
    (COMPONENT, PLAIN, None, HERE, "has not been seen to run Wasm with this runtime"),
    (COMPONENT, PROVEN, None, DOCKER, "in Docker, for a WASI 0.2 command component"),
    (HTTP, PLAIN, None, DOCKER, "wasi:http is served by the engine's Wasm runtime"),
    (HTTP, PROVEN, DOCKER, DOCKER, "you asked for it"),
    (HTTP, PROVEN, HERE, HERE, "by wasmdock-host without a container"),
    (HTTP, Machine(serves_http=True), None, HERE, "no Docker engine answers"),
    (HTTP, PLAIN._replace(serves_http=True), None, HERE, "has not been seen to run Wasm with this runtime"),
    (HTTP, PROVEN._replace(serves_http=True), None, DOCKER, "runs Wasm containers"),
    (NATIVE, PLAIN, None, DOCKER, "a native program needs a container"),
    (NATIVE, PROVEN, DOCKER, DOCKER, "you asked for it"),
]
REFUSALS = [
    # nature, machine, wanted, error, its message, a part of its hint
    (CORE, BARE, DOCKER, UnavailableError, "in Docker: no engine answers", "scripts/engine start"),
    (CORE, STOPPED, DOCKER, UnavailableError, "no Docker engine answers at /run/docker.sock", "DOCKER_HOST"),
    (HTTP, BARE, None, UnavailableError, "running a wasi:http component in Docker: no engine answers", "scripts/shim"),
    (NATIVE, PROVEN, HERE, UsageError, "only Wasm runs here", "leave --on process out"),
    (NATIVE, BARE, None, UnavailableError, "running a native Linux program in Docker: no engine", "start Docker"),
]


@pytest.mark.parametrize("nature, machine, wanted, road, why", ROADS)
def test_image_takes_the_road_that_leads_there(
    nature: Nature, machine: Machine, wanted: Road | None, road: Road, why: str
) -> None:
    launch = plan_launch(nature, machine, wanted)
    assert launch.road is road
    assert why in launch.why


@pytest.mark.parametrize("nature, machine, wanted, error, message, hint", REFUSALS)
def test_road_that_leads_nowhere_is_refused_with_its_cure(
    nature: Nature, machine: Machine, wanted: Road | None, error: type[UsageError], message: str, hint: str
) -> None:
    with pytest.raises(error) as raised:
        plan_launch(nature, machine, wanted)
    assert message in raised.value.message
    assert hint in raised.value.hint


@pytest.mark.parametrize("machine", [BARE, PROVEN])
@pytest.mark.parametrize("wanted", [None, HERE, DOCKER])
def test_library_is_invoked_and_not_run(machine: Machine, wanted: Road | None) -> None:
    with pytest.raises(UsageError, match="running a library: it has no command") as raised:
        plan_launch(Nature.LIBRARY, machine, wanted)
    assert "wasmdock invoke" in raised.value.hint


@pytest.mark.parametrize("nature", [CORE, COMPONENT, HTTP])
def test_wasm_in_docker_needs_the_runtime_and_the_platform(nature: Nature) -> None:
    launch = plan_launch(nature, PROVEN)
    assert (launch.runtime, launch.platform) == (WASM_RUNTIME, WASM_PLATFORM)


def test_native_image_in_docker_needs_no_flags() -> None:
    launch = plan_launch(NATIVE, PROVEN)
    assert (launch.runtime, launch.platform) == ("", "")


def test_launch_in_process_needs_no_flags() -> None:
    assert plan_launch(CORE, BARE) == Launch(HERE, "in-process, for a WASI preview 1 command: no Docker engine answers")
