"""Before a container is started: what cannot work is said instead, what may surprise is said beside."""

import argparse
import sys

from wasmdock.cli.context import Context
from wasmdock.cli.proof import is_proven
from wasmdock.doctor_facts import ShimKind
from wasmdock.engine_files import find_root, find_shim
from wasmdock.foresight import Start, find_obstacle, remarks
from wasmdock.launch import Nature
from wasmdock.oci.image import Image


def foresee(image: Image, nature: Nature, options: argparse.Namespace, context: Context) -> None:
    """Raise the obstacle, where there is one, before anything is loaded or started."""
    start = Start(
        image,
        nature,
        context.engine_facts,
        shim=ShimKind.UNKNOWN if nature is Nature.NATIVE else find_kind(context),
        proven=is_proven(context),
        tty=options.tty,
        interactive=options.interactive,
        at_terminal=sys.stdin.isatty(),
        published=bool(options.publish),
    )
    obstacle = find_obstacle(start)
    if obstacle is not None:
        raise obstacle
    for remark in remarks(start):
        context.say(f"wasmdock: {remark}")


def find_kind(context: Context) -> ShimKind:
    """Whose Wasm runtime the engine has, as far as its files can be seen from here."""
    root = find_root(context.docker.host)
    return find_shim(root.path, root.folders, versions=False).kind if root else ShimKind.UNKNOWN
