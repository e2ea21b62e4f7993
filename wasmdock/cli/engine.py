"""wasmdock engine install and uninstall: the Wasm runtime where this machine's containerd finds it."""

import argparse
import shlex

from wasmdock.cli.context import Context
from wasmdock.cli.proof import forget_proof
from wasmdock.cli.toolchain import telling
from wasmdock.shim import PREFIX, find_programs, install_programs, uninstall_programs


def install(options: argparse.Namespace, context: Context) -> int:
    """Copy the shim and its runtime below the prefix; nothing is restarted."""
    elsewhere = "" if options.prefix == PREFIX else f" --prefix {shlex.quote(str(options.prefix))}"
    command = f"wasmdock engine install{elsewhere}"
    progress = telling(context, "building the Wasm runtime")
    folder = find_programs(options.source, command=command, progress=progress)
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
