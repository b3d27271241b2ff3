"""Define a small convolutional classifier, for features and for counting classes."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked


class Classifier(nn.Module):
    """Classify images by convolutions of stride 2 with batch norm down to 4x4, then one hidden layer of features.

    Args:
        channels: Image channels, >= 1.
        num_classes: Number of classes, K.
        image_size: Side of the images, a power of two from 8; extractors resize images to it.
        width: Channels of the first convolution, >= 1; doubled by the next two.

    Raises:
        ConfigError: Another size.
    """

    @checked
    def __init__(
        self, *, channels: PositiveInt, num_classes: PositiveInt, image_size: int = 32, width: PositiveInt = 16
    ) -> None:
        super().__init__()
        stages = round(math.log2(image_size)) - 2
        if image_size != 4 * 2**stages or stages < 1:
            raise ConfigError("image_size", image_size, "must be a power of two from 8")
        self.num_features, self.num_classes = 4 * width, num_classes
        sizes = [channels, *(width * min(4, 2**stage) for stage in range(stages))]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * sizes[-1], self.num_features), nn.ReLU()]
        self.body = nn.Sequential(*layers, *head)
        self.head = nn.Linear(self.num_features, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, C, H, W) in [-1, 1] to features (N, 4 * width) and logits (N, K)."""
        features = self.body(images)
        return features, self.head(features)
