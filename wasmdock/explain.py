"""Why a container ended: its record, what it said last, and a replay of its bytes -> one sentence and its cure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wasmdock.docker_call import ROOT_MOUNT
from wasmdock.docker_verdict import FAULTS, REFUSALS
from wasmdock.launch import runs_wasm
from wasmdock.runtime import MIB, Limits, Mount, Outcome, RunRequest, RunResult

REPLAY_TIME = 10.0  # seconds
REPLAY_MEMORY = 4 << 30  # bytes where the container had no limit: all that 32-bit Wasm can have
_SHIM_SAYS = "wasmdock: "
_SETTINGS = "WASMDOCK_"  # of variables that are for our runtime, not for the guest
_NATIVE = ("", "runc", "io.containerd.runc.v2", "crun")
_KILLED, _TRAPPED = 137, 134
_SIGNALS = {129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 143: "SIGTERM"}


@dataclass(frozen=True, slots=True)
class Container:
    """What the engine recorded of one container; memory is its limit in bytes, 0: none."""

    name: str
    image: str
    status: str
    code: int
    oom: bool = False
    error: str = ""
    runtime: str = ""
    memory: int = 0
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()

    @property
    def is_wasm(self) -> bool:
        """Whether a Wasm runtime ran it: one that is known, or one that started a Wasm file."""
        starts_wasm = bool(self.argv) and self.argv[0].endswith((".wasm", ".wat"))
        return runs_wasm(self.runtime) or (starts_wasm and self.runtime not in _NATIVE)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why it ended, what to do about it (may be empty), and the evidence, such as a Wasm backtrace."""

    cause: str
    cure: str = ""
    evidence: str = ""


def parse_container(answer: Mapping[str, Any]) -> Container:
    """Turn the answer of /containers/<name>/json into a value."""
    state, config, host = (answer.get(key) or {} for key in ("State", "Config", "HostConfig"))
    pairs = (each.partition("=") for each in config.get("Env") or ())
    binds = (each for each in answer.get("Mounts") or () if each.get("Type") == "bind")
    return Container(
        name=str(answer.get("Name", "")).lstrip("/"),
        image=str(answer.get("Image", "")),
        status=str(state.get("Status", "")),
        code=int(state.get("ExitCode") or 0),
        oom=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        runtime=str(host.get("Runtime") or ""),
        memory=int(host.get("Memory") or 0),
        argv=(str(answer.get("Path") or ""), *(str(each) for each in answer.get("Args") or ())),
        env={name: value for name, _, value in pairs},
        mounts=tuple(Mount(Path(each["Source"]), each["Destination"], True) for each in binds),
    )


def needs_replay(container: Container, log: str, events: Sequence[str] = ()) -> bool:
    """Whether only running it again can tell: a foreign shim ends everything with 137 and says nothing."""
    unexplained = container.code in (_KILLED, _TRAPPED) and not container.oom and not last_word(container, log)
    return container.is_wasm and container.status in ("exited", "dead") and unexplained and not _is_killed(events)


def replay_request(container: Container, most: int = REPLAY_MEMORY) -> RunRequest:
    """The same start once more, harmless: read-only folders, no network, no stdin, little time.

    most is the memory in bytes that it gets where its container had no limit: what is ours to spare.
    """
    limits = Limits(memory=container.memory or min(most, REPLAY_MEMORY), timeout=REPLAY_TIME)
    mounts = tuple(
        mount._replace(guest="/") if mount.guest == ROOT_MOUNT else mount
        for mount in container.mounts
        if mount.host.is_dir()
    )
    env = {name: value for name, value in container.env.items() if not name.startswith(_SETTINGS)}
    return RunRequest(args=container.argv[1:], env=env, mounts=mounts, limits=limits)


def last_word(container: Container, log: str, *, printed: bool = False) -> str:
    """What our Wasm runtime said at the end of a container's log; empty where it said nothing.

    A guest can print such lines, too. So it counts for a Wasm container alone, where it begins as the exit code has
    it, and for one that was never started where nothing else was printed (by docker_verdict's rules).
    """
    lines = log.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(_SHIM_SAYS)]
    if not starts or not container.is_wasm:
        return ""
    said = "\n".join(lines[starts[-1] :]).removeprefix(_SHIM_SAYS)
    is_alone = not printed and not "".join(lines[: starts[-1]]).strip()
    is_fault = said.startswith(FAULTS.get(container.code, ()))
    return said if is_fault or (container.code in REFUSALS and is_alone) else ""


