"""Looks at this machine, all at once and each look with a deadline -> Facts."""

import json
import os
import platform
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from wasmdock.cure import Cure
from wasmdock.docker import Docker
from wasmdock.docker_host import NO_DOCKER_HINT, is_there
from wasmdock.doctor_facts import Cargo, Disk, Facts, Tool, Trial, reason_not_to_try
from wasmdock.engine_files import EngineRoot, find_program, find_root, find_shim
from wasmdock.errors import UnavailableError, WasmdockError
from wasmdock.guest import Artifact, Target
from wasmdock.host_cargo import explain_missing, find_toolchain
from wasmdock.oci.image import Image
from wasmdock.pack import pack
from wasmdock.process import Runner, run_command
from wasmdock.runtime import Limits, RunRequest
from wasmdock.shim import are_at_hand

# (module (memory (export "memory") 1) (func (export "_start"))), in bytes: no wasmtime is needed to have it.
TINY = b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\5\3\1\0\1\7\x13\2\6memory\2\0\6_start\0\0\x0a\4\1\2\0\x0b"
_ASK = 10.0  # seconds for one program or one answer of the engine
_TALK = 3.5 * _ASK  # for all that it is asked before
_TRIAL = 20.0  # seconds for a tiny container, from nothing to gone
_WHOLE_TRIAL = 3 * _TRIAL  # with its image, to the engine and out of it again
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CLASSIC_STORE = "var/lib/docker/image/*/repositories.json"
# Of the containerd that dockerd starts itself; another's may hold images of Kubernetes, too.
_CONTAINERD_STORE = "var/lib/docker/containerd/daemon/io.containerd.content.v1.content/blobs/sha256/*"
_MOST_MANIFEST = 64 << 10  # bytes


Look = TypeVar("Look")


