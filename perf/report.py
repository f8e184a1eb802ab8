"""What stands in every report of results: the machine, the versions, the name."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

PERF = Path(__file__).resolve().parent
RESULTS = PERF / "results"


def stem_name(now: datetime.datetime, about: Mapping[str, str | int], name: str | None) -> str:
    """The name of a report's files, without suffix; `name` stands for the processor's."""
    slug = name or re.sub(r"[^a-z0-9]+", "-", str(about["cpu"]).lower()).strip("-")
    return f"{now:%Y-%m-%d}-{slug}"


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory is not None
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mib": int(memory[1]) // 1024,
        "kernel": platform.release(),
        "load_at_start": f"{os.getloadavg()[0]:.2f}",
    }


def first_line(*command: str) -> str:
    answer = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (answer.stdout or answer.stderr).strip().split("\n")[0]


def versions(subjects: dict[str, list[str]]) -> dict[str, str]:
    found = {subject: first_line(command[0], "--version") for subject, command in subjects.items()}
    found |= {library: first_line("pkg-config", "--modversion", library) for library in ("libhs", "libpcre2-8")}
    found["python"] = platform.python_version()
    found["compiler"] = first_line("g++", "--version")
    found["commit"] = first_line("git", "-C", str(PERF), "describe", "--always", "--dirty")
    return found
