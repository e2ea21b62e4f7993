"""The grammar of the verbs that tell what is wrong: doctor, explain."""

from wasmdock.cli.parser import Verbs, add_format, verb


def add_doctor(verbs: Verbs) -> None:
    """Add the verbs."""
    parser = verb(
        verbs,
        "doctor",
        "doctor:doctor",
        "say what is wrong with this machine, and the command that cures it",
        "wasmdock doctor --fix",
    )
    parser.add_argument("--fix", action="store_true", help="run the cures that are safe, each shown first")
    add_format(parser)
    parser = verb(
        verbs,
        "explain",
        "explain:explain_container",
        "say why a container ended: out of memory, killed, trapped (with the Wasm backtrace)",
        "wasmdock explain my-container",
    )
    parser.add_argument("container", help="its name or id; one started with --rm is gone")
    add_format(parser)
