"""What `import wasmdock` gives: the pipeline's names, each loaded on first use."""

import inspect
import subprocess
import sys

import pytest

import wasmdock

PIPELINE = [
    *("load_guest", "Guest", "Target", "Artifact", "build_guest", "Build", "pack", "extract", "parse"),
    *("Image", "Reference", "Store", "write_layout", "read_layout", "write_archive", "read_archive"),
    *("push_image", "pull_image"),
    *("plan_launch", "Nature", "Machine", "Road", "Launch"),
    *("Runtime", "RunRequest", "Limits", "Mount", "Stdio", "RunResult", "Outcome"),
    *("InProcessRuntime", "Docker", "DockerRuntime", "errors"),
]


def python(program: str) -> str:
    """What a Python of its own prints: this one has loaded everything already."""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return completed.stdout.strip()


def test_public_names_are_the_pipeline_in_its_order() -> None:
    assert wasmdock.__all__ == ["__version__", *PIPELINE]


@pytest.mark.parametrize("name", PIPELINE)
def test_public_name_is_there_and_says_what_it_is_for(name: str) -> None:
    value = getattr(wasmdock, name)
    assert inspect.getdoc(value), name
    assert name == "errors" or value.__name__ == name


def test_import_loads_nothing_of_the_package() -> None:
    program = "import sys, wasmdock; print([name for name in sys.modules if name.startswith('wasmdock.')])"
    assert python(program) == "[]"


def test_dir_lists_what_is_not_loaded_yet() -> None:
    program = "import wasmdock; print(set(wasmdock.__all__) <= set(dir(wasmdock)))"
    assert python(program) == "True"


def test_star_import_brings_every_name() -> None:
    program = "from wasmdock import *; print(InProcessRuntime.__name__, pack.__name__)"
    assert python(program) == "InProcessRuntime pack"


@pytest.mark.parametrize(
    "first", ["import wasmdock.pack", "import wasmdock.inprocess", "from wasmdock.pack import entry", "import wasmdock"]
)
def test_pack_is_the_function_whatever_was_imported_before(first: str) -> None:
    """The module wasmdock.pack bears the same name."""
    assert python(f"{first}\nfrom wasmdock import pack\nprint(pack.__name__)") == "pack"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'wasmdock' has no attribute 'unpack'"):
        wasmdock.unpack  # noqa: B018  # the look-up is the test


def test_submodules_are_still_reached_by_name() -> None:
    assert python("import wasmdock.oci.image; print(wasmdock.oci.image.Image.__name__)") == "Image"


def test_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert wasmdock.__version__ == version("wasmdock")
