"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) by AlexNet, version 0.1, through torchmetrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gans.metrics.paired import Batch, PairMean

URL = "https://download.pytorch.org/models/"
ALEXNET = "alexnet-owt-7be5be79.pth"


class LPIPS(PairMean):
    """Compute the distance of translations from their targets in AlexNet's features."""

    name = "lpips"
    scores = ("lpips",)
    higher_is_better = False
    min_size = 32  # AlexNet takes no smaller ones

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = None

    def load_weights(self) -> None:
        """Load AlexNet.

        Raises:
            ConnectionError: Its weights are not here and could not be downloaded.
        """
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        if self.network is not None:
            return
        try:
            self.network = LearnedPerceptualImagePatchSimilarity(net_type="alex")
        except OSError as error:
            raise ConnectionError(
                f"metrics=lpips: AlexNet's weights could not be downloaded ({error}). Fetch {URL}{ALEXNET} and put "
                f"it at {torch.hub.get_dir()}/checkpoints/{ALEXNET}"
            ) from error

    def compare(self, batch: Batch) -> list[Tensor]:
        """Compare translations with their targets, one by one: (N,)."""
        pairs = zip(*(_colours(batch[key]) for key in ("image", "target")), strict=True)
        return [torch.stack([self.network(one[None], two[None]) for one, two in pairs])]


def _colours(images: Tensor) -> Tensor:
    """Convert uint8 images to three channels in [-1, 1]."""
    images = images[:, :1] if images.shape[1] < 3 else images[:, :3]
    return images.expand(-1, 3, -1, -1).float() / 127.5 - 1
