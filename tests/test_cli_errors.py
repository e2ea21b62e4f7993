"""Everything a user can get wrong ends in one clear line, a hint and the right exit code."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.command_line import CommandLine, Done, guest
from wasmdock.__main__ import main

USAGE, FAILED, RUN_FAILED = 2, 1, 125


def complaint(done: Done) -> str:
    """The one line of an error; a hint may follow it, and nothing else is printed."""
    lines = done.stderr.splitlines()
    assert done.stdout == b""
    assert lines[0].startswith("wasmdock: ")
    assert [line for line in lines[1:] if not line.startswith(("    try: ", "         "))] == []
    return lines[0].removeprefix("wasmdock: ")


@pytest.mark.parametrize(
    "args, code, said",
    [
        ("run nope", RUN_FAILED, 'finding image "nope": not in the store'),
        ("run ./nope.wasm", RUN_FAILED, 'reading "./nope.wasm": no such file or folder'),
        ("run nope.tar", RUN_FAILED, 'reading "nope.tar": no such file or folder'),
        ("inspect nope", FAILED, 'finding image "nope": not in the store'),
        ("inspect /nope/nope.wasm", USAGE, 'reading "/nope/nope.wasm": no such file or folder'),
        ("run junk", RUN_FAILED, 'reading "junk": neither Wasm, nor an image archive'),
        ("run empty.wasm", RUN_FAILED, 'reading "empty.wasm": not a Wasm binary: an empty file'),
        ("run text.wasm", RUN_FAILED, 'reading "text.wasm": not a Wasm binary: it is text'),
        ("run elf", RUN_FAILED, 'reading "elf": an ELF file: a Linux program, not Wasm'),
        (
            "pack hello.wat --capabilities files",
            FAILED,
            "packing a guest that asks for stdio: not granted by --capabilities",
        ),
        ("load hello.wasm", USAGE, 'loading "hello.wasm": a Wasm file, not an archive of images'),
        ("build ./nope", USAGE, 'reading guest "nope": there is no such folder'),
        ("build ws", FAILED, 'reading "ws/Cargo.toml": a workspace, not a crate'),
        ("run folder", RUN_FAILED, 'reading folder "folder": neither a guest (Cargo.toml) nor an OCI layout'),
        ("run broken.wat", RUN_FAILED, 'assembling "broken.wat": '),
        ("run cut.wasm", RUN_FAILED, 'reading "cut.wasm": not a sound Wasm binary: it is cut short: '),
        ("pack cut.wasm", FAILED, 'reading "cut.wasm": not a sound Wasm binary: it is cut short: '),
        ("pack junk", FAILED, "not a Wasm binary: "),
        ("pack nope.wasm", USAGE, 'reading "nope.wasm": No such file or directory'),
        ("pack hello.wat --label x", USAGE, 'reading label "x": not KEY=VALUE'),
        ("pack hello.wat -t UPPER", USAGE, '"UPPER"'),
        ("build folder -t x:", USAGE, '"x:"'),
        ("build folder --platform foo", USAGE, '"foo"'),
        ("build folder --platform wasi/wasm --target native", USAGE, 'building "native" for wasi/wasm: none of these'),
        ("build folder --platform linux/amd64 --target wasip2", USAGE, 'building "wasip2" for linux/amd64: none'),
        (
            "inspect hello.wasm --platform linux/amd64",
            FAILED,
            'choosing an image for "linux/amd64": "hello.wasm" is for wasi/wasm',
        ),
        ("run --platform linux/amd64 hello.wasm", RUN_FAILED, 'choosing an image for "linux/amd64": "hello.wasm" is'),
        ("pack hello.wat -o /dev/null/x.tar", FAILED, 'writing archive "/dev/null/x.tar": Not a directory'),
        ("build folder", FAILED, 'reading guest "folder": no readable Cargo.toml (No such file or directory)'),
        ("build hello.wat", USAGE, 'reading guest "hello.wat": that is no folder'),
        ("build nope", USAGE, 'reading guest "nope": there is no such folder'),
        ("build folder --target wasip9", USAGE, 'reading target "wasip9": no such target'),
        ("rmi nope", FAILED, 'finding image "nope": not in the store'),
        ("save nope -o x.tar", FAILED, 'finding image "nope": not in the store'),
        ("load nope.tar", USAGE, 'loading "nope.tar": no such file'),
        ("load junk", FAILED, 'reading archive "junk": '),
        ("extract hello.wat -o /dev/null/x", FAILED, 'writing "/dev/null/x": Not a directory'),
        ("invoke hello.wat nope", RUN_FAILED, 'invoking "nope": no such export'),
        ("run -v /nope:/data hello.wat", RUN_FAILED, 'mounting "/nope" at "/data": no such folder'),
        ("run -v hello.wat:/x hello.wat", RUN_FAILED, "it is a file, and in-process a guest is given folders only"),
        ("compose -f nope.yaml ps", USAGE, 'nope.yaml": no such file'),
        ("run --env-file nope hello.wat", RUN_FAILED, 'reading env file "nope": No such file or directory'),
        ("run -e =secret hello.wat", RUN_FAILED, 'reading -e "=...": not NAME=VALUE or NAME'),
        ("run library.wat", RUN_FAILED, "running a library: it has no command"),
        ("run import.wat", RUN_FAILED, "resolving the guest's imports: unknown import: `env::missing`"),
        ("run --on docker hello.wat", RUN_FAILED, "running a WASI preview 1 command in Docker: "),
    ],
)
def test_mistake_is_said_in_one_line(wasmdock: CommandLine, tmp_path: Path, args: str, code: int, said: str) -> None:
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "elf").write_bytes(b"\x7fELF\2\1\1\0")
    (tmp_path / "empty.wasm").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "Cargo.toml").write_text('[workspace]\nmembers = ["a"]\n')
    (tmp_path / "text.wasm").write_text("Hello, world\n")
    (tmp_path / "hello.wasm").write_bytes(b"\0asm\1\0\0\0")
    (tmp_path / "broken.wat").write_text("(module (fun))")
    (tmp_path / "cut.wasm").write_bytes(b"\0asm\1\0\0\0\1\x7f")
    for name, sample in (("hello", "hello"), ("library", "add"), ("import", "needs_import")):
        (tmp_path / f"{name}.wat").write_bytes(guest(sample).read_bytes())
    done = wasmdock(*args.split(), cwd=tmp_path)
    assert (done.code, said in complaint(done)) == (code, True), done.stderr


@pytest.mark.parametrize(
    "args, said",
    [
        ("", "the following arguments are required: VERB"),
        ("frobnicate", "invalid choice: 'frobnicate'"),
        ("run", "the following arguments are required: image"),
        ("invoke", "the following arguments are required: image, export"),
        ("run --timeout 0 x", "argument --timeout: "),
        ("run --memory lots x", "argument --memory: "),
        ("run --fuel -1 x", "argument --fuel: "),
        ("run -v /tmp x", "argument -v/--volume: "),
        ("run --on moon x", "argument --on: invalid choice: 'moon'"),
        ("run --mem 5m x", ""),  # flags are not guessed from their beginnings
        ("images extra", "unrecognized arguments: extra"),
        ("save x", "the following arguments are required: -o/--output"),
    ],
)
def test_wrong_flag_is_a_usage_error_that_names_it(wasmdock: CommandLine, args: str, said: str) -> None:
    done = wasmdock(*args.split())
    verb = args.split()[0] if args and args != "frobnicate" else ""
    assert (done.code, done.stdout) == (RUN_FAILED if verb in ("run", "invoke") else USAGE, b"")
    assert said in done.stderr.splitlines()[-2]
    assert done.stderr.splitlines()[-1] == f"    see: {f'wasmdock {verb}'.strip()} --help"


@pytest.mark.parametrize(
    "args, code, said",
    [
        ("biuld x", USAGE, "wasmdock: argument VERB: invalid choice: 'biuld'; did you mean build?"),
        ("run --memroy 5m x", RUN_FAILED, "wasmdock run: unrecognized arguments: --memroy; did you mean --memory?"),
        ("compose lnit", USAGE, "wasmdock compose: argument ACTION: invalid choice: 'lnit'; did you mean lint?"),
        (
            "compose up --detatch",
            USAGE,
            "wasmdock compose up: unrecognized arguments: --detatch; did you mean --detach?",
        ),
        (
            "compose bogus",
            USAGE,
            "wasmdock compose: argument ACTION: invalid choice: 'bogus' "
            "(choose from up, down, ps, logs, run, config, metadata, lint)",
        ),
        ("--verson", USAGE, "wasmdock: unrecognized arguments: --verson; did you mean --version?"),
        ("load -i x.tar", USAGE, "wasmdock load: unrecognized arguments: -i; name the file alone: wasmdock load FILE"),
        ("rnu x", USAGE, "wasmdock: argument VERB: invalid choice: 'rnu'; did you mean run?"),
        (
            "compose --detach up",
            USAGE,
            "wasmdock compose up: unrecognized arguments: --detach; write --detach after up",
        ),
        ("compose run --no x", RUN_FAILED, "wasmdock compose run: unrecognized arguments: --no; did you mean --on?"),
        (
            "run --on proces x",
            RUN_FAILED,
            "wasmdock run: argument --on: invalid choice: 'proces'; did you mean process?",
        ),
    ],
)
def test_misspelt_verb_or_flag_is_one_line_with_what_was_meant(
    wasmdock: CommandLine, args: str, code: int, said: str
) -> None:
    done = wasmdock(*args.split())
    assert (done.code, done.stderr.splitlines()[0], len(done.stderr.splitlines())) == (code, said, 2)


def test_bad_value_is_one_line_without_the_usage(wasmdock: CommandLine) -> None:
    said = wasmdock("run", "--memory", "lots", "x").stderr.splitlines()
    assert said[0].startswith('wasmdock run: argument --memory: reading size "lots": ')
    assert said[1:] == ["    see: wasmdock run --help"]


def test_help_is_a_verb_too(wasmdock: CommandLine) -> None:
    assert wasmdock("help").text == wasmdock("--help").text
    assert wasmdock("help", "run").text == wasmdock("run", "--help").text


def test_misspelt_image_suggests_the_one_there_is(wasmdock: CommandLine) -> None:
    wasmdock("pack", guest("hello"), "-t", "hello-world:v1")
    for misspelt in ("helo-world:v1", "hello-world", "hello_world:v1"):
        done = wasmdock("run", misspelt)
        assert done.code == RUN_FAILED
        assert "did you mean hello-world:v1?" in done.stderr


def test_empty_name_is_no_name(wasmdock: CommandLine) -> None:
    assert complaint(wasmdock("run", "")) == 'finding image "": its name is empty'


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_file_that_may_not_be_read_says_so(wasmdock: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "x.wasm").touch(0o000)
    assert complaint(wasmdock("run", tmp_path / "x.wasm")).endswith(": Permission denied")


def test_empty_input_is_no_archive(wasmdock: CommandLine) -> None:
    done = wasmdock("load", "-", stdin=b"")
    assert (done.code, "archive" in complaint(done)) == (FAILED, True)


def test_home_that_is_nowhere_says_what_to_set(wasmdock: CommandLine) -> None:
    environment = {**wasmdock.environment, "HOME": "", "WASMDOCK_HOME": "", "XDG_DATA_HOME": ""}
    done = CommandLine(environment)("images")
    assert (done.code, "neither WASMDOCK_HOME nor HOME is set" in complaint(done)) == (USAGE, True)


def test_store_that_is_spoiled_says_what_to_do(wasmdock: CommandLine, tmp_path: Path) -> None:
    store = tmp_path / "wasmdock-home" / "images"
    wasmdock("pack", guest("hello"))
    (store / "index.json").write_text("{")
    done = wasmdock("images")
    assert (done.code, "the store is spoiled" in done.stderr) == (FAILED, True)
    assert complaint(done).startswith(f'reading the store "{store}"')


def test_store_that_cannot_be_written_says_so(wasmdock: CommandLine) -> None:
    done = wasmdock("pack", guest("hello"), WASMDOCK_HOME="/dev/null")
    assert done.code == FAILED
    assert "Not a directory" in complaint(done)


def test_full_disk_behind_stdout_is_no_traceback(wasmdock: CommandLine) -> None:
    for args in ("images", f'inspect "{guest("hello")}"'):
        done = wasmdock.shell(f"wasmdock {args} > /dev/full")
        assert (done.code, complaint(done)) == (FAILED, "writing the output: No space left on device")
    assert wasmdock.shell(f'wasmdock invoke "{guest("add")}" add 1 2 > /dev/full').code == RUN_FAILED


@pytest.mark.parametrize("args", ["--help", "images", "completion bash", f'inspect "{guest("hello")}"'])
def test_reader_that_stops_early_is_no_error_of_ours(wasmdock: CommandLine, args: str) -> None:
    done = wasmdock.shell(f'wasmdock {args} | true; exit "${{PIPESTATUS[0]}}"')
    assert (done.code in (0, 141), done.stderr) == (True, "")


def test_binary_is_not_written_to_a_terminal(wasmdock: CommandLine) -> None:
    wasmdock("pack", guest("hello"))
    for verb in ("extract", "save"):
        ours, theirs = os.openpty()
        done = subprocess.run(
            wasmdock.argv(verb, "hello", "-o", "-"),
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=wasmdock.environment,
            timeout=60,
        )
        os.close(theirs)
        os.close(ours)
        assert (done.returncode, b"to the terminal" in done.stderr) == (USAGE, True)


def test_ctrl_c_while_modules_load_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("wasmdock.cli.run_cli", interrupt)
    monkeypatch.setattr("sys.argv", ["wasmdock", "images"])
    assert main() == 130


def test_version_is_one_line_on_stdout(wasmdock: CommandLine) -> None:
    done = wasmdock("--version")
    assert (done.code, done.text.split()[0], done.stderr) == (0, "wasmdock", "")


@pytest.mark.parametrize(
    "verb", ["build", "pack", "run", "invoke", "inspect", "extract", "images", "rmi", "load", "save"]
)
def test_help_of_a_verb_has_an_example(wasmdock: CommandLine, verb: str) -> None:
    done = wasmdock(verb, "--help")
    assert (done.code, done.stderr) == (0, "")
    assert "example: " in done.text
    assert verb in wasmdock("--help").text
