"""wasmdock engine up, down, status, env: an engine that runs Wasm, for people whose own does not."""

import argparse
import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.cli.proof import record_proof
from wasmdock.cli.toolchain import ca_bundle, telling
from wasmdock.docker import Docker
from wasmdock.docker_host import Host, own_engine
from wasmdock.doctor_probes import try_wasm
from wasmdock.engine_container import BY_TLS, CONTEXT, Recipe, address, status
from wasmdock.engine_container import down as bring_down
from wasmdock.engine_container import up as bring_up
from wasmdock.errors import UnavailableError, UsageError, WasmdockError
from wasmdock.shim import find_programs

_DOWN = 3  # the exit code of `status` where it does not run, as of scripts/engine


def up(options: argparse.Namespace, context: Context) -> int:
    """Start it (the first time: build it), make a docker context for it, prove that it runs Wasm, say where it is."""
    outer = _outer(context)
    progress = telling(context, "building the Wasm runtime")
    programs = find_programs(options.source, command=_command(options), progress=progress)
    context.say("wasmdock: bringing the engine up (the first time takes some minutes)")
    recipe = Recipe(
        _folder(),
        programs,
        context.data / "engine",
        ca_bundle(context),
        tls=options.tls,
        ports=tuple(options.publish),
    )
    host = bring_up(outer, recipe, _pass_on if context.is_terminal and not context.quiet else None)
    _make_context(outer, host)
    trial = try_wasm(Docker(host, context.environment))
    with suppress(UsageError):  # without a folder there is nothing to remember it in
        if trial.works:
            record_proof(context, host.url)
    print(f"DOCKER_HOST={host.url}")
    found = "wasmdock run finds it" if trial.works else f"it does not run Wasm yet: {trial.cause}"
    context.say(f"wasmdock: {found}; docker --context {CONTEXT} uses it")
    return 0


def _command(options: argparse.Namespace) -> str:
    """What the user called, without --from."""
    words = ["wasmdock", "engine", "up"]
    if options.tls != BY_TLS:
        words.append("--tls" if options.tls else "--no-tls")
    return shlex.join([*words, *(f"--publish={port}" for port in options.publish)])


def down(options: argparse.Namespace, context: Context) -> int:
    """End it; its images stay for the next time, unless --volumes."""
    outer = _outer(context)
    removed = bring_down(outer, context.data / "engine", volumes=options.volumes)
    outer.cli("context", "rm", "--force", CONTEXT)
    what = f"removed the engine's {', '.join(removed)}" if removed else "there was no engine"
    context.say(f"wasmdock: {what}")
    return 0


def engine_status(options: argparse.Namespace, context: Context) -> int:
    """One line; 0 where it answers, 3 where it does not run."""
    outer = _outer(context)
    state, host = status(outer, context.environment)
    version = Docker(host, context.environment).facts().version if host else ""
    facts = {"state": state, "url": host.url if host else "", "version": version}
    if options.format == "json":
        print(json.dumps(facts))
    elif host:
        print(f"{state}: Docker {version}, DOCKER_HOST={host.url}, its ports at {address(outer) or 'unknown'}")
    else:
        print(f"{state}, and it does not answer: wasmdock engine up")
    return 0 if host else _DOWN


def env(options: argparse.Namespace, context: Context) -> int:
    """What to eval for the plain docker client."""
    host = own_engine(context.environment)
    if host is None:
        raise UnavailableError("naming the engine's address: none of ours is up", "wasmdock engine up")
    exported = {**host.environment, "WASMDOCK_ENGINE_ADDRESS": _address(context)}
    for name, value in exported.items():
        if value:
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _address(context: Context) -> str:
    """Where ports that the engine's containers publish answer; empty where nobody tells."""
    try:
        return address(_outer(context))
    except WasmdockError:
        return ""


def _outer(context: Context) -> Docker:
    """The engine that is to run ours: the user's own, never ours itself, also after `eval` of `engine env`."""
    environment = dict(context.environment)
    ours = own_engine(environment)
    if ours is not None and environment.get("DOCKER_HOST") == ours.url:
        for name in ours.environment:
            environment.pop(name, None)
    return Docker.connect({**environment, "WASMDOCK_ENGINE": "none"})


def _make_context(outer: Docker, host: Host) -> None:
    """Make the context anew: the address may have changed. A client without contexts is no failure."""
    outer.cli("context", "rm", "--force", CONTEXT)
    parts = [f"host={host.url}"]
    parts += [f"{key}={host.tls / f'{key}.pem'}" for key in ("ca", "cert", "key")] if host.tls else []
    outer.cli("context", "create", CONTEXT, "--docker", ",".join(parts))


def _folder() -> Path:
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "dockerfiles" / "engine", package / "dockerfiles" / "engine"):
        if (folder / "Dockerfile").is_file():
            return folder
    raise UnavailableError("finding the engine's image: dockerfiles/engine is missing", "install wasmdock again")


def _pass_on(chunk: bytes) -> None:
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()
