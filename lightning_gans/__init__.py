"""GAN families as Lightning modules: composed by Hydra, scored by torchmetrics.

``create_model`` makes a family with its paper's parts for a Trainer of your own, ``load`` rebuilds a trained one from
its checkpoint; ``compose`` and ``build`` make a run from Python. Torch is imported when something needs it, so that a
typo answers at once.
"""

from typing import TYPE_CHECKING

from lightning_gans.runtime import aliases
from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.checkpoints.load import load
    from lightning_gans.config.command import compose
    from lightning_gans.config.families import list_models
    from lightning_gans.training.create import create_model
    from lightning_gans.training.run import build
    from lightning_gans.training.strategy import AlternatingDDP
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["AlternatingDDP", "build", "compose", "create_model", "list_models", "load"]
__version__ = "0.1.0"

aliases.install()
