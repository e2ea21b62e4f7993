"""What a docker client is made of besides itself, buildx and compose: whether it is there, and what brings it."""

import re
from collections.abc import Mapping
from pathlib import Path

from wasmdock.digits import read_digits

# Where docker looks for them after its own folder: cli-plugins/manager of docker/cli.
_FOLDERS = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")
_OURS = re.compile(r"/engine/(trixie|sid|newest)-[0-9a-f]{12}/root/run/docker\.sock$")  # scripts/engine


def is_installed(plugin: str, environment: Mapping[str, str]) -> bool:
    """Whether its file is where it is nearly always; where it is not, only docker itself knows."""
    own = environment.get("DOCKER_CONFIG") or f"{environment.get('HOME', '')}/.docker"
    return any(Path(folder, "cli-plugins", f"docker-{plugin}").exists() for folder in (own, *_FOLDERS))


def plugin_cure(plugin: str, url: str, release: str | None = None) -> str:
    """What brings `buildx` or `compose`; an engine of scripts/engine at this address has a client with both.

    release is the text of /etc/os-release, None for this machine's own: older distributions have no such packages.
    """
    ours = _OURS.search(url)
    if ours:
        suite = "" if ours[1] == "trixie" else f" --suite {ours[1]}"
        return f'eval "$(scripts/engine env{suite})", whose docker client has it'
    system, version = _system(_read_release() if release is None else release)
    if system == "debian" and version >= 13:
        return f"apt-get install docker-{plugin}"
    if system == "ubuntu" and version >= 22:
        return f"apt-get install docker-{plugin}{'-v2' if plugin == 'compose' else ''}"
    return f"install docker-{plugin}-plugin from Docker's own repository: https://docs.docker.com/engine/install"


def _read_release() -> str:
    try:
        return Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _system(release: str) -> tuple[str, int]:
    """The distribution's name and the first number of its version (os-release(5))."""
    pairs = (line.partition("=") for line in release.splitlines())
    found = {key: value.strip("\"'") for key, _, value in pairs}
    return found.get("ID", ""), read_digits(found.get("VERSION_ID", "").partition(".")[0]) or 0
