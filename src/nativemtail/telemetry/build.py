"""Which version this is and what it runs on."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from nativemtail import __version__

_PYTHON = ".".join(map(str, sys.version_info[:3]))
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Build(NamedTuple):
    """Contents of `mtail_build_info` and the status page.  The keys are mtail's, so `goversion` is Python's version."""

    version: str = __version__
    revision: str = ""
    branch: str = ""

    def labels(self) -> dict[str, str]:
        machine = os.uname().machine
        return {
            "branch": self.branch,
            "goarch": _GO_ARCHITECTURES.get(machine, machine),
            "goos": sys.platform,
            "goversion": f"python{_PYTHON}",
            "revision": self.revision,
            "version": self.version,
        }

    def __str__(self) -> str:
        revision = f" git revision {self.revision}" if self.revision else ""
        return (
            f"nativemtail version {self.version}{revision} python version {_PYTHON}"
            f" arch {os.uname().machine} os {sys.platform}"
        )
