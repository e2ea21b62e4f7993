"""Docker's config.json and its helpers, as docker login writes and docker reads them."""

import json
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fakes import FakeRunner
from wasmdock.errors import CommandError, UnavailableError, UsageError
from wasmdock.oci.credentials import NOBODY, Credentials, Login
from wasmdock.oci.lock import locked
from wasmdock.process import Completed, run_command

SECRET = "s3cret-of-mine"
ME = Login("me", SECRET)
_AUTH = "bWU6czNjcmV0LW9mLW1pbmU="  # me:s3cret-of-mine


def credentials(folder: Path, config: object = None, runner: FakeRunner | None = None) -> Credentials:
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return Credentials({"DOCKER_CONFIG": str(folder)}, runner or FakeRunner())


def answered(stdout: str, code: int = 0) -> Completed:
    return Completed(("docker-credential-x",), code, stdout.encode())


@pytest.mark.parametrize(
    "key", ["host:5000", "https://host:5000", "https://host:5000/v1/", "http://host:5000", "https://host:5000/"]
)
def test_a_login_is_found_however_its_registry_is_spelt(key: str, tmp_path: Path) -> None:
    assert credentials(tmp_path, {"auths": {key: {"auth": _AUTH}}}).find("host:5000") == ME


def test_the_hub_goes_by_its_old_name(tmp_path: Path) -> None:
    found = credentials(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": _AUTH}}})
    assert found.find("docker.io") == ME


def test_without_a_config_there_is_nobody(tmp_path: Path) -> None:
    assert credentials(tmp_path).find("host") == NOBODY
    assert Credentials({}).find("host") == NOBODY


def test_the_config_is_in_the_home_folder_where_nothing_else_is_said(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    credentials(tmp_path / ".docker", {"auths": {"host": {"auth": _AUTH}}})
    assert Credentials({"HOME": str(tmp_path)}, FakeRunner()).find("host") == ME


def test_an_identity_token_is_kept_apart(tmp_path: Path) -> None:
    found = credentials(tmp_path, {"auths": {"host": {"auth": "", "identitytoken": SECRET}}}).find("host")
    assert (found.identity_token, found.secret) == (SECRET, "")


def test_a_helper_is_asked_on_standard_input_never_by_an_argument(tmp_path: Path) -> None:
    runner = FakeRunner({("docker-credential-pass",): answered(json.dumps({"Username": "me", "Secret": SECRET}))})
    assert credentials(tmp_path, {"credsStore": "pass"}, runner).find("host") == ME
    assert (runner.calls, runner.stdins) == ([("docker-credential-pass", "get")], [b"host"])


def test_the_helper_of_one_registry_comes_before_that_of_all(tmp_path: Path) -> None:
    runner = FakeRunner({("docker-credential-ecr",): answered('{"Username":"<token>","Secret":"t"}')})
    config = {"credsStore": "pass", "credHelpers": {"host": "ecr"}}
    assert credentials(tmp_path, config, runner).find("host") == Login(identity_token="t")


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(tmp_path: Path) -> None:
    missing = answered("credentials not found in native keychain\n", 1)
    runner = FakeRunner({("docker-credential-pass",): missing})
    config = {"credsStore": "pass", "auths": {"host": {"auth": _AUTH}}}
    assert credentials(tmp_path, config, runner).find("host") == ME


@pytest.mark.parametrize(
    ("answer", "error", "expected"),
    [
        (answered("boom", 2), CommandError, "exit code 2: boom"),
        (Completed(("x",), -15, timed_out=True), CommandError, "no end in time"),
        (UnavailableError("running: no such program"), UnavailableError, "no such program"),
    ],
)
def test_a_helper_that_fails_is_an_error_with_a_cure(
    answer: Completed | Exception, error: type[Exception], expected: str, tmp_path: Path
) -> None:
    runner = FakeRunner({("docker-credential-pass",): answer})
    with pytest.raises(error, match=expected) as caught:
        credentials(tmp_path, {"credsStore": "pass"}, runner).find("host")
    assert 'take "pass" out of' in caught.value.hint  # type: ignore[attr-defined]  # both have one


def test_a_helper_with_a_path_for_a_name_is_not_run(tmp_path: Path) -> None:
    runner = FakeRunner()
    with pytest.raises(UsageError, match="is no name of a credential helper"):
        credentials(tmp_path, {"credsStore": "../../bin/sh"}, runner).find("host")
    assert not runner.calls


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"auths":{"host":{"auth":"!!"}}}',
        '{"auths":{"host":{"auth":"\u00e9"}}}',
        '{"auths":{"host":{"auth":7}}}',
        '{"a":1,"a":2}',
    ],
)
def test_a_spoiled_config_is_one_error(config: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reading") as caught:
        credentials(tmp_path, config).find("host")
    assert caught.value.hint


def test_a_config_that_cannot_be_looked_for_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reading logins: .*name too long"):
        Credentials({"DOCKER_CONFIG": str(tmp_path / ("x" * 300))}).find("host")


def test_a_saved_login_is_found_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    found = credentials(tmp_path, {"psFormat": "x", "auths": {"other": {"auth": _AUTH}}})
    found.save("host", ME)
    assert (found.find("host"), found.find("other")) == (ME, ME)
    assert json.loads((tmp_path / "config.json").read_text())["psFormat"] == "x"
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} <= {"config.json", ".config.json-lock"}


