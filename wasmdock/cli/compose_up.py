"""wasmdock compose up, run, down: which road, then the road."""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wasmdock.cli import INTERRUPTED
from wasmdock.cli.compose_images import load_into_engine
from wasmdock.cli.compose_project import refuse_empty, state_of
from wasmdock.cli.context import Context
from wasmdock.errors import CommandError, UnavailableError, UsageError, WasmdockError

if TYPE_CHECKING:
    from wasmdock.compose import Stack

_DOWN_TIME = 600.0
_ASK_TIME = 60.0
_TAIL = 8192  # bytes of docker compose's stderr that say why it failed
_TERMINATED = 143  # its code after SIGTERM


def start(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    """Take the road and start."""
    stack = _reduced(stack, options)
    if takes_docker(stack, options.on, context):
        return _up_in_docker(stack, options, context)
    _refuse_twofold(stack, context)
    from wasmdock.cli.compose_process import up_in_process

    return up_in_process(stack, options, context)


def _refuse_twofold(stack: "Stack", context: Context) -> None:
    """Raise UsageError where containers of the project run: its guests would be there twice."""
    if not state_of(stack, context).is_in_docker:
        return
    if any(each.get("State", "").lower() == "running" for each in _containers(stack, context)):
        doing = f'starting project "{stack.name}"'
        raise UsageError(f"{doing}: it runs in Docker already", "stop it: wasmdock compose down")


def _reduced(stack: "Stack", options: argparse.Namespace) -> "Stack":
    if options.only_wasm:
        kept = tuple(each for each in stack.services if each.is_wasm)
        names = {each.name for each in kept}
        kept = tuple(
            replace(each, depends_on=tuple(one for one in each.depends_on if one.service in names)) for each in kept
        )
        stack = replace(stack, services=kept)
    refuse_empty(stack)
    return stack


def takes_docker(stack: "Stack", wanted: str, context: Context) -> bool:
    """Whether docker compose gets it all: asked for, nothing is Wasm, or an engine that has run Wasm before."""
    if wanted != "auto":
        return wanted == "docker"
    if not any(each.is_wasm for each in stack.services):
        return True
    from wasmdock.cli.proof import is_proven

    if not is_proven(context):
        return False
    try:
        return bool(context.docker)
    except UnavailableError:
        return False


def prepared_words(stack: "Stack", options: argparse.Namespace, context: Context) -> list[str]:
    """`compose ...` for this stack, its override written."""
    from wasmdock.compose_docker import compose_words, override, write_override

    extra = write_override(state_of(stack, context).folder, override(stack))
    return compose_words(stack, extra, options.profiles or ())


def _up_in_docker(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    from wasmdock.cli.foresee_services import foresee_services
    from wasmdock.cli.proof import record_proof
    from wasmdock.compose_docker import explain_failure, need_compose

    if state_of(stack, context).holder():
        raise UsageError(
            f'starting project "{stack.name}": it runs in-process already', "stop it: wasmdock compose down"
        )
    docker = context.docker
    need_compose(docker, f'starting project "{stack.name}"')
    load_into_engine(stack, context, options.build)
    foresee_services(stack, context)
    state_of(stack, context).give_to_docker()
    words = [*prepared_words(stack, options, context), "up"]
    words += ["--build"] if options.build and not all(each.is_wasm for each in stack.services) else []
    words += ["--detach"] if options.detach else []
    words += [each.name for each in stack.services] if options.services or options.only_wasm else []
    words += ["--no-deps"] if options.only_wasm else []
    done = docker.attacher(["docker", *words], timeout=None, env=docker.environment, stderr_tail=_TAIL)
    if done.code == 0 and any(each.is_wasm for each in stack.services):
        record_proof(context)
    if done.code < 0 or done.code in (0, INTERRUPTED, _TERMINATED):
        return done.code
    docker.cli(*prepared_words(stack, options, context), "stop", timeout=_DOWN_TIME)
    raise explain_failure(done, f'starting project "{stack.name}"')


def run_once(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    """One service with other arguments, on our own streams."""
    service = stack.service(options.service)
    if takes_docker(replace(stack, services=(service,)), options.on, context):
        from wasmdock.compose_docker import need_compose

        docker = context.docker
        need_compose(docker, f'running "{service.name}"')
        load_into_engine(stack, context)
        words = [*prepared_words(stack, options, context), "run", "--rm", "-T", service.name, *options.args]
        return docker.attacher(["docker", *words], timeout=None, share_stdin=True, env=docker.environment).code
    if not service.is_wasm:
        raise UsageError(f'running "{service.name}" in-process: it is no Wasm service', "run it with --on docker")
    from wasmdock.cli.compose_process import run_in_process

    return run_in_process(stack, service, options, context)


def remove(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    """End the supervisor, then docker compose's part; leave nothing."""
    import shutil

    state = state_of(stack, context)
    grace = sum(each.stop_grace for each in stack.services) + 10.0
    ran = state.end(grace)
    document = state.read()
    if document.get("linux"):
        _require_engine(stack, context)
    in_docker = (document.get("linux", True) or state.is_in_docker) and _has_containers(stack, context)
    if in_docker:
        docker = context.docker
        words = ["compose", "-p", stack.name, "down", "--remove-orphans", *(["--volumes"] if options.volumes else [])]
        done = docker.attacher(["docker", *words], timeout=_DOWN_TIME, env=docker.environment)
        if done.code != 0:
            raise CommandError(
                f'stopping project "{stack.name}": docker compose: exit code {done.code}', "", done.argv, done.code
            )
    for name in ("tmpfs", "files", "granted", *(["volumes"] if options.volumes else [])):
        shutil.rmtree(state.folder / name, ignore_errors=True)
    state.forget()
    there = ran or document or in_docker
    context.say(f'wasmdock: project "{stack.name}" {"is stopped and removed" if there else "was not running"}')
    return 0


def _require_engine(stack: "Stack", context: Context) -> None:
    """Say that containers are left where the engine that holds them does not answer; what we know of them stays."""
    names = ", ".join(each.name for each in stack.services if not each.is_wasm)
    try:
        context.docker  # noqa: B018  # asked whether it answers
    except UnavailableError as error:
        raise UnavailableError(
            f'removing the containers of project "{stack.name}" ({names}): {error.message}',
            f"{error.hint}\nthen run this again; what ran in-process is stopped".lstrip("\n"),
        ) from error


def _has_containers(stack: "Stack", context: Context) -> bool:
    return bool(_containers(stack, context))


def _containers(stack: "Stack", context: Context) -> list[dict[str, Any]]:
    """What docker compose runs of this project; nothing where no engine answers."""
    from wasmdock.compose_docker import listed

    try:
        docker = context.docker
    except WasmdockError:
        return []
    done = docker.cli("compose", "-p", stack.name, "ps", "--all", "--format", "json", timeout=_ASK_TIME)
    if done.code != 0:
        return []
    return listed(done)


def docker_rows(stack: "Stack", context: Context, known: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The project's containers that are not in the list already."""
    names = {row["name"] for row in known}
    rows = []
    for each in _containers(stack, context):
        name = each.get("Name", "").removeprefix(f"{stack.name}-")
        if name in names:
            continue
        rows.append(
            {
                "name": name,
                "service": each.get("Service", ""),
                "road": "docker",
                "status": each.get("Status") or each.get("State", ""),
                "pid": 0,
                "code": each.get("ExitCode"),
                "ports": ", ".join(
                    f"{one.get('URL') or '0.0.0.0'}:{one['PublishedPort']}->{one['TargetPort']}/{one['Protocol']}"
                    for one in each.get("Publishers") or ()
                    if one.get("PublishedPort")
                ),
            }
        )
    return rows


def docker_logs(stack: "Stack", options: argparse.Namespace, context: Context) -> int:
    """docker compose's own logs."""
    if not _containers(stack, context):
        context.say(f'wasmdock: project "{stack.name}" has not run')
        return 0
    docker = context.docker
    words = ["compose", "-p", stack.name, "logs", *(["--follow"] if options.follow else [])]
    words += ["--timestamps"] if options.timestamps else []
    words += [f"--tail={options.tail}"] if options.tail is not None else []
    return docker.attacher(["docker", *words, *options.services], timeout=None, env=docker.environment).code
