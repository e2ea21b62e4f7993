import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import FakeRunner
from tests.requirements import require_cargo, require_docker
from wasmdock.build import Build, build_guest, is_first
from wasmdock.builder import Builder, BuilderEngine, pack_sources, unpack_one
from wasmdock.cargo import IN_BUILDER, STATIC, build_failure, cargo_arguments, find_output, lacks_network
from wasmdock.docker import Docker
from wasmdock.errors import BuildError, GuestError, UnavailableError
from wasmdock.guest import Guest, Target, load_guest
from wasmdock.guest_files import SourceFile, read_sources
from wasmdock.guest_inputs import digest_sources, outside_crates
from wasmdock.process import Completed

ROOT = Path(__file__).parent.parent
WASM = b"\0asm\1\0\0\0"
MANIFEST = '[package]\nname = "my-guest"\nversion = "1.0.0"\nedition = "2021"\nlicense = "MIT"\n[workspace]\n'


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    folder = tmp_path / "guest"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "Cargo.lock").write_text("version = 4\n")
    (folder / "src" / "main.rs").write_text("fn main() {}\n")
    return load_guest(folder)


# The files of a guest


def _digest(guest: Guest) -> str:
    return digest_sources(guest.folder, read_sources(guest.folder))


def test_the_digest_changes_with_any_file_and_only_then(guest: Guest) -> None:
    before = _digest(guest)
    os.utime(guest.folder / "src" / "main.rs", (1, 1))
    assert _digest(guest) == before
    (guest.folder / "src" / "data.txt").write_text("")
    assert _digest(guest) != before


def test_cargos_target_folder_and_git_are_no_source(guest: Guest) -> None:
    before = _digest(guest)
    for name in ("target", ".git"):
        (guest.folder / name).mkdir()
        (guest.folder / name / "file").write_text("x")
    assert _digest(guest) == before


def test_a_module_named_target_is_source(guest: Guest) -> None:
    (guest.folder / "src" / "target").mkdir()
    (guest.folder / "src" / "target" / "mod.rs").write_text("")
    assert "src/target/mod.rs" in [file.path for file in read_sources(guest.folder)]


