"""What holds for all tests, whatever the import mode: `support/` can be imported, the user's cache is left alone."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

_CACHES = tempfile.mkdtemp(prefix="nativemtail-cache-")
atexit.register(shutil.rmtree, _CACHES, ignore_errors=True)
os.environ["XDG_CACHE_HOME"] = _CACHES
