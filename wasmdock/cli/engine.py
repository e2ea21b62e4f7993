"""wasmdock engine install and uninstall: the Wasm runtime where this machine's containerd finds it."""

import argparse
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.cli.proof import forget_proof
from wasmdock.shim import find_programs, install_programs, uninstall_programs

_CHECKOUT = Path(__file__).resolve().parent.parent.parent


def install(options: argparse.Namespace, context: Context) -> int:
    """Copy the shim and its runtime below the prefix; nothing is restarted."""
    context.say("wasmdock: finding the Wasm runtime (the first build takes some minutes)")
    folder = find_programs(options.source, _CHECKOUT)
    for path in install_programs(folder, options.prefix):
        print(path)
    context.say("wasmdock: nothing needs a restart; try it: wasmdock run --on docker dockerfiles/hello-world")
    return 0


def uninstall(options: argparse.Namespace, context: Context) -> int:
    """Remove them; containers that run go on."""
    removed = uninstall_programs(options.prefix)
    for path in removed:
        print(path)
    forget_proof(context)
    if not removed:
        context.say(f"wasmdock: nothing of ours was under {options.prefix}")
    return 0