def gather(
    environment: Mapping[str, str],
    cache: Path | None,
    home: Path | None,
    *,
    ca_bundle: Path | None = None,
    runner: Runner = run_command,
    connect: Callable[[Mapping[str, str], float], Docker] = Docker.connect,
) -> Facts:
    """Look at everything at once. A look that fails becomes a fact; nothing is raised, nothing is changed.

    One tiny container is started, and that only on an engine that is not known to hang by it. A cache or home that is
    None is one that no variable names.
    """
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="wasmdock-doctor") as pool:
        engine = pool.submit(_engine_side, environment, runner, connect)
        process = pool.submit(_process)
        cargo = pool.submit(_cargo, cache, environment, runner)
        wasmtime, trial = process.result()
        return replace(
            engine.result(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            wasmtime=wasmtime,
            process=trial,
            cargo=cargo.result(),
            cache=disk(cache),
            home=disk(home, "WASMDOCK_HOME"),
            proxies=proxies(environment),
            ca_bundle=_bundle(ca_bundle),
            is_root=_is_root(),
            has_runtime=are_at_hand(),
        )


def _engine_side(
    environment: Mapping[str, str], runner: Runner, connect: Callable[[Mapping[str, str], float], Docker]
) -> Facts:
    """Engine, client, image store, shim, and last the trial, which needs to know all of these."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        asked = [
            pool.submit(tool, ["docker", *words], environment, runner)
            for words in (["--version"], ["buildx", "version"], ["compose", "version"])
        ]
        silent = Tool(trouble=f"the engine gave no whole answer within {_TALK:g} s", hint="restart Docker: it hangs")
        nothing: tuple[Docker | None, Facts] = (None, Facts(engine_trouble=silent))
        docker, facts = in_time(partial(_engine, environment, connect), _TALK, nothing)
        client, buildx, compose = (each.result() for each in asked)
    facts = replace(facts, client=client, buildx=buildx, compose=compose)
    if docker is None or facts.engine is None:
        return replace(facts, docker=reason_not_to_try(facts) or Trial())
    root = find_root(docker.host)
    if root is not None:
        facts = _with_files(facts, root, environment, runner)
    cause = f"a tiny container was not loaded, run and removed within {_WHOLE_TRIAL:g} s"
    hangs = Trial(False, cause=cause, hint="restart Docker: its engine hangs")
    return replace(facts, docker=in_time(partial(_docker_trial, docker, facts), _WHOLE_TRIAL, hangs))


def in_time(look: Callable[[], Look], seconds: float, otherwise: Look) -> Look:
    """What a look gives, or `otherwise` where it takes longer, and then it is left behind.

    docker-py's time limit is for each piece of an answer: an engine that hangs in small steps is never too late.
    """
    found: Future[Look] = Future()

    def target() -> None:
        try:
            found.set_result(look())
        except BaseException as error:  # handed to whoever waits
            found.set_exception(error)

    threading.Thread(target=target, daemon=True, name="wasmdock-look").start()
    try:
        return found.result(seconds)
    except TimeoutError:
        return otherwise


def _engine(
    environment: Mapping[str, str], connect: Callable[[Mapping[str, str], float], Docker]
) -> tuple[Docker | None, Facts]:
    try:
        docker = connect(environment, _ASK)
        docker.timeout = _ASK
        return docker, Facts(engine=docker.facts(), address=docker.host.shown)
    except WasmdockError as error:
        return None, Facts(engine_trouble=Tool(trouble=error.message, hint=error.hint))


def _with_files(facts: Facts, root: EngineRoot, environment: Mapping[str, str], runner: Runner) -> Facts:
    return replace(
        facts,
        crun=_crun(root, environment, runner),
        shim=find_shim(root.path, root.folders),
        prefix=root.prefix,
        engine_disk=_engine_disk(root.path),
        hidden_images=hidden_images(root.path, facts),
    )


def _crun(root: EngineRoot, environment: Mapping[str, str], runner: Runner) -> Tool:
    """crun on the engine's PATH; that of another root cannot be asked for its version from here."""
    found = find_program(root.path, "crun", root.folders)
    if not found:
        return Tool(trouble="the engine has no crun on its PATH")
    return tool([found, "--version"], environment, runner) if root.path == Path("/") else Tool(f"at {found}")


def _docker_trial(docker: Docker, facts: Facts) -> Trial:
    return reason_not_to_try(facts) or try_wasm(docker)


def try_wasm(docker: Docker) -> Trial:
    """Run a tiny module in the engine, which keeps nothing of it."""
    from wasmdock.docker_run import own_name, prove

    image = tiny_image()
    try:
        proof = prove(docker, image, timeout=_TRIAL)
        with suppress(WasmdockError):  # nothing of ours stays in the engine
            docker.remove(own_name(image), force=True)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        return Trial(False, cause=f"no Docker engine answers so ({error})", hint=NO_DOCKER_HINT)
    return Trial(proof.works, proof.seconds, proof.cause, proof.hint)


def tiny_image() -> Image:
    """The image of a command that ends at once with 0."""
    return pack(Artifact("wasmdock-doctor", Target.WASIP1, TINY))


def _process() -> tuple[Tool, Trial]:
    try:
        from wasmdock.engine import version
        from wasmdock.inprocess import InProcessRuntime
    except (ImportError, OSError) as error:  # OSError: its shared library does not load here
        return Tool(trouble=str(error)), Trial(False, cause=str(error))
    began = time.perf_counter()
    try:
        result = InProcessRuntime().run(tiny_image(), RunRequest(limits=Limits(timeout=_ASK)))
    except WasmdockError as error:
        return Tool(version()), Trial(False, cause=error.message, hint=error.hint)
    return Tool(version()), Trial(result.exit_code == 0, time.perf_counter() - began, result.message)


def tool(argv: list[str], environment: Mapping[str, str], runner: Runner) -> Tool:
    """The first line a program says of its version."""
    try:
        done = runner(argv, timeout=_ASK, env=environment)
    except UnavailableError as error:
        return Tool(trouble=error.message, hint=error.hint)
    said = " ".join(argv)
    if done.timed_out:
        return Tool(trouble=f"{said}: no answer within {_ASK:g} s", hint=f"`{said}` hangs: mend it", fails=True)
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    if done.code != 0 or not lines:
        causes = done.stderr_text().splitlines() or [f"exit code {done.code}"]
        return Tool(trouble=f"{said}: {causes[0]}", fails=True)
    return Tool(lines[0].removeprefix("crun version ").strip())


def _cargo(cache: Path | None, environment: Mapping[str, str], runner: Runner) -> Cargo:
    wasm = [target for target in Target if target.is_wasm]
    try:
        found = find_toolchain(Path.cwd(), cache or Path(os.devnull), environment, runner, _ASK)
    except (WasmdockError, OSError) as error:
        known = error if isinstance(error, WasmdockError) else UnavailableError(str(error))
        cause, cure = explain_missing(known, Target.WASIP1)
        return Cargo(trouble=cause, cure=cure)
    targets = tuple(str(target.triple) for target in wasm if found.has(target))
    cause, cure = explain_missing(found, Target.WASIP1)
    missing = "wasm32-wasip1" not in targets
    version = found.version.partition("\n")[0]
    return Cargo(version, cause if missing else "", targets, cure if missing else Cure())


def disk(path: Path | None, variable: str = "WASMDOCK_CACHE") -> Disk:
    """Free bytes where a folder is or would be made, and whether we may write there; variable moves it elsewhere."""
    hint = f"set {variable} to a folder of yours"
    if path is None:
        return Disk(trouble=f"neither {variable} nor HOME is set", hint=hint)
    there = next((each for each in (path, *path.parents) if is_there(each)), Path("/"))
    if not os.access(there, os.W_OK | os.X_OK):
        return Disk(str(path), trouble=f'"{there}" cannot be written to', hint=hint)
    code = path / "code"
    try:
        if is_there(code) and code.stat().st_mode & 0o022:
            trouble = "others may write to it, so compiled code is not kept there"
            return Disk(str(code), trouble=trouble, hint=f"chmod go-w {shlex.quote(str(code))}")
        path.exists()  # a name that no file system takes is not one that is yet to be made
        return Disk(str(path), shutil.disk_usage(there).free)
    except OSError as error:
        return Disk(str(path), trouble=f"cannot be used: {error.strerror}", hint=hint)


def _engine_disk(root: Path) -> Disk:
    folder = root / "var/lib/docker"
    try:
        return Disk("/var/lib/docker", shutil.disk_usage(folder).free)
    except OSError:
        return Disk()


def hidden_images(root: Path, facts: Facts) -> int | None:
    """Images in the store that this engine does not use: Docker's own, else containerd's."""
    if facts.engine is None:
        return None
    try:
        if facts.engine.containerd_store:
            return _classic_images(root)
        return _containerd_images(root) if (root / _CONTAINERD_STORE).parent.is_dir() else None
    except (OSError, ValueError, AttributeError):
        return None


def _classic_images(root: Path) -> int:
    names: set[str] = set()
    for file in root.glob(_CLASSIC_STORE):
        repositories = json.loads(file.read_bytes()).get("Repositories", {})
        names |= {digest for tags in repositories.values() for digest in tags.values()}
    return len(names)


def _containerd_images(root: Path) -> int:
    """Manifests with a configuration of an image; those of attestations have layers of another kind."""
    small = (file for file in root.glob(_CONTAINERD_STORE) if file.stat().st_size <= _MOST_MANIFEST)
    texts = (text for file in small if (text := file.read_bytes()).startswith(b"{"))
    return sum(b'"layers"' in text and b'"config"' in text and b"in-toto" not in text for text in texts)


def proxies(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The proxies in the environment, without the passwords that may be in them."""
    found = {name.upper(): value for name, value in environment.items() if name.upper() in _PROXIES and value}
    return tuple((name, _without_password(found[name])) for name in _PROXIES if name in found)


def _without_password(url: str) -> str:
    """Whatever stands before the last @, for a URL that is none has its password somewhere, too."""
    return re.sub(r"^([a-z][a-z0-9+.-]*://)?.*@", r"\1***@", url, flags=re.IGNORECASE | re.DOTALL)


def _bundle(path: Path | None) -> Disk:
    if path is None:
        return Disk()
    hint = "correct or unset the variable that names it (WASMDOCK_CA_BUNDLE, SSL_CERT_FILE, ...)"
    try:
        with path.open("rb") as file:
            readable = b"BEGIN CERTIFICATE" in file.read(1 << 20)
    except OSError as error:
        return Disk(str(path), trouble=f"cannot be read: {error.strerror}", hint=hint)
    return Disk(str(path)) if readable else Disk(str(path), trouble="holds no certificate", hint=hint)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
