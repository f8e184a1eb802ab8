"""`python -m nativemtail`."""

from __future__ import annotations

import sys

from nativemtail.cli import main

sys.exit(main())
