"""What a failed docker call says -> the cause in one sentence and the command that cures it: a table."""

import re

from wasmdock.docker_host import START_HINT
from wasmdock.errors import ImageError, UnavailableError, UsageError, WasmdockError

WASM_RUNTIME = "io.containerd.wasmtime.v1"
_STORE_HINT = (
    'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and restart Docker '
    "(Docker Desktop: Settings, General, Use containerd), then load the image again"
)
_SHIM_HINT = (
    "`wasmdock engine install`, as `wasmdock doctor` spells it for this engine, puts ours there; "
    "for Docker Desktop, or an engine on another machine, "
    "`wasmdock engine up` gives you one that has it"
)
_MOUNT_HINT = "create it first; a remote engine sees its own files, not yours"
_PLATFORM_HINT = "`docker image inspect` shows its Os and Architecture; Wasm is spelt wasi/wasm"
_OWN_SHIM = r"fork/exec (\S*(?:containerd-shim-(?!runc)|libexec/wasmdock/)[\w.-]*)"
_WASM_HINT = f"docker run needs --runtime={WASM_RUNTIME} --platform=wasi/wasm for it, `wasmdock run` adds them"

# Pattern over stderr, exception, cause, cure; {0} is the first group of the pattern. The first match wins, so what
# names a program of the engine or a mount stands before what would take it for the program in the image.
CAUSES: tuple[tuple[str, type[WasmdockError], str, str], ...] = (
    (  # containerd remembers where it found a shim
        rf"{_OWN_SHIM}: no such file",
        UnavailableError,
        'the engine\'s Wasm runtime "{0}" is gone',
        _SHIM_HINT,
    ),
    (
        rf"{_OWN_SHIM}: exec format error",
        UnavailableError,
        'the engine\'s Wasm runtime "{0}" is for another machine, or half a file',
        _SHIM_HINT,
    ),
    (
        rf"{_OWN_SHIM}: permission denied",
        UnavailableError,
        'the engine\'s Wasm runtime "{0}" may not be executed',
        f"{_SHIM_HINT}; its disk may be mounted noexec",
    ),
    (
        r'(?:fork/exec|binary not installed) "?(\S*containerd-shim-runc[\w.-]*)',
        UnavailableError,
        'the engine\'s containerd cannot start "{0}", with which it runs native programs',
        "`apt-get install --reinstall containerd` (or containerd.io, as Docker packages it), then restart Docker",
    ),
    (
        r'binary not installed "?(?:.*/)?(containerd-shim-[\w.-]+)',
        UnavailableError,
        'the engine\'s containerd finds no "{0}" on its PATH',
        _SHIM_HINT,
    ),
    (  # containerd's shim asks for the runtime's log, and then says what became of the runtime
        r'unable to retrieve OCI runtime error .*?(?:exec: |fork/exec )"?([^\s":]+)"?: '
        r"(?:executable file not found|no such file|permission denied|exec format error)",
        UnavailableError,
        'the engine cannot start its runtime "{0}"',
        "install it (`apt-get install runc`), or correct its path in /etc/docker/daemon.json, then restart Docker",
    ),
    (
        r'error mounting "([^"]+)"[^\n]*no such file',
        UsageError,
        'mounting "{0}": it is not on the engine\'s machine',
        _MOUNT_HINT,
    ),
    (
        r'error mounting "([^"]+)"[^\n]*(?:permission denied|operation not permitted)',
        UsageError,
        'mounting "{0}": the engine may not',
        "`namei -l` with that path shows who may; a rootless engine has its user's rights alone",
    ),
    (
        r'error mounting "([^"]+)"[^\n]*not a directory',
        UsageError,
        'mounting "{0}": one side is a file and the other a folder',
        "mount a file at a file's path, or the folder it lies in",
    ),
    (
        r"(?:unknown or invalid runtime name:|Unknown runtime specified) (\S+)",
        UnavailableError,
        'the engine does not take the runtime "{0}"',
        "update Docker: 24 and later take any containerd shim by name; or list it in /etc/docker/daemon.json",
    ),
    (
        r"exec format error",
        ImageError,
        "the program in the image is not for this machine: Wasm, or another architecture",
        _WASM_HINT,
    ),
    (
        r"was found but its platform \(([^)]*)\) does not match the specified platform \(([^)]*)\)",
        ImageError,
        "the image is for another platform: wanted {1}, actual: {0}",
        _PLATFORM_HINT,
    ),
    (
        r"was found but does not match the specified platform(.*)",
        ImageError,
        "the image is for another platform{0}",
        _PLATFORM_HINT,
    ),
    (
        r"was found but does not provide the specified platform \(?([^)\n]*)",
        ImageError,
        "the image is not for the platform asked for, {0}",
        _PLATFORM_HINT,
    ),
    (
        r"cannot be used on this platform|operating system is not supported|no match for platform in man",
        UnavailableError,
        "this engine's image store cannot hold images for Wasm",
        _STORE_HINT,
    ),
    (
        r"permission denied while trying to connect",
        UnavailableError,
        "you may not talk to the engine",
        "`sudo usermod -aG docker $USER`, then log in again (members of that group are as good as root)",
    ),
    (  # an engine that keeps images in containerd pulls what it lacks, and says only how that failed
        r'failed to resolve reference "(?:docker\.io/(?:library/)?)?([^"]+)"',
        ImageError,
        'the engine has no image "{0}", and no registry gave it one',
        "build or pull it under that name; `docker images` and `wasmdock images` list what there is",
    ),
    (
        r"client version (\S+) is too (new|old)",
        UnavailableError,
        "the docker client (API {0}) and the engine are of different ages",
        "update the older of the two; `docker version` shows both",
    ),
    (
        r"(?i)cannot connect to the docker daemon|failed to connect to the docker api|error during connect",
        UnavailableError,
        "no engine answers",
        START_HINT,
    ),
    (
        r"(?i)unexpected eof|error waiting for container|connection reset by peer",
        UnavailableError,
        "the engine went away in the middle",
        START_HINT,
    ),
    (
        r"(?i)no such image:? ?(\S*)|unable to find image|pull access denied",
        ImageError,
        "the engine has no such image {0}",
        "`docker images` and `wasmdock images` list what there is",
    ),
    (
        r"bind source path does not exist: (.*)",
        UsageError,
        'there is no folder "{0}" on the engine\'s machine',
        _MOUNT_HINT,
    ),
    (
        r"input device is not a TTY|cannot attach stdin to a TTY",
        UsageError,
        "stdin is not a terminal",
        "leave -t out",
    ),
    (r"terminal is not supported", UsageError, "this Wasm runtime has no terminal", "leave -t out"),
    (
        r"Minimum memory limit allowed is (\w+)",
        UsageError,
        "Docker's smallest memory limit is {0}",
        "give --memory more",
    ),
    (
        r"(?:port is already allocated|address already in use)",
        UsageError,
        "the port is in use",
        "publish another one",
    ),
    (
        r'(?i)invalid (?:host ?|container ?)?port[^:]*: "?([^\s"]+?)"?\.?(?:\s|$)',
        UsageError,
        '"{0}" is no port',
        "-p HOST:CONTAINER takes numbers up to 65535, such as -p 8080:8080",
    ),
    (
        r"cannot assign requested address",
        UsageError,
        "the engine's machine has no such address to publish a port on",
        "-p 127.0.0.1:8080:8080, or -p 8080:8080 for all its addresses",
    ),
    (
        r"network (\S+) not found",
        UsageError,
        'the engine has no network "{0}"',
        "`docker network ls` lists them, `docker network create` makes one",
    ),
    (
        r"can't handle spec",
        ImageError,
        "the runtime finds no Wasm in the image",
        "`wasmdock inspect` shows what is",
    ),
    (r"(?i)no space left on device", UnavailableError, "the engine's disk is full", "`docker system prune`"),
    (
        r"hybrid mode",
        UnavailableError,
        "crun refuses cgroups in hybrid mode",
        "use runc, or mount cgroup v2 alone",
    ),
    (r"wasmdock: ([^\n]*)", ImageError, "{0}", ""),
    (
        r"executable file not found|(?:exec|stat) \S+: no such file or directory",
        ImageError,
        "the image's entrypoint is not in the image",
        "`wasmdock inspect` shows the entrypoint and the files",
    ),
    (
        r'exec:? "?[^"\s:]+"?: permission denied|(?i:open executable: permission denied)',  # runc's words, and crun's
        ImageError,
        "the image's entrypoint may not be executed",
        "COPY --chmod=755 in its Dockerfile, or wasmdock pack, makes it so that it may",
    ),
    (
        r"failed to start shim|ttrpc: closed|context deadline exceeded",
        UnavailableError,
        "the containerd shim did not start",
        "its own words are in containerd's log: `journalctl -u containerd -u docker`",
    ),
)


# How lines begin that come from the docker client or the engine, not from the program in a container.
CLIENT_SAYS = (
    "docker: ",
    "Error response from daemon",
    "Cannot connect to the Docker daemon",
    "failed to connect to the docker API",
    "error during connect",
    "permission denied while trying to connect",
    "the input device is not a TTY",
    "cannot attach stdin to a TTY",
)


def client_lines(stderr: str) -> list[str]:
    """The lines of a stderr that read like the docker client's own. A program in a container can print them, too."""
    return [line for line in stderr.splitlines() if line.startswith(CLIENT_SAYS)]


def find_cause(doing: str, stderr: str) -> WasmdockError | None:
    """The exception for the first known cause in a docker client's stderr; None for an unknown one."""
    for pattern, kind, cause, hint in CAUSES:
        if match := re.search(pattern, stderr):
            found = [(group or "").strip() for group in match.groups()]
            return kind(f"{doing}: {cause.format(*found).strip()}", hint)
    return None
