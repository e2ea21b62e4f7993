"""What a benchmark ran on: processor, cores, memory, kernel, governor, load."""

import os
import platform
from pathlib import Path

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_PAGE_CACHE = "warm (files are read before the first sample and stay in memory)"


def surroundings() -> dict[str, str]:
    """The machine by what it says of itself; empty text for what it does not say."""
    return {
        "cpu": parse_cpu(_text(Path("/proc/cpuinfo"))) or platform.processor(),
        "cores": str(cores()),
        "memory": parse_memory(_text(Path("/proc/meminfo"))),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "governor": _text(_GOVERNOR).strip(),
        "load": load(),
        "page cache": _PAGE_CACHE,
    }


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> str:
    """The load average of the last minute, as text; empty where the system has none."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def parse_cpu(text: str) -> str:
    """The processor's name in the text of /proc/cpuinfo; empty where it has none."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return " ".join(value.split())
    return ""


def parse_memory(text: str) -> str:
    """The machine's memory in the text of /proc/meminfo, such as `7.7 GiB`."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return f"{int(value.split()[0]) / (1 << 20):.1f} GiB"
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