def explain(
    container: Container,
    log: str = "",
    events: Sequence[str] = (),
    replay: RunResult | str | None = None,
    *,
    printed: bool = False,
) -> Explanation:
    """Say why it ended, by what it wrote to stderr (log) and whether it printed anything to stdout.

    events are what happened to it; replay is how a second run ended, or why there is none. That it was killed, which
    only a running container can be, weighs more than how it ends when it is left alone.
    """
    if container.status not in ("exited", "dead", "created"):
        return Explanation(f"it has not ended: it is {container.status}")
    if container.error:
        return Explanation(f"it did not start: {container.error}", "wasmdock doctor tells what the engine lacks")
    if container.oom or "oom" in events:
        return _out_of_memory(container)
    if said := last_word(container, log, printed=printed):
        return _told(said)
    if container.is_wasm and isinstance(replay, RunResult) and not (container.code == _KILLED and _is_killed(events)):
        return _by_replay(container, events, replay)
    return _by_code(container, events, replay if isinstance(replay, str) else "")


def _told(said: str) -> Explanation:
    """What our runtime said: its first line, or what it calls the cause where that line only begins a backtrace."""
    first, _, rest = said.partition("\n")
    frames, found, reasons = rest.partition("Caused by:")
    if not found or not first.endswith("backtrace:"):
        return Explanation(first, "", rest)
    return Explanation(f"it trapped: {reasons.strip().splitlines()[-1].strip()}", "", frames.strip("\n"))


def _out_of_memory(container: Container) -> Explanation:
    limit = f" of {container.memory / MIB:g} MiB" if container.memory else ", which was the whole machine's"
    return Explanation(
        f"the kernel ended it: it was out of memory, at its limit{limit}", "docker run --memory with more"
    )


def _by_replay(container: Container, events: Sequence[str], replay: RunResult) -> Explanation:
    told = f"this Wasm runtime ends it with {container.code} and says nothing"
    cause, _, evidence = replay.message.partition("\n")
    if replay.outcome is Outcome.TRAPPED:
        return Explanation(f"it trapped ({told}): {cause.removeprefix('wasm trap: ')}", "", evidence)
    if replay.outcome is Outcome.OUT_OF_MEMORY and not container.memory:
        why = "its container had no limit, and run again here it asks for more than it is given"
        return Explanation(f"it may have run out of memory ({told}): {why}: {cause}", "", evidence)
    if replay.outcome is Outcome.OUT_OF_MEMORY:
        return Explanation(f"it ran out of memory ({told}): {cause}", "docker run --memory with more", evidence)
    if replay.outcome is Outcome.EXITED and replay.exit_code == container.code:
        return Explanation(f"it ended itself with exit code {container.code}, and does so again")
    if replay.outcome is Outcome.EXITED and replay.exit_code:
        text = replay.stderr.decode("utf-8", "replace").strip()
        return Explanation(f"it ended itself with exit code {replay.exit_code} ({told})", "", text[-2000:])
    return _killed(events, f"the same bytes {'go on running' if replay.message else 'end with 0'} when run again here")


def _since_start(events: Sequence[str]) -> Sequence[str]:
    """What happened to it since it was last started."""
    begins = [number for number, event in enumerate(events) if event == "start"]
    return events[begins[-1] :] if begins else events


def _is_killed(events: Sequence[str]) -> bool:
    """Whether it was sent SIGKILL while it ran, as far as the engine says what was sent."""
    return any(event in ("kill", "kill 9") for event in _since_start(events))


def _killed(events: Sequence[str], why: str) -> Explanation:
    if any(event.startswith("kill") for event in _since_start(events)):
        return Explanation(f"it was sent SIGKILL: the engine was asked to end it; {why}")
    cure = "docker stop waits 10 s before it does so: end on SIGTERM, or STOPSIGNAL SIGINT in the image"
    return Explanation(f"it was sent SIGKILL from outside, probably by docker stop or docker kill; {why}", cure)


def _by_code(container: Container, events: Sequence[str], why_not_replayed: str) -> Explanation:
    code = container.code
    unknown = f"it could not be run again here: {why_not_replayed}" if why_not_replayed else "it says nothing more"
    if code == 0:
        return Explanation(
            "it ended by itself, without a fault" if container.status != "created" else "it never started"
        )
    if code == _KILLED:
        return _killed(events, unknown)
    if code in _SIGNALS:
        return Explanation(f"it was ended by {_SIGNALS[code]}")
    if code in (125, 126, 127):
        cure = "wasmdock inspect shows the entrypoint and whether it is there"
        return Explanation(f"it could not be started (exit code {code})", cure)
    if code == _TRAPPED:
        return Explanation(f"it aborted (SIGABRT, or a trap under a Wasm runtime); {unknown}")
    return Explanation(f"it ended itself with exit code {code}")
