"""Images through a real registry, and between wasmdock and other people's tools, in every shape."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import sample
from tests.images import image_of, plain_layer, tar_of
from tests.real_registry import SERVERS, Tools, real_registry, require_tool
from tests.tools import OTHERS, give, take
from wasmdock import pull_image, push_image
from wasmdock.convert import convert
from wasmdock.inprocess import InProcessRuntime
from wasmdock.oci.image import Image, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.layout import read_layout, write_layout
from wasmdock.oci.referrer import SPDX, Referrer
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Transport
from wasmdock.oci.registry_transfer import copy, pull, push
from wasmdock.oci.store import Store
from wasmdock.pack import extract
from wasmdock.runtime import RunRequest
from wasmdock.shape import Shape

ROOT = Path(__file__).parent.parent
BIG = 48 << 20  # bytes of a layer, more than one chunk


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_registry(tmp_path_factory.mktemp("registry")) as name:
        yield name


@pytest.fixture(scope="module", params=SERVERS)
def each_registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the specification leaves open, each answers in its own way."""
    with real_registry(tmp_path_factory.mktemp(request.param), server=request.param) as name:
        yield name


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    folder = tmp_path / "tools"
    folder.mkdir()
    return Tools(folder)


def client(name: str) -> Registry:
    return Registry(name, Transport())


def wasmdock(home: Path, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    environment = {**os.environ, "WASMDOCK_HOME": str(home), "DOCKER_CONFIG": str(home / "docker"), **more}
    argv = (sys.executable, "-m", "wasmdock", *argv)
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env=environment, cwd=ROOT, input="secret\n"
    )


def big() -> Image:
    pattern = os.urandom(1 << 20)
    return image_of(plain_layer(tar_of({"app.wasm": b"\0asm\1\0\0\0" + pattern * (BIG >> 20)})))


def _shaped(shape: Shape) -> Image:
    return convert(sample("hello"), shape)


@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.value)
@pytest.mark.parametrize("tool", OTHERS)
def test_another_tool_pulls_what_wasmdock_pushed(
    tool: str, shape: Shape, registry: str, tools: Tools, tmp_path: Path
) -> None:
    name = Reference(registry, f"ours/{shape.value}", "v1")
    push(client(registry), name, _shaped(shape))
    take(tool, str(name), tmp_path / "taken", tools)
    assert read_layout(tmp_path / "taken") == _shaped(shape)


@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.value)
@pytest.mark.parametrize("tool", OTHERS)
def test_wasmdock_pulls_and_runs_what_another_tool_pushed(
    tool: str, shape: Shape, registry: str, tools: Tools, tmp_path: Path, runtime: InProcessRuntime
) -> None:
    image = _shaped(shape)
    write_layout(image, tmp_path / "layout", Reference.parse("hello:v1"))
    name = Reference(registry, f"{tool}/{shape.value}", "v1")
    give(tool, tmp_path / "layout", str(name), tools)
    store = Store(tmp_path / "store")
    assert pull(client(registry), name, store).digest == image.digest
    assert runtime.run(store.get(str(name)), RunRequest()).stdout == b"Hello from a sample guest!\n"


@pytest.mark.parametrize("taking", OTHERS)
@pytest.mark.parametrize("giving", OTHERS)
def test_images_of_wasmdock_travel_between_other_tools(
    giving: str, taking: str, registry: str, tools: Tools, tmp_path: Path
) -> None:
    for shape in Shape:
        image = _shaped(shape)
        write_layout(image, tmp_path / shape.value, Reference.parse("hello:v1"))
        name = f"{registry}/{giving}-{taking}/{shape.value}:v1"
        give(giving, tmp_path / shape.value, name, tools)
        take(taking, name, tmp_path / f"taken-{shape.value}", tools)
        assert read_layout(tmp_path / f"taken-{shape.value}") == image


