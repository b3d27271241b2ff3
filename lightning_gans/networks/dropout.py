"""Drop values of features at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gans.runtime.seeding import derive_seed


class Dropout(nn.Dropout):
    """Apply dropout, on a CPU in a third of the time that torch's takes: it compares uniform numbers with p."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features of any shape to the same shape."""
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        kept = torch.empty_like(input, dtype=torch.float32).uniform_() >= self.p
        return input * kept.to(input.dtype).mul_(1 / (1 - self.p))


class NoiseDropout(Dropout):
    """Apply dropout that can stay on at test time, where it is the noise of pix2pix.

    At test time one mask holds for all images of a batch and is drawn from ``seed`` alone, so that a translation is a
    function of the image and the seed.

    Args:
        p: Probability that a value is dropped.
        at_test: Keep it on at test time.
    """

    seed = 0

    def __init__(self, p: float, *, at_test: bool) -> None:
        super().__init__(p)
        self.at_test = at_test

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, C, H, W) to the same shape."""
        if self.training or not self.at_test:
            return super().forward(input)
        rng = torch.Generator().manual_seed(self.seed)
        kept = torch.rand(input.shape[1:], generator=rng) >= self.p  # on the CPU: the same on every device
        return input * (kept.to(input.device, input.dtype) / (1 - self.p))


def seed_noise(network: nn.Module, seed: int) -> None:
    """Draw the masks of dropout at test time from ``seed``, another one for every layer."""
    for index, layer in enumerate(layer for layer in network.modules() if isinstance(layer, NoiseDropout)):
        layer.seed = derive_seed("dropout", seed, index)


def has_dropout(module: nn.Module) -> bool:
    """Return whether any layer drops values at random in training."""
    return any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in module.modules())
