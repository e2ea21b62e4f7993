"""One `docker run` as a value: a request in, the argv out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wasmdock.errors import UsageError
from wasmdock.runtime import DEFAULT_STACK, Limits, Mount, RunRequest

# Docker refuses a mount at "/"; our runtime shows the first folder to the guest as the second.
ROOT_MOUNT = "/.wasmdock/root"
DIRECTORIES_VARIABLE = "WASMDOCK_DIRS"
_MIB = 1 << 20
# What lifts a limit for which our Wasm runtime has a default of its own: the most it can count (shim/src/settings.rs).
UNCOUNTED = (1 << 64) - 1
# Variables that steer the docker client itself cannot go through its environment.
_CLIENTS_OWN = frozenset({"PATH", "HOME", "TMPDIR", "USER", "GODEBUG", "GOMAXPROCS", "NO_PROXY", "ALL_PROXY"})
_CLIENTS_PREFIXES = ("LD_", "DYLD_", "DOCKER_", "BUILDX_", "XDG_", "SSH_", "SSL_", "HTTP_", "HTTPS_")


@dataclass(frozen=True, slots=True)
class DockerCall:
    """One call of the docker client: its argv, and what it needs in its environment to hand on."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def run_arguments(
    reference: str,
    request: RunRequest,
    *,
    is_wasm: bool,
    name: str,
    runtime: str | None = None,
    platform: str | None = None,
    tty: bool = False,
    options: Sequence[str] = (),
) -> DockerCall:
    """The exact `docker run` for a request; nothing is asked or started. options go in as they are.

    Values of environment variables stay out of the command line, where every user of the machine could read
    them, except for variables that steer the docker client itself (PATH, HOME, DOCKER_*, ...).
    Raises UsageError for what a container cannot be given.
    """
    words = ["docker", "run", "--rm", "--pull=never", f"--name={name}"]
    words += [f"--runtime={runtime}"] if runtime else []
    words += [f"--platform={platform}"] if platform else []
    words += ["--interactive"] if request.interactive or request.stdin is not None else []
    words += ["--tty"] if tty else []
    words += _memory_words(request.limits, is_wasm)
    words += [f"--network={request.network}"] if request.network else []
    words += ["--read-only"] if request.read_only else []
    _check_stack(request.limits, is_wasm)
    settings = runtime_settings(request, is_wasm)
    for mount in request.mounts:
        words += ["--mount", _mount_text(mount, is_wasm, mount.read_only or request.read_only)]
    env = _checked(request.env)
    if any("\0" in word for word in request.args):
        raise UsageError("passing arguments: one holds a NUL, which no program can be given")
    words += [word for key in sorted(settings) for word in ("--env", f"{key}={settings[key]}")]
    shown = {key for key in env if _steers_client(key)}
    for key, value in env.items():
        words += ["--env", f"{key}={value}" if key in shown else key]
    handed = {key: value for key, value in env.items() if key not in shown}
    return DockerCall((*words, *options, reference, *request.args), handed)


def _steers_client(variable: str) -> bool:
    name = variable.upper()
    return name in _CLIENTS_OWN or name.startswith(_CLIENTS_PREFIXES)


def runtime_settings(request: RunRequest, is_wasm: bool) -> dict[str, str]:
    """What our Wasm runtime is told by environment variables, which the guest does not see."""
    if not is_wasm:
        return {}
    limits = request.limits
    given: dict[str, float | None] = {
        "WASMDOCK_MEMORY": limits.memory,
        "WASMDOCK_TABLES": UNCOUNTED if limits.tables is None else limits.tables,
        "WASMDOCK_TIMEOUT": limits.timeout,
        "WASMDOCK_FUEL": limits.fuel,
        "WASMDOCK_STACK": None if limits.stack == DEFAULT_STACK else limits.stack,
    }
    settings = {key: _number(value) for key, value in given.items() if value is not None}
    if any(mount.guest == "/" for mount in request.mounts):
        settings[DIRECTORIES_VARIABLE] = f"{ROOT_MOUNT}::/"
    return settings


def _number(value: float) -> str:
    """A whole one is written out: our runtime reads no 1e+18 where it wants a size."""
    return str(value) if isinstance(value, int) else f"{value:.15g}"


def grant_words(
    *, compile_time: float | None = None, allow: Iterable[str] | None = None, deny: Iterable[str] = ()
) -> list[str]:
    """Options of `docker run` for what our Wasm runtime shall hold a guest to besides the request's limits.

    compile_time: seconds, None for the runtime's own bound. allow and deny: capabilities by name; allow None
    grants all that the image's author listed, or all there are. They go as annotations, which no image can lift.
    """
    words = [] if compile_time is None else [f"--annotation=wasmdock.compile-time={compile_time:.15g}"]
    words += [] if allow is None else [f"--annotation=wasmdock.allow={','.join(sorted(allow)) or 'none'}"]
    denied = ",".join(sorted(deny))
    return words + ([f"--annotation=wasmdock.deny={denied}"] if denied else [])


def _memory_words(limits: Limits, is_wasm: bool) -> list[str]:
    """The container's own limit, only where the caller chose one: plain docker run has none.

    A Wasm guest's memory is held by its runtime, which needs some of its own.
    """
    if limits.memory is None or limits.memory == Limits().memory:
        return []
    return [f"--memory={limits.memory + (64 * _MIB if is_wasm else 0)}"]


def _check_stack(limits: Limits, is_wasm: bool) -> None:
    """The stack that is limited is Wasm's own; a native program's is `docker run --ulimit stack`."""
    if limits.stack != DEFAULT_STACK and not is_wasm:
        raise UsageError("limiting the stack in Docker: a native program has its own", "leave --stack out")


def _mount_text(mount: Mount, is_wasm: bool, read_only: bool) -> str:
    """--mount takes CSV, so any path can be written; unlike -v it creates no missing folder as root."""
    guest = mount.guest
    if guest == "/":
        if not is_wasm:
            raise UsageError(
                f'mounting "{mount.host}" at "/": Docker cannot replace the root of a container',
                "mount it at /data",
            )
        guest = ROOT_MOUNT
    fields = [
        "type=bind",
        f"source={mount.host}",
        f"target={guest}",
        *(["readonly"] if read_only else []),
    ]
    return ",".join(_csv(text) for text in fields)


def _csv(text: str) -> str:
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(sign in text for sign in ',"\n') else text


def _checked(env: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in env.items():
        if not key or "=" in key or "\0" in key + value:
            raise UsageError(f'passing environment variable "{key}": not a name or a value a program can be given')
    return env


def phases_of(events: Sequence[tuple[str, int]]) -> dict[str, float]:
    """Seconds from a container's creation to its start, to its end, to its removal, as far as known."""
    at = dict(reversed(events))
    spans = (
        ("container start", "create", "start"),
        ("guest", "start", "die"),
        ("container end", "die", "destroy"),
    )
    return {name: (at[end] - at[begin]) / 1e9 for name, begin, end in spans if begin in at and end in at}