def test_wasmdock_pulls_and_runs_what_wkg_pushed(
    registry: str, tools: Tools, tmp_path: Path, runtime: InProcessRuntime
) -> None:
    binary, name = extract(sample("component_cli")), Reference(registry, "wkg/theirs", "1.0.0")
    (tools.folder / "guest.wasm").write_bytes(binary)
    tools.run(require_tool("wkg"), "oci", "push", "--insecure", registry, str(name), "guest.wasm")
    store = Store(tmp_path / "store")
    assert pull(client(registry), name, store).platform.is_wasm
    image = store.get(str(name))
    assert extract(image) == binary
    assert runtime.run(image, RunRequest())[:3] == runtime.run(sample("component_cli"), RunRequest())[:3]


def test_wkg_pulls_the_same_binary_from_an_artifact_that_wasmdock_pushed(registry: str, tools: Tools) -> None:
    image = convert(sample("component_cli"), Shape.ARTIFACT)
    name = Reference(registry, "wkg/ours", "1.0.0")
    push(client(registry), name, image)
    tools.run(require_tool("wkg"), "oci", "pull", "--insecure", registry, str(name), "-o", "taken.wasm")
    assert (tools.folder / "taken.wasm").read_bytes() == extract(image)


@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.value)
def test_an_independent_validator_finds_nothing_wrong(shape: Shape, registry: str, tools: Tools) -> None:
    name = Reference(registry, f"valid/{shape.value}", "v1")
    push(client(registry), name, _shaped(shape))
    done = tools.run(require_tool("crane"), "validate", "--insecure", "--remote", str(name), check=False)
    assert (done.returncode, done.stdout) == (0, f"PASS: {name}\n"), done.stderr


def test_every_shape_comes_back_from_any_registry_as_it_was(each_registry: str, tmp_path: Path) -> None:
    for shape in Shape:
        name = Reference(each_registry, f"any/{shape.value}", "v1")
        push(client(each_registry), name, _shaped(shape))
        store = Store(tmp_path / shape.value)
        pull(client(each_registry), name, store)
        assert store.get(str(name)) == _shaped(shape)
        assert client(each_registry).tags(name.repository) == ["v1"]


def test_large_layer_comes_back_from_any_registry_as_it_was(each_registry: str, tmp_path: Path) -> None:
    name, image, store = Reference(each_registry, "any/large", "v1"), big(), Store(tmp_path)
    push(client(each_registry), name, image)
    assert push(client(each_registry), name, image).sent == 0
    pull(client(each_registry), name, store)
    assert store.get(str(name)) == image


def test_what_refers_to_an_image_comes_back_from_any_registry(each_registry: str, tmp_path: Path) -> None:
    name, one, other = f"{each_registry}/any/about:v1", tmp_path / "one", tmp_path / "other"
    Store(one / "images").put(sample("hello"), Reference.parse(name))
    Store(one / "images").attach(Referrer.of(sample("hello").descriptor, SPDX, b"{}"))
    assert wasmdock(one, "push", name).returncode == 0
    assert wasmdock(other, "pull", "--referrers", name).returncode == 0
    assert [each.data for each in Store(other / "images").referrers(sample("hello").digest)] == [b"{}"]


def test_what_oras_attached_is_copied_from_any_registry(each_registry: str, tools: Tools, tmp_path: Path) -> None:
    """Two files, which is more than one document; read back by oras itself."""
    oras, name, copied = require_tool("oras"), f"{each_registry}/any/attached:v1", f"{each_registry}/any/copied:v1"
    push(client(each_registry), Reference.parse(name), sample("hello"))
    for file in ("one", "two"):
        (tools.folder / file).write_text(file)
    tools.run(oras, "attach", "--plain-http", "--artifact-type", "application/x-notes", name, "one", "two")
    done = wasmdock(tmp_path, "copy", name, copied)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(tools.run(oras, "discover", "--plain-http", "--format", "json", copied).stdout)
    (artifact,) = found.get("referrers") or found["manifests"]
    pulled = tmp_path / "pulled"
    tools.run(oras, "pull", "--plain-http", "-o", str(pulled), f"{each_registry}/any/copied@{artifact['digest']}")
    assert sorted(path.read_text() for path in pulled.iterdir()) == ["one", "two"]


