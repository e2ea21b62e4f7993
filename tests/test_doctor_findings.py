"""Broken machines, each with the doctor's sentence and its cure; and the launch decision from the same facts."""

import pytest

from tests.machines import HEALTHY, engine, machine
from wasmdock.cure import Cure
from wasmdock.doctor import judge, render
from wasmdock.doctor_facts import Cargo, Disk, Facts, Shim, ShimKind, Tool, Trial, machine_of, reason_not_to_try
from wasmdock.doctor_findings import Finding, Severity, findings
from wasmdock.errors import UnavailableError, UsageError, WasmdockError
from wasmdock.launch import Machine, Nature, Road, plan_launch

RUST = Cure(words="install Rust")
ADD = "rustup target add wasm32-wasip1"
OK, NOTE, WARNING, PROBLEM = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.PROBLEM
SHIM = "/usr/local/bin/containerd-shim-wasmtime-v1"
RUNWASI = Shim(ShimKind.FOREIGN, SHIM, "36.0.6")
ABSENT = Shim(ShimKind.ABSENT)
NO_STORE = engine(containerd_store=False, storage_driver="overlay2")
DESKTOP = engine(system="Docker Desktop", containerd_store=False, storage_driver="overlay2")
UP = "`wasmdock engine up` gives you an engine that has ours"
UPGRADE = "pip install --upgrade 'wasmtime>=50.0.1,<51'"
REFUSED = Tool(trouble='asking the Docker engine at "unix:///x" (DOCKER_HOST): permission denied', hint="usermod")

