"""python -m wasmdock."""

import sys


def main() -> int:
    """Run the command line; `--version` answers before anything else is loaded."""
    if sys.argv[1:] == ["--version"]:
        from wasmdock import __version__

        sys.stdout.write(f"wasmdock {__version__}\n")
        return 0
    from wasmdock.cli import run_cli

    return run_cli(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