def test_logins_saved_at_once_are_all_kept(tmp_path: Path) -> None:
    names = [f"host{number}" for number in range(12)]
    threads = [threading.Thread(target=lambda name=name: credentials(tmp_path).save(name, ME)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name for name in names if credentials(tmp_path).find(name) != ME] == []


def test_a_login_forgotten_while_another_is_saved_leaves_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = credentials(tmp_path, {"auths": {"host": {"auth": _AUTH}}})

    def locked_late(path: Path) -> AbstractContextManager[None]:
        monkeypatch.undo()
        credentials(tmp_path).save("another", ME)
        return locked(path)

    monkeypatch.setattr("wasmdock.oci.credentials.locked", locked_late)
    assert found.forget("host")
    assert (found.find("host"), found.find("another")) == (NOBODY, ME)


def test_a_config_that_is_a_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "config.json").write_text("{}")
    (tmp_path / "config.json").symlink_to(real / "config.json")
    credentials(tmp_path).save("host", ME)
    assert (tmp_path / "config.json").is_symlink()
    assert "host" in (real / "config.json").read_text()


def test_a_login_is_saved_in_the_helper_where_there_is_one(tmp_path: Path) -> None:
    runner = FakeRunner()
    where = credentials(tmp_path, {"credsStore": "pass"}, runner).save("host", ME)
    assert (where, runner.calls) == ("the credential helper pass", [("docker-credential-pass", "store")])
    assert json.loads(runner.stdins[0] or b"") == {"ServerURL": "host", "Username": "me", "Secret": SECRET}
    assert SECRET not in (tmp_path / "config.json").read_text()


def test_a_forgotten_login_is_gone(tmp_path: Path) -> None:
    found = credentials(tmp_path, {"auths": {"https://host": {"auth": _AUTH}, "other": {"auth": _AUTH}}})
    assert (found.forget("host"), found.forget("host")) == (True, False)
    assert (found.find("host"), found.find("other")) == (NOBODY, ME)


def test_no_secret_shows_in_a_login_or_its_errors(tmp_path: Path) -> None:
    assert SECRET not in repr(ME)
    assert set(ME.secrets) == {SECRET, _AUTH}


def test_a_real_helper_is_run_with_a_time_limit(tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-mine"
    helper.write_text('#!/bin/sh\nread host\nprintf \'{"Username":"%s","Secret":"x"}\' "$host"\n')
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore":"mine"}')
    environment = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert Credentials(environment, run_command).find("host:1") == Login("host:1", "x")