def test_a_toolchain_file_in_a_folder_above_counts(guest: Guest) -> None:
    before = _digest(guest)
    (guest.folder.parent / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "nightly"\n')
    assert _digest(guest) != before


def test_a_symlink_out_of_the_folder_is_refused(guest: Guest) -> None:
    (guest.folder / "src" / "secret").symlink_to("/etc/passwd")
    with pytest.raises(GuestError, match='"src/secret" leads outside'):
        read_sources(guest.folder)


def test_a_broken_symlink_is_named(guest: Guest) -> None:
    (guest.folder / "src" / "gone").symlink_to("nowhere")
    with pytest.raises(GuestError, match="No such file"):
        read_sources(guest.folder)


def test_crates_outside_the_folder_are_found_and_count(guest: Guest) -> None:
    other = guest.folder.parent / "other"
    other.mkdir()
    (other / "Cargo.toml").write_text('[package]\nname = "other"\n')
    (guest.folder / "Cargo.toml").write_text(MANIFEST + '[dependencies.other]\npath = "../other"\n')
    assert outside_crates(guest.folder, read_sources(guest.folder)) == (other,)
    before = _digest(guest)
    (other / "lib.rs").write_text("")
    assert _digest(guest) != before


def test_a_crate_taken_over_from_the_workspace_above_counts(guest: Guest) -> None:
    shared = guest.folder.parent / "shared"
    shared.mkdir()
    (guest.folder.parent / "Cargo.toml").write_text('[workspace]\ndependencies.shared.path = "shared"\n')
    (guest.folder / "Cargo.toml").write_text(MANIFEST + "[dependencies]\nshared.workspace = true\n")
    assert outside_crates(guest.folder, read_sources(guest.folder)) == (shared,)
    before = _digest(guest)
    (shared / "lib.rs").write_text("")
    assert _digest(guest) != before


def test_cargos_own_settings_of_the_user_count(guest: Guest, tmp_path: Path) -> None:
    sources, home = read_sources(guest.folder), {"CARGO_HOME": str(tmp_path)}
    before = digest_sources(guest.folder, sources, home)
    (tmp_path / "config.toml").write_text('[build]\nrustflags = ["-Copt-level=0"]\n')
    assert digest_sources(guest.folder, sources, home) != before


def test_a_symlink_that_leads_to_itself_is_named(guest: Guest) -> None:
    (guest.folder / "src" / "loop").symlink_to("loop")
    with pytest.raises(GuestError, match=r"loop"):
        read_sources(guest.folder)


@pytest.mark.parametrize("more", ["x = " + "[" * 5000, f"[{'.'.join('a' * 5000)}]\nb = 1"])
def test_a_manifest_nested_too_deeply_is_refused(guest: Guest, more: str) -> None:
    (guest.folder / "Cargo.toml").write_text(MANIFEST + more)
    with pytest.raises(GuestError, match="nested too deeply"):
        load_guest(guest.folder)
        outside_crates(guest.folder, read_sources(guest.folder))


# Cargo's words


def _artifact(name: str, kind: str, *files: str, executable: str | None = None) -> dict[str, object]:
    target = {"name": name, "kind": [kind]}
    return {"reason": "compiler-artifact", "target": target, "filenames": files, "executable": executable}


def _lines(*messages: dict[str, object]) -> bytes:
    return b"\n".join([b"a build script prints this", *(json.dumps(message).encode() for message in messages)])


def test_cargo_is_held_to_the_lock_file_where_there_is_one(guest: Guest) -> None:
    assert "--locked" in cargo_arguments(guest, Target.WASIP1, locked=True)
    assert "--locked" not in cargo_arguments(guest, Target.WASIP1, locked=False)


def test_a_librarys_wasm_is_its_cdylib_and_its_native_form_the_program(guest: Guest) -> None:
    library = replace(guest, is_library=True)
    assert {"--lib", "--target=wasm32-unknown-unknown"} < set(cargo_arguments(library, Target.UNKNOWN, locked=True))
    native = cargo_arguments(library, Target.NATIVE, locked=True)
    assert "--bins" in native and not any(word.startswith("--target") for word in native)


def test_the_output_is_found_by_cargos_own_messages(guest: Guest) -> None:
    messages = _lines(
        _artifact("dep", "lib", "/t/libdep.rlib"),
        _artifact("my_guest", "cdylib", "/t/my_guest.wasm", "/t/libmy_guest.rlib"),
        _artifact("my-guest", "bin", "/t/my-guest.wasm", executable="/t/my-guest.wasm"),
    )
    assert find_output(messages, guest, Target.WASIP1) == "/t/my-guest.wasm"
    assert find_output(messages, replace(guest, is_library=True), Target.WASIP1) == "/t/my_guest.wasm"


def test_one_program_of_another_name_is_taken_and_two_are_not(guest: Guest) -> None:
    one = _artifact("app", "bin", executable="/t/app")
    assert find_output(_lines(one), guest, Target.NATIVE) == "/t/app"
    with pytest.raises(BuildError, match="it made: app, tool"):
        find_output(_lines(one, _artifact("tool", "bin", executable="/t/tool")), guest, Target.NATIVE)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("error[E0463]: can't find crate for `std`", "rustup target add wasm32-wasip1"),
        ("error: the lock file needs to be updated but --locked was passed", "cargo update"),
        ("[60] SSL peer certificate or SSH remote key was not OK", "SSL_CERT_FILE"),
        ("error: linker `cc` not found", "apt install gcc"),
        ("Could not resolve host: index.crates.io", "HTTPS_PROXY"),
    ],
)
def test_a_failed_build_names_its_cure(guest: Guest, said: str, hint: str) -> None:
    error = build_failure(guest, Target.WASIP1, "x", Completed((), 101, b"", said.encode()))
    assert hint in error.hint


