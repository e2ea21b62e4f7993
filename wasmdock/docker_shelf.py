"""The images that earlier runs loaded into the engine: the newest stay, so that a second run of them is quick."""

from wasmdock.docker import Docker
from wasmdock.errors import WasmdockError

SHELF = "wasmdock/run"
KEPT = 16
_WHEN_AND_NAMES = '{{.Metadata.LastTagTime}}|{{join .RepoTags "|"}}'


def thin_out(docker: Docker, kept: int = KEPT) -> None:
    """Remove all but the newest by the engine's own record; one that a container uses stays, and no failure counts."""
    try:
        names = _lines(docker, "ls", f"--filter=reference={SHELF}", "--format={{.Repository}}:{{.Tag}}")
        if len(names) > kept:
            dated = _lines(docker, "inspect", f"--format={_WHEN_AND_NAMES}", *names)
            if old := find_old(dated, kept):
                docker.cli("image", "rm", *old)
    except WasmdockError:
        return


def find_old(dated: list[str], kept: int) -> list[str]:
    """The names to remove, by lines of a time and an image's names; other names of the same images stay."""
    ordered = sorted(dated, reverse=True)[kept:]
    return [name for line in ordered for name in line.split("|")[1:] if name.startswith(f"{SHELF}:")]


def _lines(docker: Docker, *words: str) -> list[str]:
    return docker.cli("image", *words).stdout.decode("utf-8", "replace").split("\n")[:-1]