def test_name_that_no_registry_has_is_said_by_any(each_registry: str, tmp_path: Path) -> None:
    done = wasmdock(tmp_path, "pull", f"{each_registry}/any/nothing:v1")
    assert (done.returncode, "the registry does not have it" in done.stderr) == (1, True), done.stderr


def test_an_index_keeps_every_platform(registry: str, tools: Tools, tmp_path: Path) -> None:
    native = image_of(plain_layer(tar_of({"hello": b"\x7fELF"})), os="linux", architecture="amd64")
    index = ImageIndex.of([sample("hello"), native])
    name = Reference(registry, "both", "v1")
    push(client(registry), name, index)
    shown = json.loads(tools.run(require_tool("crane"), "manifest", "--insecure", str(name)).stdout)
    platforms = [f"{each['platform']['os']}/{each['platform']['architecture']}" for each in shown["manifests"]]
    assert platforms == ["wasi/wasm", "linux/amd64"]
    assert pull(client(registry), name, Store(tmp_path)).platform.is_wasm


def test_an_unchanged_image_is_pushed_without_a_blob(registry: str) -> None:
    name = Reference(registry, "unchanged", "v1")
    assert push(client(registry), name, sample("hello")).sent == 2
    assert push(client(registry), name, sample("hello")).sent == 0


def test_the_library_needs_a_name_and_nothing_else(registry: str, tmp_path: Path) -> None:
    name = Reference.parse(f"{registry}/by-name:v1")
    assert push_image(sample("hello"), name).digest == sample("hello").digest
    assert pull_image(name, Store(tmp_path)).digest == sample("hello").digest


def test_blobs_are_mounted_from_another_repository(registry: str) -> None:
    image = image_of(plain_layer(tar_of({"app.wasm": os.urandom(100)})))
    push(client(registry), Reference(registry, "mount/from", "v1"), image)
    sent = push(client(registry), Reference(registry, "mount/to", "v1"), image, sources=lambda _: ["mount/from"])
    assert (sent.sent, sent.mounted) == (0, 2)


def test_a_copy_within_the_registry_moves_no_byte(registry: str) -> None:
    image = image_of(plain_layer(tar_of({"app.wasm": os.urandom(100)})))
    one, other = Reference(registry, "copy/one", "v1"), Reference(registry, "copy/other", "v1")
    push(client(registry), one, image)
    found = client(registry)
    assert copy(found, one, found, other).mounted == 2
    assert set(client(registry).tags("copy/other")) == {"v1"}


def test_a_large_layer_goes_there_and_back_in_little_memory(registry: str, tmp_path: Path) -> None:
    name = f"{registry}/big:v1"
    Store(tmp_path / "images").put(big(), Reference.parse(name))
    measure = (
        "import sys; from wasmdock.cli import run_cli; code = run_cli(sys.argv[1:]);"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(code)"
    )
    for verb in ("push", "rmi", "pull"):
        environment = {**os.environ, "WASMDOCK_HOME": str(tmp_path)}
        argv = (sys.executable, "-c", measure, verb, name)
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
        assert int(done.stdout.split()[-1]) < BIG / 1024, verb  # KiB: less than the layer alone
    assert not list((tmp_path / "images" / "transfers").iterdir())


def test_login_is_checked_kept_used_and_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    with real_registry(folder, with_login=True) as name:
        Store(tmp_path / "images").put(sample("hello"), Reference.parse(f"{name}/hello:v1"))
        refused = wasmdock(tmp_path, "push", f"{name}/hello:v1")
        assert (refused.returncode, f"try: wasmdock login {name}" in refused.stderr) == (1, True)
        wrong = wasmdock(tmp_path, "login", name, "-u", "nobody", "--password-stdin")
        assert (wrong.returncode, (tmp_path / "docker").exists()) == (1, False)
        login = wasmdock(tmp_path, "login", name, "-u", "test", "--password-stdin")
        assert login.returncode == 0, login.stderr
        assert (tmp_path / "docker" / "config.json").stat().st_mode & 0o777 == 0o600
        assert wasmdock(tmp_path, "push", f"{name}/hello:v1").returncode == 0
        assert wasmdock(tmp_path, "pull", f"{name}/hello:v1").returncode == 0
        assert wasmdock(tmp_path, "tags", f"{name}/hello").stdout == "v1\n"
        assert wasmdock(tmp_path, "logout", name).returncode == 0
        assert wasmdock(tmp_path, "push", f"{name}/hello:v2", f"{name}/hello:v3").returncode == 1
        for done in (refused, wrong, login):
            assert "secret" not in done.stderr + done.stdout


