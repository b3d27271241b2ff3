"""DCGAN's networks (Radford, Metz, Chintala 2016, arXiv:1511.06434) at any power-of-two size."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.networks.layers import check_image_size, normal_init, normalised

SIZES = (8, 256)


def _widths(image_size: int, base_channels: int, max_channels: int) -> list[int]:
    """Feature maps from half the image size down to 4x4: doubling at every halving, up to ``max_channels``."""
    levels = image_size.bit_length() - 3  # 64 -> 4: 32, 16, 8, 4
    return [min(base_channels << level, max_channels) for level in range(levels)]


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, channels, image_size, image_size) in [-1, 1].

    One dense layer to 4x4 as a transposed convolution, then transposed convolutions of stride 2; batch norm and ReLU
    after all but the last, tanh at the end; no bias before batch norm.

    Args:
        image_size: Height and width, a power of two from 8 to 256.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector.
        base_channels: Feature maps before the last layer; they double at every halving of the map.
        max_channels: Most feature maps of a layer.
        norm: ``batch`` as in the paper, or ``None``.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        latent_dim: int = 100,
        base_channels: int = 64,
        max_channels: int = 1024,
        norm: Literal["batch"] | None = "batch",
    ) -> None:
        super().__init__()
        check_image_size(image_size, *SIZES)
        _check_positive(
            channels=channels, latent_dim=latent_dim, base_channels=base_channels, max_channels=max_channels
        )
        self.latent_dim = latent_dim
        widths = _widths(image_size, base_channels, max_channels)[::-1]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip([latent_dim, *widths], widths, strict=False)):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            layers.append(nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=norm is None))
            layers += [nn.BatchNorm2d(outputs)] if norm == "batch" else []
            layers.append(nn.ReLU(inplace=True))
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(normal_init)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, channels, image_size, image_size)."""
        images: Tensor = self.layers(latents[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images (N, channels, image_size, image_size) to raw logits (N,).

    Convolutions of stride 2 with LeakyReLU(0.2); normalisation after all but the first and the last.

    Args:
        image_size: Height and width, a power of two from 8 to 256.
        channels: Image channels, >= 1.
        base_channels: Feature maps after the first layer; they double at every halving of the map.
        max_channels: Most feature maps of a layer.
        norm: ``batch`` as in the paper; ``instance``, ``spectral`` (on every layer) or ``None``.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        base_channels: int = 64,
        max_channels: int = 1024,
        norm: Literal["batch", "instance", "spectral"] | None = "batch",
    ) -> None:
        super().__init__()
        check_image_size(image_size, *SIZES)
        _check_positive(channels=channels, base_channels=base_channels, max_channels=max_channels)
        widths = _widths(image_size, base_channels, max_channels)
        inner = "spectral" if norm == "spectral" else None
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip([channels, *widths], widths, strict=False)):
            here = inner if index == 0 else norm
            convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=here not in ("batch", "instance"))
            convolution.apply(normal_init)
            layers += [*normalised(convolution, here), nn.LeakyReLU(0.2, inplace=True)]
        last = nn.Conv2d(widths[-1], 1, 4)
        last.apply(normal_init)
        self.layers = nn.Sequential(*layers, *normalised(last, inner))
        for layer in self.layers:
            if isinstance(layer, nn.BatchNorm2d):
                normal_init(layer)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) -> (N,)."""
        return torch.flatten(self.layers(images))


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be >= 1")
