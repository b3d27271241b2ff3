"""Find the folder where this package keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``lightning_gans`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``), there or not."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "lightning_gans").expanduser()
