"""What a guest may ask for: the author's list in the image, the user's --allow and --deny, the binary's own imports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wasmdock.capabilities import Capability, capabilities
from wasmdock.errors import GuestError, UsageError
from wasmdock.runtime import CAPABILITIES_LABEL as LABEL
from wasmdock.wasm_types import WasmBinary

_EVERYTHING = frozenset(Capability)
_SHOWN = 4  # imports named for a capability that is refused


@dataclass(frozen=True, slots=True)
class Grant:
    """What is listed for a run, in a few words who listed it, and what --deny takes away again."""

    listed: frozenset[Capability]
    source: str
    denied: frozenset[Capability] = frozenset()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All that is granted."""
        return self.listed - self.denied


def parse_capabilities(text: str) -> frozenset[Capability]:
    """`files,clocks` -> capabilities; `all` and `none` are all and none of them. Raises UsageError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words in (["all"], ["none"]):
        return _EVERYTHING if words == ["all"] else frozenset()
    unknown = [word for word in words if word not in list(Capability)]
    if unknown or not words:
        cause = f'there is no capability "{unknown[0]}"' if unknown else "none is named"
        raise UsageError(
            f'reading capabilities "{text}": {cause}', f"name some of {', '.join(Capability)}, or all, or none"
        )
    return frozenset(Capability(word) for word in words)


def label_text(granted: Iterable[Capability]) -> str:
    """The label's value for a list of capabilities."""
    listed = set(granted)
    return ",".join(each for each in Capability if each in listed) or "none"


def decide_grant(
    labels: Mapping[str, str], allow: frozenset[Capability] | None, deny: frozenset[Capability] = frozenset()
) -> Grant | None:
    """The grant of one run: what --allow lists, else what the image's label lists, else all; without what is denied.

    None where nobody has said anything: then everything the road has is granted.
    """
    if allow is not None:
        return Grant(allow, "--allow", deny)
    if LABEL in labels:
        return Grant(parse_capabilities(labels[LABEL]), f"the image's label {LABEL}", deny)
    return Grant(_EVERYTHING, "--deny", deny) if deny else None


def check_grant(binary: WasmBinary, grant: Grant, flag: str = "--allow", doing: str = "running") -> None:
    """Raise GuestError where the binary can ask for more than is granted: what is missing, and who imports it.

    flag is what grants more, for the hint; doing is what is refused.
    """
    asked = capabilities(binary)
    missing = [each for each in asked if each not in grant.capabilities]
    if not missing:
        return
    lines = [f"{each}: imported as {_few(asked[each])}" for each in missing]
    unlisted = [each for each in missing if each not in grant.listed]
    without = "without --deny " if grant.denied.intersection(missing) else ""
    more = label_text({*asked, *grant.capabilities})
    cure = f"{flag} {more} {without}grants it" if unlisted else f"{without}it runs"
    attempt = f"{doing} a guest that asks for {', '.join(missing)}"
    raise GuestError(f"{attempt}: not granted by {_refuser(grant, unlisted, missing)}", "\n".join([cure, *lines]))


def hold_to_label(labels: Mapping[str, str], data: bytes) -> None:
    """Raise GuestError where a binary can ask for more than its author listed in the image's label, if at all."""
    from wasmdock.wasm import parse  # only where there is a list

    grant = decide_grant(labels, None)
    if grant is not None:
        check_grant(parse(data), grant, "wasmdock pack --capabilities")


def _refuser(grant: Grant, unlisted: Sequence[Capability], missing: Sequence[Capability]) -> str:
    """Who refuses: the list, --deny where that takes away what is listed, or either its part."""
    denied = [each for each in missing if each not in unlisted]
    if not (unlisted and denied):
        return grant.source if unlisted else "--deny"
    return f"{grant.source} ({', '.join(unlisted)}) and --deny ({', '.join(denied)})"


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


# What `run` grants for each, in this process and in Docker.
GRANTED: dict[Capability, tuple[str, str]] = {
    Capability.ARGUMENTS: ("those after IMAGE", "the same"),
    Capability.ENVIRONMENT: ("the image's, -e, --env-file", "the same, and Docker's PATH, HOME, HOSTNAME"),
    Capability.STDIO: ("stdout, stderr; stdin with -i", "the same"),
    Capability.FILES: ("the folders of -v, :ro read-only", "the same"),
    Capability.SOCKETS: ("none", "the container's network"),
    Capability.HTTP: ("none", "requests in, on port 8080"),
    Capability.CLOCKS: ("yes", "yes"),
    Capability.RANDOM: ("yes", "yes"),
    Capability.EXIT: ("yes", "yes"),
    Capability.OTHER: ("none: it does not start", "none: it does not start"),
}


def render_capabilities(binary: WasmBinary, labels: Mapping[str, str]) -> str:
    """A table for people: each capability, what the binary asks for, what `run` grants on either road."""
    asked = capabilities(binary)
    rows = [("capability", "asked for by", "in-process", "in Docker")]
    rows += [(each, _few(asked[each]) if each in asked else "-", *GRANTED[each]) for each in Capability]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    listed = labels.get(LABEL)
    lines.append(f"\nlisted by its author: {listed or 'nothing, so all of this is granted'}")
    return "\n".join(line.rstrip() if line.strip() else line for line in lines)


def capabilities_json(binary: WasmBinary, labels: Mapping[str, str]) -> dict[str, object]:
    """The same for programs."""
    asked = capabilities(binary)
    return {
        "capabilities": {
            str(each): {"imports": list(asked.get(each, ())), "process": GRANTED[each][0], "docker": GRANTED[each][1]}
            for each in Capability
        },
        "label": labels.get(LABEL),
    }
