"""python -m wasmdock."""

import sys


def main() -> int:
    """Run the command line; `--version` answers before anything else is loaded."""
    if sys.argv[1:] == ["--version"]:
        from wasmdock import __version__

        print(f"wasmdock {__version__}")  # noqa: T201  # the command line itself, answering before it is loaded
        return 0
    try:
        from wasmdock.cli import run_cli

        return run_cli(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are loaded
        return 130


if __name__ == "__main__":
    sys.exit(main())
