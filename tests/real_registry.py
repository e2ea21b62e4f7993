"""Registries and other tools as they are in the world: what is here, how it is started, or the end of the test.

docker-registry and skopeo come from Debian, the others from scripts/peers, whose cache is looked through after PATH.
"""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.requirements import REQUIRED
from wasmdock.ports import free_port

# Distribution 2 as Debian has it, distribution 3, and the one in crane, which is of other stock.
SERVERS = ("docker-registry", "registry", "crane")
_INSTALL = {
    "docker-registry": "apt-get install docker-registry",
    "skopeo": "apt-get install skopeo",
}
_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: "{folder}/blobs"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""
_AUTH = 'auth: {{htpasswd: {{realm: test, path: "{folder}/htpasswd"}}}}'
# test:secret by bcrypt, the only hash docker-registry takes
_HTPASSWD = "test:$2a$05$2XXpoqY0DZhH/756wcossOYHSYQANjZkblMdW3TQD.tz8lFqfKVGC\n"


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs by name."""

    folder: Path

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one to its end, with a home of its own."""
        environment = {"PATH": _path(), "HOME": str(self.folder), "TMPDIR": str(self.folder), "COSIGN_PASSWORD": ""}
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=120, check=check, env=environment, cwd=self.folder
        )


def require_tool(name: str) -> str:
    """The program's path, or the end of the test."""
    found = shutil.which(name, path=_path())
    if not found:
        _missing(f"{name} is not here: {_INSTALL.get(name, f'scripts/peers {name}')}")
    return found


def require_schemas() -> Path:
    """The folder of the image specification's JSON schemas, or the end of the test."""
    found = _peers("image-spec-*")
    if not found:
        _missing("the schemas of the image specification are not here: scripts/peers image-spec")
    return found[0]


@contextmanager
def real_registry(folder: Path, with_login: bool = False, server: str = SERVERS[0]) -> Iterator[str]:
    """A registry on this machine alone, its name; gone afterwards. The login is test, secret."""
    program, port = require_tool(server), free_port("127.0.0.1")
    (folder / "htpasswd").write_text(_HTPASSWD)
    config = folder / "registry.yml"
    auth = _AUTH.format(folder=folder) if with_login else ""
    config.write_text(_CONFIG.format(folder=folder, port=port, auth=auth))
    words = ["serve", str(config)]
    if server == "crane":
        words = ["registry", "serve", f"--address=127.0.0.1:{port}", f"--disk={folder}"]
    with (folder / "registry.log").open("wb") as log:
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}  # distribution 3 sends traces somewhere else
        process = subprocess.Popen([program, *words], stdout=log, stderr=log, env=environment)
    try:
        _wait(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the registry did not start")


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), *map(str, _peers("*"))))


def _peers(pattern: str) -> list[Path]:
    """What scripts/peers has made, the newest first."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("WASMDOCK_CACHE") or home / "wasmdock")
    return sorted((cache / "peers").glob(pattern), key=lambda each: each.stat().st_mtime, reverse=True)


def _missing(why: str) -> NoReturn:
    if "registry" in REQUIRED:
        pytest.fail(f"--require registry: {why}")
    pytest.skip(why)
