"""Docker pulls and runs what wasmdock pushes, and wasmdock what Docker pushes, by a registry inside the engine."""

import io
import os
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from tests.conftest import sample
from tests.images import gzip_layer, image_of
from tests.real_registry import SERVERS, Tools, require_tool
from tests.requirements import require_docker
from tests.tools import OTHERS, give, take
from wasmdock.convert import convert
from wasmdock.docker import Docker
from wasmdock.oci.image import Image, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import read_layout, write_layout
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Transport
from wasmdock.oci.registry_transfer import pull, push
from wasmdock.oci.store import Store
from wasmdock.shape import Shape

pytestmark = pytest.mark.docker

_SERVER = "wasmdock-test/registry:for-tests"
_CONFIG = b"version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: /var}}\nhttp: {addr: ':5000'}\n"
_WASM_RUN = ("run", "--rm", "--runtime=io.containerd.wasmtime.v1")


@dataclass(frozen=True, slots=True)
class Ends:
    """One registry: as the engine calls it, and as this process does."""

    inside: str
    outside: str

    def client(self) -> Registry:
        return Registry(self.outside, Transport(insecure=True))

    def push(self, name: str, content: Image | ImageIndex) -> str:
        """Push by wasmdock; gives the name for the engine."""
        push(self.client(), Reference(self.outside, name, "v1"), content)
        return f"{self.inside}/{name}:v1"


def docker(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("docker", *argv), capture_output=True, text=True, timeout=60, check=check)


def _server_image(server: str) -> Image:
    """The host's registry server with the libraries it is linked to, in an image of nothing else."""
    listed = subprocess.run(("ldd", server), capture_output=True, text=True, timeout=10).stdout
    libraries = [word for word in listed.split() if word.startswith("/")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in [(path, Path(path).read_bytes()) for path in (server, *libraries)] + [("c.yml", _CONFIG)]:
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    run = {"Entrypoint": [server, "serve", "/c.yml"]}
    return image_of(gzip_layer(buffer.getvalue()), os="linux", architecture=machine, run=run)


@pytest.fixture(scope="module")
def ends() -> Iterator[Ends]:
    require_docker()
    Docker.connect(os.environ).load(_server_image(require_tool(SERVERS[0])), _SERVER)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(testcontainers_config, "ryuk_disabled", True)  # its image is in a registry
            with DockerContainer(_SERVER).with_exposed_ports(5000) as container:
                port = container.get_exposed_port(5000)
                outside = f"{os.environ.get('WASMDOCK_ENGINE_ADDRESS', '127.0.0.1')}:{port}"
                _wait(outside)
                yield Ends(f"127.0.0.1:{port}", outside)
    finally:
        docker("rmi", "-f", _SERVER, check=False)


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the registry did not start")


def _native() -> Image:
    """Not to be run: an image for this engine's own machine."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return image_of(gzip_layer(_tar("hello", b"\x7fELF")), os="linux", architecture=machine)


def _tar(name: str, data: bytes) -> bytes:
    from tests.images import tar_of

    return tar_of({name: data})


@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.value)
def test_docker_pulls_every_shape_that_wasmdock_pushed(shape: Shape, ends: Ends) -> None:
    name = ends.push(f"ours/{shape.value}", convert(sample("hello"), shape))
    assert "Downloaded newer image" in docker("pull", name).stdout
    docker("rmi", name)


def test_docker_runs_wasm_that_wasmdock_pushed(ends: Ends) -> None:
    name = ends.push("runs", sample("hello"))
    done = docker(*_WASM_RUN, "--platform=wasi/wasm", "--network=host", name, check=False)
    if "not installed" in done.stderr or "unknown or invalid runtime" in done.stderr:
        pytest.skip("the engine has no containerd-shim-wasmtime-v1: wasmdock engine install")
    assert (done.returncode, done.stdout) == (0, "Hello from a sample guest!\n"), done.stderr
    docker("rmi", name)


@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.value)
def test_wasmdock_pulls_what_docker_pushed(shape: Shape, ends: Ends, tmp_path: Path) -> None:
    image = convert(sample("hello"), shape)
    first = ends.push(f"first/{shape.value}", image)
    second = f"{ends.inside}/second/{shape.value}:v1"
    docker("pull", first)
    docker("tag", first, second)
    docker("push", second)
    store = Store(tmp_path)
    found = pull(ends.client(), Reference(ends.outside, f"second/{shape.value}", "v1"), store)
    assert store.get(str(found.digest)) == image
    docker("rmi", first, second)


@pytest.mark.parametrize("tool", OTHERS)
def test_docker_pulls_every_shape_that_another_tool_pushed(tool: str, ends: Ends, tmp_path: Path) -> None:
    for shape in Shape:
        write_layout(convert(sample("hello"), shape), tmp_path / shape.value, Reference.parse("hello:v1"))
        give(tool, tmp_path / shape.value, f"{ends.outside}/{tool}/{shape.value}:v1", Tools(tmp_path))
        name = f"{ends.inside}/{tool}/{shape.value}:v1"
        assert "Downloaded newer image" in docker("pull", name).stdout
        docker("rmi", name)


@pytest.mark.parametrize("tool", OTHERS)
def test_another_tool_pulls_every_shape_that_docker_pushed(tool: str, ends: Ends, tmp_path: Path) -> None:
    for shape in Shape:
        image = convert(sample("hello"), shape)
        first, second = ends.push(f"to-docker/{shape.value}", image), f"from-docker/{shape.value}:v1"
        docker("pull", first)
        docker("tag", first, f"{ends.inside}/{second}")
        docker("push", f"{ends.inside}/{second}")
        docker("rmi", first, f"{ends.inside}/{second}")
        take(tool, f"{ends.outside}/{second}", tmp_path / shape.value, Tools(tmp_path))
        assert read_layout(tmp_path / shape.value) == image


def test_of_one_name_for_both_docker_takes_the_native_image_unless_told(ends: Ends) -> None:
    name = ends.push("both", ImageIndex.of([sample("hello"), _native()]))
    docker("pull", name)
    docker("create", "--name=wasmdock-test-both", name, "/hello")
    try:
        shown = docker("inspect", "--format={{.Platform}}", "wasmdock-test-both").stdout
        assert shown.strip() == "linux"
    finally:
        docker("rm", "wasmdock-test-both")
    assert docker("pull", "--platform=wasi/wasm", name).returncode == 0
    docker("rmi", name)


def test_wasmdock_pulls_either_image_of_one_name(ends: Ends, tmp_path: Path) -> None:
    ends.push("either", ImageIndex.of([sample("hello"), _native()]))
    reference = Reference(ends.outside, "either", "v1")
    store = Store(tmp_path)
    assert pull(ends.client(), reference, store).platform == Platform("wasi", "wasm")
    assert pull(ends.client(), reference, store, platforms=[_native().platform]).digest == _native().digest
