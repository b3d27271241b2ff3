"""GAN families as Lightning modules: composed by Hydra, scored by torchmetrics.

``load`` rebuilds a trained family from its checkpoint; ``compose`` and ``build`` make a run from Python.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lightning_gans.runtime import aliases

if TYPE_CHECKING:
    from lightning_gans.checkpoints.load import load
    from lightning_gans.config.command import compose
    from lightning_gans.training.run import build

__all__ = ["build", "compose", "load"]
__version__ = "0.1.0"

aliases.install()
_OWNERS = {"load": "checkpoints.load", "compose": "config.command", "build": "training.run"}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for, so that a typo answers at once."""
    if name not in _OWNERS:
        raise AttributeError(f"module 'lightning_gans' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lightning_gans.{_OWNERS[name]}"), name)
