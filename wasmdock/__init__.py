"""Build, run and measure Wasm workloads on Docker and containerd, or in this very process.

The public names, in the order of the pipeline; each is loaded on first use, so that `import wasmdock` costs nothing.
"""

import sys

TYPE_CHECKING = False  # type checkers take the name for true; importing `typing` would cost 5 ms of every start
if TYPE_CHECKING:
    from wasmdock import errors as errors
    from wasmdock.build import Build as Build
    from wasmdock.build import build_guest as build_guest
    from wasmdock.docker import Docker as Docker
    from wasmdock.docker_run import DockerRuntime as DockerRuntime
    from wasmdock.guest import Artifact as Artifact
    from wasmdock.guest import Guest as Guest
    from wasmdock.guest import Target as Target
    from wasmdock.guest import load_guest as load_guest
    from wasmdock.inprocess import InProcessRuntime as InProcessRuntime
    from wasmdock.launch import Launch as Launch
    from wasmdock.launch import Machine as Machine
    from wasmdock.launch import Nature as Nature
    from wasmdock.launch import Road as Road
    from wasmdock.launch import plan_launch as plan_launch
    from wasmdock.oci.archive import read_archive as read_archive
    from wasmdock.oci.archive import write_archive as write_archive
    from wasmdock.oci.image import Image as Image
    from wasmdock.oci.image import Reference as Reference
    from wasmdock.oci.layout import read_layout as read_layout
    from wasmdock.oci.layout import write_layout as write_layout
    from wasmdock.oci.remote import pull_image as pull_image
    from wasmdock.oci.remote import push_image as push_image
    from wasmdock.oci.store import Store as Store
    from wasmdock.pack import extract as extract
    from wasmdock.pack import pack as pack
    from wasmdock.runtime import Limits as Limits
    from wasmdock.runtime import Mount as Mount
    from wasmdock.runtime import Outcome as Outcome
    from wasmdock.runtime import RunRequest as RunRequest
    from wasmdock.runtime import RunResult as RunResult
    from wasmdock.runtime import Runtime as Runtime
    from wasmdock.runtime import Stdio as Stdio
    from wasmdock.wasm import parse as parse

__version__ = "0.1.0"

_MODULES = {
    "guest": ("load_guest", "Guest", "Target", "Artifact"),
    "build": ("build_guest", "Build"),
    "pack": ("pack", "extract"),
    "wasm": ("parse",),
    "oci.image": ("Image", "Reference"),
    "oci.store": ("Store",),
    "oci.layout": ("write_layout", "read_layout"),
    "oci.archive": ("write_archive", "read_archive"),
    "oci.remote": ("push_image", "pull_image"),
    "launch": ("plan_launch", "Nature", "Machine", "Road", "Launch"),
    "runtime": ("Runtime", "RunRequest", "Limits", "Mount", "Stdio", "RunResult", "Outcome"),
    "inprocess": ("InProcessRuntime",),
    "docker": ("Docker",),
    "docker_run": ("DockerRuntime",),
}
_HOMES = {name: f"wasmdock.{module}" for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_HOMES, "errors"]


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    from importlib import import_module

    if name == "errors":
        return import_module("wasmdock.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'wasmdock' has no attribute '{name}'")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every public name, loaded or not."""
    return sorted({*globals(), *__all__})


class _Package(type(sys)):  # type: ignore[misc]  # the class of modules, without a start-up import of `types`
    def __setattr__(self, name: str, value: object) -> None:
        """Keep `wasmdock.pack` the function: Python's import would put the module of that name in its place."""
        if not (name in _HOMES and isinstance(value, type(sys))):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
