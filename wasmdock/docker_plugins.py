"""What a docker client is made of besides itself, buildx and compose: whether it is there, and what brings it."""

import re
from collections.abc import Mapping
from pathlib import Path

# Where docker looks for them after its own folder: cli-plugins/manager of docker/cli.
_FOLDERS = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")
_OURS = re.compile(r"/engine/(trixie|sid|newest)-[0-9a-f]{12}/root/run/docker\.sock$")  # scripts/engine


def is_installed(plugin: str, environment: Mapping[str, str]) -> bool:
    """Whether its file is where it is nearly always; where it is not, only docker itself knows."""
    own = environment.get("DOCKER_CONFIG") or f"{environment.get('HOME', '')}/.docker"
    return any(Path(folder, "cli-plugins", f"docker-{plugin}").exists() for folder in (own, *_FOLDERS))


def plugin_cure(plugin: str, url: str) -> str:
    """What brings `buildx` or `compose`; an engine of scripts/engine at this address has a client with both."""
    ours = _OURS.search(url)
    if ours:
        suite = "" if ours[1] == "trixie" else f" --suite {ours[1]}"
        return f'eval "$(scripts/engine env{suite})", whose docker client has it'
    return f"apt-get install docker-{plugin}, or docker-{plugin}-plugin from Docker's own repository"
