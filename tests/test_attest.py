"""What wasmdock build says of the images it makes, and that nothing takes a name of which nothing can be said."""

from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.images import HELLO
from tests.test_provenance import LOCK
from wasmdock.build import BUILDER_ROAD, Build
from wasmdock.cli import build as verb
from wasmdock.cli.context import Context
from wasmdock.cli.parser import build_parser
from wasmdock.errors import GuestError
from wasmdock.oci.referrer import SPDX
from wasmdock.sbom import crates_of

MANIFEST = '[package]\nname = "hello"\nversion = "1.2.3"\n'


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Surroundings in which every guest has been compiled already."""
    made = Build(HELLO, BUILDER_ROAD, True, 0.0, compiler="rustc 1.85.1")
    monkeypatch.setattr(verb, "build_folder", lambda *_, **__: made)
    return Context({"WASMDOCK_HOME": str(tmp_path / "home"), "WASMDOCK_CACHE": str(tmp_path / "cache")}, quiet=True)


def folder(place: Path, manifest: str = MANIFEST, lock: str | None = LOCK) -> Path:
    place.mkdir(parents=True)
    (place / "Cargo.toml").write_text(manifest)
    if lock is not None:
        (place / "Cargo.lock").write_text(lock)
    return place


def build(context: Context, *argv: str | Path) -> dict[str, str]:
    """The crates that the SBOM of hello lists once it is built."""
    verb.build(build_parser().parse_args(["build", *map(str, argv), "-t", "hello"]), context)
    digest = context.store.get("hello").digest
    [sbom] = [each.data for each in context.store.referrers(digest) if each.artifact_type == SPDX]
    return crates_of(sbom)


def test_a_built_image_has_the_crates_of_its_lock(context: Context, tmp_path: Path) -> None:
    assert {"git-crate", "hex"} <= build(context, folder(tmp_path / "hello")).keys()


def test_a_built_image_names_the_compiler_of_its_build(context: Context, tmp_path: Path) -> None:
    assert build(context, folder(tmp_path / "hello"))["rustc"] == "1.85.1"


def test_a_member_of_a_workspace_has_the_crates_of_the_workspaces_lock(context: Context, tmp_path: Path) -> None:
    folder(tmp_path / "all", '[workspace]\nmembers = ["hello"]\n')
    assert "git-crate" in build(context, folder(tmp_path / "all" / "hello", lock=None))


@pytest.mark.parametrize("top", ['[workspace]\nexclude = ["guests"]\n', '[package]\nname = "x"\n'])
def test_a_lock_above_that_is_not_the_guests_is_left_alone(top: str, context: Context, tmp_path: Path) -> None:
    folder(tmp_path / "all", top)
    assert "git-crate" not in build(context, folder(tmp_path / "all" / "guests" / "hello", lock=None))


def test_an_image_of_which_no_sbom_can_be_made_gets_no_name(context: Context, tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=r"not a Cargo.lock"):
        build(context, folder(tmp_path / "hello", lock="[[package]]"))
    assert context.store.images() == []


def test_a_wrong_signing_key_is_told_before_anything_is_built(wasmdock: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no key")
    for name, cause in (("gone.pem", "No such file"), ("bad.pem", "not a private key in PEM")):
        done = wasmdock("build", tmp_path / "no-such-guest", "--sign", tmp_path / name)
        assert (done.code, f'reading key "{tmp_path / name}": {cause}' in done.stderr) == (2, True)
