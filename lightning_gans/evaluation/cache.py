"""Cache of features of real images on disk, from one run to the next.

The name of a file is a hash of everything that its content depends on, so a changed set, split, size, resize or
extractor finds nothing. Files are written atomically; any of them may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans.runtime.atomic import atomic_write
from lightning_gans.runtime.cache import cache_folder

VERSION = 1  # of what a file holds and of how images are ordered and read


class RealCache:
    """Keep a folder of features.

    Args:
        folder: ``auto`` for ``lightning_gans`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``), any
            other folder, or ``None`` for no cache.
    """

    def __init__(self, folder: str | None = "auto") -> None:
        self.folder = None if folder is None else cache_folder() if folder == "auto" else Path(folder).expanduser()

    def path(self, key: dict[str, Any]) -> Path | None:
        """Return the file of a key; ``None`` without a folder."""
        if self.folder is None:
            return None
        text = json.dumps({"version": VERSION, **key}, sort_keys=True)
        return self.folder / f"real-{hashlib.sha256(text.encode()).hexdigest()[:32]}.pt"

    def load(self, key: dict[str, Any]) -> dict[str, Tensor] | None:
        """Load stored features (N, F) and predicted classes (N,); ``None`` if there are none, or they are damaged."""
        path = self.path(key)
        if path is None or not path.is_file():
            return None
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return content["values"] if content["key"] == key else None
        except Exception:  # a damaged file can fail anywhere in the unpickler; it is written anew
            return None

    def store(self, key: dict[str, Any], values: dict[str, Tensor]) -> None:
        """Write features and classes; a failure (a full or read-only disk) costs only the next run's time."""
        path = self.path(key)
        if path is None:
            return
        content = {"key": key, "values": {name: value.cpu() for name, value in values.items()}}
        with contextlib.suppress(OSError, RuntimeError), atomic_write(path) as temporary:  # of torch, at a full disk
            torch.save(content, temporary)