def test_a_pull_keeps_what_refers_to_the_image_where_asked(registry: str, tmp_path: Path) -> None:
    name, mine, other = f"{registry}/about:v1", tmp_path / "mine", tmp_path / "other"
    Store(mine / "images").put(sample("hello"), Reference.parse(name))
    Store(mine / "images").attach(Referrer.of(sample("hello").descriptor, SPDX, b"{}"))
    assert wasmdock(mine, "push", name).returncode == 0
    assert "referrers" not in wasmdock(other, "pull", name).stdout
    assert not Store(other / "images").referrers(sample("hello").digest)
    assert "referrers: application/spdx+json\n" in wasmdock(other, "pull", "--referrers", name).stdout
    assert [each.data for each in Store(other / "images").referrers(sample("hello").digest)] == [b"{}"]


def test_run_takes_an_image_straight_from_the_registry(registry: str, tmp_path: Path) -> None:
    for shape in Shape:
        name = Reference(registry, f"run/{shape.value}", "v1")
        push(client(registry), name, _shaped(shape))
        never = wasmdock(tmp_path, "run", "--on", "process", "--pull", "never", str(name))
        assert (never.returncode, "not in the store" in never.stderr) == (125, True)
        done = wasmdock(tmp_path, "run", "--on", "process", str(name))
        assert (done.returncode, done.stdout) == (0, "Hello from a sample guest!\n"), done.stderr
        assert wasmdock(tmp_path, "run", "--on", "process", "--pull", "never", str(name)).returncode == 0


def _killed(argv: tuple[str, ...], home: Path, number: int, when: Callable[[], bool]) -> None:
    """Start wasmdock and send a signal as soon as the time has come."""
    environment = {**os.environ, "WASMDOCK_HOME": str(home)}
    process = subprocess.Popen(
        (sys.executable, "-m", "wasmdock", *argv), env=environment, cwd=ROOT, stdout=-3, stderr=-3
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not when() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(number)
    process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_pull_ended_in_the_middle_leaves_the_store_sound(
    number: signal.Signals, registry: str, tmp_path: Path
) -> None:
    name = Reference(registry, f"ended/pull{int(number)}", "v1")
    image = big()
    push(client(registry), name, image)
    store = Store(tmp_path / "images")
    store.put(sample("hello"), Reference.parse("mine"))
    layer = image.layers[0].descriptor.digest.hex
    _killed(("pull", str(name)), tmp_path, number, lambda: any(store.root.glob(f"transfers/*/blobs/sha256/{layer}")))
    assert store.get("mine") == sample("hello")
    assert [line.reference.familiar for line in store.images()] == ["mine:latest"]
    pull(client(registry), name, store)
    assert store.get(str(name)) == image
    assert not list((store.root / "transfers").iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_push_ended_in_the_middle_leaves_no_tag(number: signal.Signals, registry: str, tmp_path: Path) -> None:
    name = Reference(registry, f"ended/push{int(number)}", "v1")
    Store(tmp_path / "images").put(big(), name)
    began = time.monotonic()
    _killed(("push", str(name)), tmp_path, number, lambda: time.monotonic() - began > 0.45)
    found = client(registry).digest(name.repository, "v1", "looking")
    done = wasmdock(tmp_path, "push", str(name))
    assert done.returncode == 0
    if found is not None:  # it was faster than the signal: then it is whole
        assert "there already" in done.stdout
    assert pull(client(registry), name, Store(tmp_path / "other")).packed_size > BIG