BROKEN: list[tuple[str, Facts, str, Severity, str, str]] = [
    # what is broken, the facts, subject, severity, the sentence, the cure
    ("no wasmtime", machine(wasmtime=Tool(trouble="No module named 'wasmtime'"), process=Trial(False)),
     "in-process", PROBLEM, "importing wasmtime: No module named 'wasmtime'", UPGRADE),
    ("an unpatched wasmtime wheel", machine(wasmtime=Tool("48.0.0")),
     "in-process", WARNING, "the wasmtime package is 48.0.0, which misses security fixes", UPGRADE),
    ("no Wasm in this process", machine(process=Trial(False, cause="mmap: cannot allocate memory")),
     "in-process", PROBLEM, "running a tiny module in this process: mmap: cannot allocate memory", UPGRADE),
    ("no rights to the socket", machine(engine=None, engine_trouble=REFUSED),
     "engine", PROBLEM, REFUSED.trouble, "usermod"),
    ("an engine that answers with errors", machine(engine=None, engine_trouble=Tool(trouble="it answered: 500 boom")),
     "engine", PROBLEM, "it answered: 500 boom", "`docker context ls`"),
    ("what is no engine", machine(engine=engine(version="", os="", api_version="")),
     "engine", PROBLEM, "does not say that it is a Docker engine", "`docker context ls`"),
    ("no folder at all", machine(cache=Disk(trouble="neither WASMDOCK_CACHE nor HOME is set", hint="set it")),
     "wasmdock's cache", PROBLEM, "neither WASMDOCK_CACHE nor HOME is set", "set it"),
    ("a Docker too old to take shims", machine(engine=engine(version="20.10.24+dfsg1")),
     "engine", PROBLEM, "does not take containerd shims by name; 24 and later do", "wasmdock engine up"),
    ("the newest engine, with runwasi's shim", machine(shim=RUNWASI, engine=engine(version="2.0.0-beta.24")),
     "Wasm runtime", PROBLEM, "it hangs Docker 2.0.0-beta.24", "wasmdock engine install"),
    ("Windows containers", machine(engine=engine(os="windows")),
     "engine", PROBLEM, "runs windows containers, Wasm needs Linux ones", "switch to Linux containers"),
    ("Docker's own image store", machine(engine=NO_STORE),
     "image store", PROBLEM, "Docker's own store (overlay2) cannot hold images for Wasm", '"containerd-snapshotter"'),
    ("Docker Desktop's old store", machine(engine=DESKTOP),
     "image store", PROBLEM, "Docker's own store (overlay2) cannot hold images for Wasm", "Settings, General"),
    ("images in the other store", machine(hidden_images=7),
     "hidden images", NOTE, "7 images lie in the engine's other image store and are not shown", "docker save"),
    ("no shim, as root", machine(shim=ABSENT),
     "Wasm runtime", PROBLEM, "the engine finds no containerd-shim-wasmtime-v1 on its PATH", "wasmdock engine install"),
    ("no shim, as a user", machine(shim=ABSENT, is_root=False),
     "Wasm runtime", PROBLEM, "the engine finds no containerd-shim", "sudo wasmdock engine install"),
    ("no shim in an engine of scripts/engine", machine(shim=ABSENT, prefix="/e/root/usr/local"),
     "Wasm runtime", PROBLEM, "finds no containerd-shim", "wasmdock engine install --prefix /e/root/usr/local"),
    ("no shim, and its programs are in a clone", machine(shim=ABSENT, prefix="/e/root/usr/local", has_runtime=False),
     "Wasm runtime", PROBLEM, "finds no containerd-shim",
     'in a clone of wasmdock, with cargo: wasmdock engine install --prefix /e/root/usr/local --from "$(scripts/shim)"'),
    ("no shim out of reach, and its programs are in a clone", machine(shim=ABSENT, prefix="", has_runtime=False),
     "Wasm runtime", PROBLEM, "finds no containerd-shim", '`wasmdock engine up --from "$(scripts/shim)"` (in a clone'),
    ("no shim in an engine out of reach", machine(shim=ABSENT, prefix=""),
     "Wasm runtime", PROBLEM, "finds no containerd-shim", UP),
    ("runwasi's shim on Docker 26", machine(shim=RUNWASI),
     "Wasm runtime", WARNING, "is not ours (wasmtime 36.0.6): it compiles at every start and ends silently with 137",
     "wasmdock engine install"),
    ("runwasi's shim on Docker 28", machine(shim=RUNWASI, engine=engine(version="28.5.2+dfsg2")),
     "Wasm runtime", PROBLEM, "is not ours (wasmtime 36.0.6): it hangs Docker 28.5.2+dfsg2", "wasmdock engine install"),
    ("a far engine", machine(shim=Shim(), prefix="", engine=engine(version="29.0.1")),
     "Wasm runtime", NOTE, "this machine cannot see which Wasm runtime the engine has", "wasmdock engine up"),
    ("a shim with missing patches", machine(shim=RUNWASI),
     "Wasm runtime's patches", WARNING, "wasmtime 36.0.6 misses fixes: 36.0.20 is the last of its line",
     "wasmdock engine install"),
    ("a shim of a dead line", machine(shim=Shim(ShimKind.FOREIGN, SHIM, "30.0.2")),
     "Wasm runtime's patches", WARNING, "wasmtime 30.0.2 is of a line that gets no security fixes any more",
     "wasmdock engine install"),
    ("a container that fails", machine(docker=Trial(False, cause="its disk is full", hint="prune")),
     "docker road", PROBLEM, "its disk is full", "prune"),
    ("no docker client", machine(client=Tool(trouble="there is no docker")),
     "docker client", PROBLEM, "there is no docker on PATH; the engine answers", "apt-get install docker-cli"),
    ("a docker client that fails", machine(client=Tool(trouble="docker --version: it is stopped", fails=True)),
     "docker client", PROBLEM, "docker --version: it is stopped", "`type docker`"),
    ("a docker client that fails, no engine", machine(client=Tool(trouble="it is stopped", fails=True), engine=None),
     "docker client", NOTE, "it is stopped", "`type docker`"),
    ("no buildx", machine(buildx=Tool(trouble="exit code 1")),
     "buildx", WARNING, "the guests' Dockerfiles cannot be built: no buildx", "install docker-buildx"),
    ("no compose", machine(compose=Tool(trouble="exit code 1")),
     "compose", NOTE, "docker has no compose", "install docker-compose"),
    ("no cargo, no engine", machine(cargo=Cargo(trouble="there is no cargo on PATH", cure=RUST), engine=None),
     "cargo", WARNING, "building on this machine: there is no cargo on PATH", "install Rust"),
    ("a cargo that fails for no known reason", machine(cargo=Cargo(trouble="rustc does not run"), engine=None),
     "cargo", WARNING, "rustc does not run", "install Rust"),
    ("no cargo, an engine", machine(cargo=Cargo(trouble="there is no cargo on PATH", cure=RUST)),
     "cargo", NOTE, "there is no cargo on PATH; builds take the builder image instead", "install Rust"),
    ("no Wasm target", machine(cargo=Cargo("rustc 1.85", "rustc has no target", (), Cure((ADD,)))),
     "cargo", NOTE, "rustc has no target", "rustup target add wasm32-wasip1"),
    ("a store that is read-only", machine(home=Disk("/home", trouble="cannot be written to", hint="set WASMDOCK_HOME")),
     "wasmdock's images", WARNING, '"/home": cannot be written to', "WASMDOCK_HOME"),
    ("a full disk", machine(cache=Disk("/cache", 100 << 20)),
     "wasmdock's cache", WARNING, '"/cache": 100 MiB are free, a build may need 2 GiB', "WASMDOCK_CACHE"),
    ("a full engine", machine(engine_disk=Disk("/var/lib/docker", 5 << 20)),
     "engine's disk", WARNING, '"/var/lib/docker": 5 MiB are free', "docker system prune"),
    ("a cache that is not ours", machine(cache=Disk("/cache", trouble="cannot be written to", hint="set it")),
     "wasmdock's cache", WARNING, '"/cache": cannot be written to', "set it"),
    ("a CA bundle that is gone", machine(ca_bundle=Disk("/ca.pem", trouble="cannot be read", hint="unset it")),
     "CA bundle", WARNING, '"/ca.pem": cannot be read', "unset it"),
    ("no CA bundle", machine(ca_bundle=Disk()),
     "CA bundle", NOTE, "none was found", "apt-get install ca-certificates"),
]  # fmt: skip


