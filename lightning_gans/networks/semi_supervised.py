"""Define the discriminator that classifies (Salimans et al. 2016, arXiv:1606.03498, section 5), for small images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from lightning_gans.config.types import NonNegative, PositiveInt, checked
from lightning_gans.images.size import Size, height_width
from lightning_gans.networks.classes import checked_classes


class GaussianNoise(nn.Module):
    """Add noise N(0, std^2) in training.

    Args:
        std: Standard deviation, >= 0.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, ...) to the same shape."""
        return features + self.std * torch.randn_like(features) if self.training and self.std else features


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits of K classes, and to the logit of being real, their logsumexp.

    Dense layers with weight norm (Salimans and Kingma 2016, arXiv:1602.07868) and ReLU, Gaussian noise on the images
    and after each layer, as in the authors' code for MNIST. The class of generated images has no output: its logit is
    fixed at 0, so that log s(logit) is the log probability of being none of them.

    Args:
        image_size: Side or [height, width].
        channels: Image channels, >= 1.
        num_classes: Number of classes K.
        hidden: Widths of the hidden layers; the last one is the features that the generator matches.
        input_noise: Standard deviation of the noise on images in [-1, 1]; 0.3 in [0, 1] in the authors' code.
        hidden_noise: Standard deviation of the noise on hidden units.

    Raises:
        ConfigError: The data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        hidden: Sequence[PositiveInt] = (1000, 500, 250, 250, 250),
        input_noise: NonNegative = 0.6,
        hidden_noise: NonNegative = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes = checked_classes(num_classes)
        widths = [channels * math.prod(height_width(image_size)), *hidden]
        layers: list[nn.Module] = [nn.Flatten(), GaussianNoise(input_noise)]
        for index, (inputs, outputs) in enumerate(zip(widths, hidden, strict=False)):
            layers += [_dense(inputs, outputs), nn.ReLU()]
            layers += [GaussianNoise(hidden_noise)] if index + 1 < len(hidden) else []
        self.trunk = nn.Sequential(*layers)
        self.noise, self.head = GaussianNoise(hidden_noise), _dense(widths[-1], self.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to logits (N,) of being real."""
        return self.classes_and_features(images)[0].logsumexp(1)

    def classes_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to raw logits of the classes (N, K) and features (N, F)."""
        features = self.trunk(images)
        return self.head(self.noise(features)), features


def _dense(inputs: int, outputs: int) -> nn.Module:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / inputs))
    nn.init.zeros_(layer.bias)
    normed: nn.Module = weight_norm(layer)
    return normed