def test_a_failed_build_keeps_the_end_of_cargos_output(guest: Guest) -> None:
    text = "\n".join(f"line {number}" for number in range(100)) + "\nerror: could not compile\n"
    error = build_failure(guest, Target.WASIP1, "the host's cargo", Completed((), 101, b"", text.encode()))
    assert error.message.endswith("cargo: exit code 101: error: could not compile")
    assert error.output.startswith("line 61\n") and len(error.output.splitlines()) == 40


@pytest.mark.parametrize("road, cure", [(IN_BUILDER, "under [env]"), ("the host's cargo", "")])
def test_variable_that_the_builder_image_does_not_see_has_a_cure(guest: Guest, road: str, cure: str) -> None:
    said = b"error: environment variable `WHO` not defined at compile time\n"
    assert build_failure(guest, Target.WASIP1, road, Completed((), 101, b"", said)).hint.endswith(cure)
    assert bool(build_failure(guest, Target.WASIP1, road, Completed((), 101, b"", said)).hint) is bool(cure)


def test_a_compile_error_is_no_lack_of_network() -> None:
    assert not lacks_network(Completed((), 101, b"", b"error[E0425]: cannot find value `x` in this scope"))
    assert lacks_network(Completed((), 101, b"", b"warning: spurious network error (3 tries remaining)"))


# The host's cargo


class _Host:
    """A host with a cargo and a rustc that has the targets wanted, and writes what it is told to."""

    def __init__(self, folder: Path, *triples: str) -> None:
        self.path, self.sysroot, self.output = folder / "bin", folder / "sysroot", folder / "out.wasm"
        self.path.mkdir()
        for name in ("cargo", "rustc"):
            (self.path / name).write_text("#!/bin/sh\n")
            (self.path / name).chmod(0o755)
        for triple in triples:
            place = self.sysroot / "lib" / "rustlib" / triple / "lib"
            place.mkdir(parents=True)
            (place / "libcore-1.rlib").touch()
        self.output.write_bytes(WASM)
        self.built: Completed | Callable[[Sequence[str]], Completed] = self.success
        self.runner = FakeRunner(
            {
                ("rustc", "-vV"): Completed((), 0, b"rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n"),
                ("rustc", "--print"): Completed((), 0, str(self.sysroot).encode()),
                ("cargo",): lambda argv: self.built(argv) if callable(self.built) else self.built,
            }
        )
        self.environment = {"PATH": str(self.path), "HOME": str(folder)}

    def success(self, argv: Sequence[str] = ()) -> Completed:
        return Completed(tuple(argv), 0, _lines(_artifact("my-guest", "bin", str(self.output))))

    @property
    def builds(self) -> int:
        return sum(call[0] == "cargo" for call in self.runner.calls)


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    return _Host(tmp_path, "wasm32-wasip1")


def _build(guest: Guest, host: _Host, target: Target = Target.WASIP1) -> Build:
    cache = guest.folder.parent / "cache"
    return build_guest(guest, target, cache=cache, environment=host.environment, runner=host.runner)


def test_the_hosts_cargo_builds_what_it_has_the_target_for(guest: Guest, host: _Host) -> None:
    build = _build(guest, host)
    assert (build.road, build.cached, build.artifact.data) == ("host cargo", False, WASM)
    assert (build.artifact.name, build.artifact.license) == ("my-guest", "MIT")
    assert not (guest.folder / "target").exists()


def test_an_unchanged_guest_is_not_built_again(guest: Guest, host: _Host) -> None:
    assert is_first(guest.folder.parent / "cache", guest)
    first = _build(guest, host)
    assert not is_first(guest.folder.parent / "cache", guest)
    again = _build(guest, host)
    assert (again.cached, again.artifact.data, host.builds) == (True, WASM, 1)
    assert first.compiler == again.compiler == "rustc 1.95.0"


def test_rustc_is_asked_what_it_is_only_once(guest: Guest, host: _Host) -> None:
    for _ in range(3):
        _build(guest, host)
    assert sum(call[0] == "rustc" for call in host.runner.calls) == 2


