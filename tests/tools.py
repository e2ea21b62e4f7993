"""How other people's tools push an image from a layout, and pull one into a layout."""

from pathlib import Path

from tests.real_registry import Tools, require_tool

OTHERS = ("crane", "oras", "regctl", "skopeo")


def give(tool: str, layout: Path, name: str, tools: Tools) -> None:
    """Push the image `layout:v1` with another tool."""
    program = require_tool(tool)
    commands = {
        "crane": [[program, "push", "--insecure", str(layout), name]],
        "oras": [[program, "cp", "--from-oci-layout", "--to-plain-http", f"{layout}:v1", name]],
        "regctl": [
            [program, "registry", "set", "--tls", "disabled", name.partition("/")[0]],
            [program, "image", "copy", f"ocidir://{layout}:v1", name],
        ],
        "skopeo": [
            [
                *(program, "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false"),
                *(f"oci:{layout}:v1", f"docker://{name}"),
            ]
        ],
    }
    for argv in commands[tool]:
        tools.run(*argv)


def take(tool: str, name: str, layout: Path, tools: Tools) -> None:
    """Pull an image into a layout with another tool."""
    program = require_tool(tool)
    commands = {
        "crane": [[program, "pull", "--insecure", "--format=oci", name, str(layout)]],
        "oras": [[program, "cp", "--to-oci-layout", "--from-plain-http", name, f"{layout}:v1"]],
        "regctl": [
            [program, "registry", "set", "--tls", "disabled", name.partition("/")[0]],
            [program, "image", "copy", name, f"ocidir://{layout}:v1"],
        ],
        "skopeo": [
            [
                *(program, "--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false"),
                *(f"docker://{name}", f"oci:{layout}:v1"),
            ]
        ],
    }
    for argv in commands[tool]:
        tools.run(*argv)