def the(subject: str, facts: Facts) -> Finding:
    return next(each for each in findings(facts) if each.subject == subject)


@pytest.mark.parametrize(
    "facts, subject, severity, sentence, cure", [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_doctor_names_the_cause_and_the_cure(
    facts: Facts, subject: str, severity: Severity, sentence: str, cure: str
) -> None:
    found = the(subject, facts)
    assert found.severity is severity
    assert sentence in found.text
    assert cure in found.cure


@pytest.mark.parametrize("facts", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_page_shows_every_cure_under_its_finding(facts: Facts) -> None:
    page = render(judge(facts)).splitlines()
    for each in findings(facts):
        if each.cure:
            line = next(number for number, text in enumerate(page) if each.text in text)
            assert page[line + 1].endswith(f"try: {each.cure}")


@pytest.mark.parametrize("facts", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_whatever_stands_in_the_way_has_a_cure(facts: Facts) -> None:
    bad = [each for each in findings(facts) if each.severity in (PROBLEM, WARNING)]
    assert [each for each in bad if not each.cure] == []


def test_healthy_machine_has_nothing_to_cure() -> None:
    assert [each for each in findings(HEALTHY) if each.severity is not OK] == []


def test_page_of_a_machine_is_one_screen() -> None:
    assert len(render(judge(HEALTHY)).splitlines()) <= 24


def test_page_ends_with_the_roads_that_work() -> None:
    both = "Wasm guests run in this process and in Docker; `wasmdock run` takes Docker where --on names neither."
    assert render(judge(HEALTHY)).splitlines()[-1] == both
    nothing = machine(process=Trial(False), docker=Trial(False))
    assert render(judge(nothing)).splitlines()[-1].startswith("Wasm guests run nowhere here yet")


@pytest.mark.parametrize("process", [True, False, None])
@pytest.mark.parametrize("docker", [True, False, None])
def test_machine_works_where_one_road_does(process: bool | None, docker: bool | None) -> None:
    facts = machine(process=Trial(process), docker=Trial(docker))
    assert judge(facts).works is (process is True or docker is True)


NOT_TRIED = [
    (machine(engine=None), "no engine answers"),
    (machine(client=Tool()), "there is no docker client"),
    (machine(engine=engine(os="windows")), "the engine runs windows containers"),
    (machine(engine=NO_STORE), "the engine's image store cannot hold Wasm images"),
    (machine(shim=ABSENT), "the engine has no Wasm runtime"),
    (machine(shim=RUNWASI, engine=engine(version="28.5.2")), "a Wasm runtime that is not ours may hang Docker 28.5.2"),
    (machine(shim=Shim(), engine=engine(version="29.0.0")), "an unknown Wasm runtime may hang Docker 29.0.0 for ever"),
]


@pytest.mark.parametrize("facts, why", NOT_TRIED)
def test_container_is_not_tried_where_it_cannot_work_or_may_hang(facts: Facts, why: str) -> None:
    reason = reason_not_to_try(facts)
    assert reason is not None and reason.works is None
    assert reason.cause.startswith(why)


@pytest.mark.parametrize(
    "facts",
    [
        HEALTHY,
        machine(shim=RUNWASI),
        machine(shim=RUNWASI, engine=engine(version="27.5.1")),
        machine(shim=Shim()),
        machine(engine=engine(version="28.5.2")),
    ],
)
def test_container_is_tried_where_it_is_safe(facts: Facts) -> None:
    assert reason_not_to_try(facts) is None


# The launch decision, fed by the same facts: every row of its table.

PROVEN, UNPROVEN = HEALTHY, machine(docker=Trial())
NO_ENGINE = machine(engine=None, engine_trouble=Tool(trouble="nothing listens there"), docker=Trial())
DOCKER, PROCESS = Road.DOCKER, Road.PROCESS
LAUNCH: list[tuple[Nature, Facts, Road | None, Road | type[WasmdockError]]] = [
    (Nature.LIBRARY, PROVEN, None, UsageError),
    (Nature.LIBRARY, PROVEN, DOCKER, UsageError),
    (Nature.CORE_COMMAND, PROVEN, None, DOCKER),
    (Nature.CORE_COMMAND, UNPROVEN, None, PROCESS),
    (Nature.CORE_COMMAND, NO_ENGINE, None, PROCESS),
    (Nature.CORE_COMMAND, PROVEN, PROCESS, PROCESS),
    (Nature.CORE_COMMAND, UNPROVEN, DOCKER, DOCKER),
    (Nature.CORE_COMMAND, NO_ENGINE, DOCKER, UnavailableError),
    (Nature.COMPONENT_COMMAND, PROVEN, None, DOCKER),
    (Nature.COMPONENT_COMMAND, NO_ENGINE, None, PROCESS),
    (Nature.HTTP, PROVEN, None, DOCKER),
    (Nature.HTTP, UNPROVEN, None, DOCKER),
    (Nature.HTTP, NO_ENGINE, None, UnavailableError),
    (Nature.HTTP, PROVEN, PROCESS, PROCESS),
    (Nature.NATIVE, UNPROVEN, None, DOCKER),
    (Nature.NATIVE, NO_ENGINE, None, UnavailableError),
    (Nature.NATIVE, PROVEN, PROCESS, UsageError),
]


@pytest.mark.parametrize("nature, facts, wanted, answer", LAUNCH)
def test_launch_decides_by_the_doctors_facts(
    nature: Nature, facts: Facts, wanted: Road | None, answer: Road | type[WasmdockError]
) -> None:
    if isinstance(answer, Road):
        assert plan_launch(nature, machine_of(facts), wanted).road is answer
        return
    with pytest.raises(answer):
        plan_launch(nature, machine_of(facts), wanted)


@pytest.mark.parametrize("version", ["26.1.5", "28.5.2", "2.0.0-beta.24"])
def test_engine_of_any_age_that_takes_shims_is_fine(version: str) -> None:
    assert the("engine", machine(engine=engine(version=version))).severity is OK


def test_machine_of_facts_tells_the_trouble_without_an_engine() -> None:
    assert machine_of(NO_ENGINE) == Machine(trouble="nothing listens there")


def test_run_gives_the_doctors_cure_where_no_engine_can_be_used() -> None:
    with pytest.raises(UnavailableError, match="permission denied") as caught:
        plan_launch(Nature.NATIVE, machine_of(machine(engine=None, engine_trouble=REFUSED)))
    assert caught.value.hint == "usermod"