def _other_rustc(host: _Host, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    host.runner.answers |= {
        (str(path), "-vV"): Completed((), 0, b"rustc 1.99.0\n"),
        (str(path), "--print"): Completed((), 0, str(host.sysroot).encode()),
    }
    return path


@pytest.mark.parametrize("variable", ["RUSTC", "CARGO_BUILD_RUSTC"])
def test_the_compiler_named_is_the_one_that_cargo_is_told_to_take(guest: Guest, host: _Host, variable: str) -> None:
    host.environment[variable] = str(_other_rustc(host, host.path / "other-rustc"))
    assert _build(guest, host).compiler == "rustc 1.99.0"


@pytest.mark.parametrize("place", ["guest/.cargo/config.toml", ".cargo/config", "cargo-home/config.toml"])
def test_the_compiler_named_is_the_one_of_cargos_settings(guest: Guest, host: _Host, place: str) -> None:
    above = guest.folder.parent
    host.environment["CARGO_HOME"] = str(above / "cargo-home")
    settings = above / place
    settings.parent.mkdir()
    other = _other_rustc(host, settings.parent.parent / "tools" / "rustc")
    settings.write_text('[build]\nrustc = "tools/rustc"\n')
    assert _build(guest, host).compiler == "rustc 1.99.0"
    other.write_text("#!/bin/sh\n# a newer one\n")
    host.runner.answers[str(other), "-vV"] = Completed((), 0, b"rustc 2.0.0\n")
    assert _build(guest, host).compiler == "rustc 2.0.0"


def test_a_changed_guest_another_rustc_and_other_flags_are_built(guest: Guest, host: _Host) -> None:
    _build(guest, host)
    (guest.folder / "src" / "main.rs").write_text("fn main() { }\n")
    assert not _build(guest, host).cached
    (host.path / "rustc").write_text("#!/bin/sh\n# a newer one\n")
    host.runner.answers["rustc", "-vV"] = Completed((), 0, b"rustc 1.96.0\n")
    assert not _build(guest, host).cached
    host.environment["RUSTFLAGS"] = "-C opt-level=0"
    assert not _build(guest, host).cached


def test_a_spoiled_artifact_is_built_again(guest: Guest, host: _Host) -> None:
    _build(guest, host)
    (kept,) = (guest.folder.parent / "cache" / "build").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert not _build(guest, host).cached
    assert _build(guest, host).cached


def test_an_artifact_whose_source_changed_meanwhile_is_not_kept(guest: Guest, host: _Host) -> None:
    def edit(argv: Sequence[str]) -> Completed:
        (guest.folder / "src" / "main.rs").write_text("fn main() { todo!() }\n")
        return host.success(argv)

    host.built = edit
    assert _build(guest, host).artifact.data == WASM
    assert not (guest.folder.parent / "cache" / "build").exists()


def test_an_artifact_is_not_kept_where_a_crate_outside_changed_meanwhile(guest: Guest, host: _Host) -> None:
    other = guest.folder.parent / "other"
    other.mkdir()
    (guest.folder / "Cargo.toml").write_text(MANIFEST + '[dependencies.other]\npath = "../other"\n')

    def edit(argv: Sequence[str]) -> Completed:
        (other / "lib.rs").write_text("// newer than what was compiled\n")
        return host.success(argv)

    host.built = edit
    assert not _build(guest, host).cached
    assert not _build(guest, host).cached


def test_a_lock_file_written_by_cargo_does_not_spoil_the_cache(guest: Guest, host: _Host) -> None:
    lock = guest.folder / "Cargo.lock"
    lock.unlink()

    def write(argv: Sequence[str]) -> Completed:
        lock.write_text("version = 4\n")
        return host.success(argv)

    host.built = write
    _build(guest, host)
    assert _build(guest, host).cached


def test_without_a_network_cargo_is_asked_once_more_offline(guest: Guest, host: _Host) -> None:
    def answer(argv: Sequence[str]) -> Completed:
        offline = "--offline" in argv
        return host.success(argv) if offline else Completed((), 101, b"", b"Could not resolve host: index.crates.io")

    host.built = answer
    build = _build(guest, host)
    assert host.builds == 2 and "offline" in build.notes[0]


def test_ctrl_c_leaves_nothing_half_written(guest: Guest, host: _Host) -> None:
    def interrupt(_argv: Sequence[str]) -> Completed:
        raise KeyboardInterrupt

    host.built = interrupt
    with pytest.raises(KeyboardInterrupt):
        _build(guest, host)
    host.built = host.success
    assert not _build(guest, host).cached


def test_what_is_not_wasm_is_refused(guest: Guest, host: _Host) -> None:
    host.output.write_bytes(b"\x7fELF")
    with pytest.raises(GuestError, match="what came out is not Wasm"):
        _build(guest, host)


def test_a_library_alone_has_no_native_program(guest: Guest, host: _Host) -> None:
    (guest.folder / "src" / "main.rs").rename(guest.folder / "src" / "lib.rs")
    with pytest.raises(GuestError, match="the crate has no program") as caught:
        _build(guest, host, Target.NATIVE)
    assert '[lib] crate-type = ["cdylib"]' in caught.value.hint


def test_without_any_toolchain_each_way_is_named_with_its_command(guest: Guest, tmp_path: Path) -> None:
    def no_engine() -> BuilderEngine:
        raise UnavailableError("nothing listens there", "start Docker")

    host = _Host(tmp_path)
    with pytest.raises(UnavailableError, match="no toolchain") as caught:
        build_guest(
            guest,
            Target.WASIP1,
            cache=tmp_path / "cache",
            environment=host.environment,
            runner=host.runner,
            engine=no_engine,
            builder=Builder(ROOT / "dockerfiles" / "builder", {}),
        )
    assert "no target wasm32-wasip1" in caught.value.message and "nothing listens there" in caught.value.message
    assert "rustup target add wasm32-wasip1" in caught.value.hint and "start Docker" in caught.value.hint


def test_without_rust_at_all_its_installer_is_named(guest: Guest, host: _Host) -> None:
    host.environment["PATH"] = "/nowhere"
    with pytest.raises(UnavailableError, match="there is no cargo on PATH") as caught:
        _build(guest, host)
    assert "rustup.rs" in caught.value.hint


# The builder image


class _Engine:
    """A BuilderEngine that remembers, and answers like docker."""

    def __init__(self, *, has_image: bool = True, start: Completed | BaseException | None = None) -> None:
        self.has_image, self.images = has_image, 0
        self.calls: list[tuple[str, ...]] = []
        self.stdins: list[bytes | None] = []
        self.environments: list[dict[str, str]] = []
        said = b"rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)\n"
        made = said + _lines(_artifact("my-guest", "bin", "/target/x/my-guest.wasm"))
        self.start = start or Completed((), 0, made)

    def find_image(self, reference: str) -> object | None:
        return reference if self.has_image else None

    def build(
        self,
        source: Path | bytes,
        tags: Iterable[str],
        *,
        secrets: Mapping[str, Path] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        self.images += 1

    def cli(
        self,
        *arguments: str,
        timeout: float = 1,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        cap: int = 1,
    ) -> Completed:
        self.calls.append(arguments)
        self.environments.append(dict(env or {}))
        self.stdins.append(stdin)
        if arguments[0] == "start" and isinstance(self.start, BaseException):
            raise self.start
        if arguments[0] == "start" and isinstance(self.start, Completed):
            return self.start
        out = pack_sources([SourceFile("my-guest.wasm", WASM)], b"", 0) if arguments[-1] == "-" else b"removed\n"
        return Completed(arguments, 0, out)

    def call(self, verb: str) -> tuple[str, ...]:
        return next(call for call in self.calls if call[0] == verb)


def _build_in(engine: _Engine, guest: Guest, **environment: str) -> Build:
    certificates = guest.folder.parent / "ca.pem"
    certificates.write_text("CERTIFICATES")
    builder = Builder(ROOT / "dockerfiles" / "builder", environment, certificates)
    cache = guest.folder.parent / "cache"
    nothing = {"PATH": "/nowhere"}
    return build_guest(guest, Target.WASIP1, cache=cache, environment=nothing, engine=lambda: engine, builder=builder)


def test_without_a_target_on_the_host_the_builder_image_compiles(guest: Guest) -> None:
    engine = _Engine()
    build = _build_in(engine, guest)
    assert (build.road, build.artifact.data, engine.images) == ("builder image", WASM, 0)
    assert [call[0] for call in engine.calls] == ["container", "create", "cp", "start", "cp", "rm"]


def test_a_build_in_the_cache_needs_no_engine(guest: Guest) -> None:
    _build_in(_Engine(), guest)
    engine = _Engine()
    assert _build_in(engine, guest).cached and not engine.calls


def test_the_builder_image_says_which_rustc_compiled_also_for_what_is_kept(guest: Guest) -> None:
    engine = _Engine()
    assert [_build_in(engine, guest).compiler for _ in range(2)] == ["rustc 1.85.1"] * 2
    assert "rustc --version" in " ".join(engine.call("create"))


def test_the_builder_image_is_built_where_the_engine_lacks_it(guest: Guest) -> None:
    engine = _Engine(has_image=False)
    assert "built the builder image" in _build_in(engine, guest).notes[0]
    assert engine.images == 1


def test_source_and_certificates_are_copied_in_and_nothing_is_mounted(guest: Guest) -> None:
    engine = _Engine()
    _build_in(engine, guest)
    archive = next(stdin for stdin in engine.stdins if stdin)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {"src/Cargo.toml", "src/src/main.rs", "etc/ssl/certs/ca-certificates.crt"} < set(tar.getnames())
        assert all(abs(member.mtime - time.time()) < 60 for member in tar)
    volumes = [word for word in engine.call("create") if word.startswith("--volume")]
    assert volumes == ["--volume=wasmdock-cargo:/cargo", "--volume=wasmdock-target:/target"]


def test_flags_for_a_static_program_come_with_a_named_triple(guest: Guest) -> None:
    engine = _Engine(start=Completed((), 101, b"", b"error: no"))
    with pytest.raises(BuildError):
        Builder(ROOT / "dockerfiles" / "builder", {"RUSTFLAGS": STATIC}).build(
            engine, guest, Target.NATIVE, read_sources(guest.folder)
        )
    assert "--env=RUSTFLAGS" in engine.call("create")
    assert any("CARGO_BUILD_TARGET=" in word for word in engine.call("create"))
    assert {"RUSTFLAGS": STATIC} in engine.environments


def test_proxies_are_handed_on_by_name_alone(guest: Guest) -> None:
    engine = _Engine()
    _build_in(engine, guest, HTTPS_PROXY="http://me:secret@proxy", no_proxy="x", OTHER="y")
    words = engine.call("create")
    assert {"--env=HTTPS_PROXY", "--env=no_proxy"} < set(words)
    assert "secret" not in " ".join(words) and "OTHER" not in " ".join(words)


@pytest.mark.parametrize("start", [KeyboardInterrupt(), Completed((), 101, b"", b"error: no"), Completed((), 0)])
def test_the_container_is_removed_however_the_build_ends(guest: Guest, start: Completed | BaseException) -> None:
    engine = _Engine(start=start)
    with pytest.raises((KeyboardInterrupt, BuildError)):
        _build_in(engine, guest)
    name = next(word for word in engine.call("create") if word.startswith("--name=")).removeprefix("--name=")
    assert engine.calls[-1] == ("rm", "--force", "--volumes", name)


def test_an_engine_that_goes_away_is_no_build_error(guest: Guest) -> None:
    said = b'time="x" level=error msg="error waiting for container: unexpected EOF"'
    with pytest.raises(UnavailableError, match="the engine went away in the middle"):
        _build_in(_Engine(start=Completed((), 125, b"", said)), guest)


def test_a_crate_outside_the_folder_needs_the_hosts_cargo(guest: Guest) -> None:
    (guest.folder / "Cargo.toml").write_text(MANIFEST + '[dependencies]\nother = { path = "../other" }\n')
    with pytest.raises(GuestError, match="needs the crate .*/other"):
        _build_in(_Engine(), guest)


def test_a_hostile_answer_of_the_engine_is_one_error() -> None:
    for archive in (b"", b"no tar", pack_sources([], b"", 0)):
        with pytest.raises(BuildError, match="copying: "):
            unpack_one(archive, "copying")


# For real


def _real(guest: Guest, target: Target, cache: Path) -> Build:
    builder = Builder(ROOT / "dockerfiles" / "builder", os.environ, _certificates())
    return build_guest(
        guest,
        target,
        cache=cache,
        environment=os.environ,
        engine=lambda: Docker.connect(os.environ),
        builder=builder,
    )


def _certificates() -> Path | None:
    path = os.environ.get("SSL_CERT_FILE", "")
    return Path(path) if path else None


@pytest.mark.cargo
def test_hello_world_is_built_once_by_whatever_is_here(tmp_path: Path) -> None:
    road = require_cargo()
    guest = load_guest(ROOT / "dockerfiles" / "hello-world")
    first, second = (_real(guest, Target.WASIP1, tmp_path) for _ in range(2))
    assert first.artifact.data.startswith(b"\0asm") and first.road.startswith(road)
    assert second.cached and second.artifact == first.artifact


@pytest.mark.cargo
def test_a_compile_error_is_shown_as_rustc_says_it(guest: Guest, tmp_path: Path) -> None:
    require_cargo()
    (guest.folder / "Cargo.lock").unlink()
    (guest.folder / "src" / "main.rs").write_text("fn main() { broken }\n")
    with pytest.raises(BuildError) as caught:
        _real(guest, Target.WASIP1, tmp_path / "cache")
    assert "cannot find value `broken`" in caught.value.output


@pytest.mark.docker
def test_ctrl_c_in_the_middle_of_a_build_leaves_no_container(guest: Guest, tmp_path: Path) -> None:
    require_docker()
    script = "fn main() { std::thread::sleep(std::time::Duration::from_secs(60)) }\n"
    (guest.folder / "build.rs").write_text(script)
    (guest.folder / "Cargo.lock").unlink()
    code = (
        "import os, sys; from pathlib import Path; from tests import test_build\n"
        "from wasmdock.guest import Target, load_guest\n"
        "os.environ['PATH'] = sys.argv[3]  # the builder image, whatever the host has\n"
        "test_build._real(load_guest(Path(sys.argv[1])), Target.WASIP1, Path(sys.argv[2]))\n"
    )
    docker = Docker.connect(os.environ)
    client = tmp_path / "bin"
    client.mkdir()
    (client / "docker").write_text(f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec docker "$@"\n')
    (client / "docker").chmod(0o755)
    argv = [sys.executable, "-c", code, str(guest.folder), str(tmp_path / "cache"), str(client)]
    process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE)
    _wait_for_build(docker, guest)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert not _containers_of(docker, guest, "--all") and not (tmp_path / "cache" / "build").exists()


def _containers_of(docker: Docker, guest: Guest, *which: str) -> bytes:
    """The running build containers whose target folder is this guest's."""
    names = docker.cli("ps", "--quiet", *which, "--filter", "label=wasmdock=build").stdout.split()
    found = [docker.cli("inspect", name.decode()).stdout for name in names]
    return b"".join(text for text in found if _place(guest).encode() in text)


def _place(guest: Guest) -> str:
    return hashlib.sha256(str(guest.folder.resolve()).encode()).hexdigest()[:16]


def _wait_for_build(docker: Docker, guest: Guest) -> None:
    deadline = time.monotonic() + 200
    while not _containers_of(docker, guest):
        assert time.monotonic() < deadline, "the build did not start"
        time.sleep(0.3)
