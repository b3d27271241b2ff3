"""Define BEGAN's networks (Berthelot, Schumm, Metz 2017, arXiv:1703.10717, section 3.5)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size, height_width, shortest
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.infogan import dense_layers
from lightning_gans.networks.layers import normalised, square_side

SIZES = (16, 256)
DENSE_SIZES = (4, 64)  # of the dense autoencoder, whose weights grow with the pixels


class Generator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, image_size, image_size); also the autoencoder's decoder.

    A dense layer to 8x8, two 3x3 convolutions with ELU per resolution, nearest upsampling between them, one
    convolution at the end. The images are not squashed: in evaluation they are clipped to [-1, 1].

    Args:
        image_size: Side of squares, a power of two from 16 to 256.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector, >= 1.
        base_channels: Feature maps of every layer, n in the paper, >= 1.

    Raises:
        ConfigError: The size is a rectangle, or out of range.
    """

    @checked
    def __init__(
        self, *, image_size: Size, channels: PositiveInt, latent_dim: PositiveInt = 64, base_channels: PositiveInt = 128
    ) -> None:
        super().__init__()
        side = square_side(image_size, *SIZES, "BEGAN")
        self.latent_dim, n = latent_dim, base_channels
        self.dense = nn.Linear(latent_dim, n * 64)
        layers: list[nn.Module] = []
        for level in range(side.bit_length() - 3):  # 8, 16, ..., image_size
            layers += [nn.Upsample(scale_factor=2)] if level else []
            layers += [*_conv_elu(n, n), *_conv_elu(n, n)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(n, channels, 3, padding=1))
        self.apply(_xavier)

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to images (N, channels, image_size, image_size)."""
        images: Tensor = self.layers(self.dense(latents).unflatten(1, (-1, 8, 8)))
        return images if self.training else images.clamp(-1, 1)


class Reconstruction(nn.Module):
    """Map images to their reconstructions of the same shape, by ``encoder`` and ``decoder``.

    Attributes:
        reconstructs: True: the output is images, not logits.
    """

    reconstructs = True
    encoder: nn.Module
    decoder: nn.Module

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to the same shape."""
        return torch.as_tensor(self.decoder(self.encoder(images)))


class Autoencoder(Reconstruction):
    """Map images (N, channels, image_size, image_size) to their reconstructions of the same shape.

    The encoder has two 3x3 convolutions with ELU per resolution, n, 2n, 3n, ... maps, and halves the map by a
    convolution of stride 2, down to 8x8 and a dense layer; the decoder is built like the generator. The paper leaves
    open which convolution gives the first of the new maps.

    Args:
        image_size: Side of squares, a power of two from 16 to 256.
        channels: Image channels, >= 1.
        latent_dim: Length of the code, >= 1.
        base_channels: n in the paper, >= 1.
        widen: Layer that adds the maps of the next resolution: its first convolution (``after``), as in the widely used
            implementation, 13,405,379 parameters at 64x64 with n = 128, or that of stride 2 before it (``down``).

    Raises:
        ConfigError: The size is a rectangle, or out of range.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 64,
        base_channels: PositiveInt = 128,
        widen: Literal["after", "down"] = "after",
    ) -> None:
        super().__init__()
        side = square_side(image_size, *SIZES, "BEGAN")
        n, levels = base_channels, side.bit_length() - 3
        layers, inputs = _conv_elu(channels, n), n
        for width in range(n, (levels + 1) * n, n):  # n, 2 n, ..., levels n
            layers += [*_conv_elu(inputs, width), *_conv_elu(width, width)]
            inputs = width + n if widen == "down" else width
            layers += _conv_elu(width, inputs, stride=2) if width < levels * n else []
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(levels * n * 64, latent_dim))
        self.encoder.apply(_xavier)
        self.decoder = Generator(image_size=side, channels=channels, latent_dim=latent_dim, base_channels=base_channels)


class DenseGenerator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, H, W) in [-1, 1]; for small data, see ``DenseAutoencoder``.

    Two dense layers and two transposed convolutions, as InfoGAN's for MNIST, with PyTorch's own first weights.

    Args:
        image_size: Side or [height, width], multiples of 4 from 8.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector, >= 1.
        base_channels: Feature maps before the last layer; twice as many before them.
        hidden: Units of the first dense layer.
        norm: ``batch``, or ``None``.

    Raises:
        ConfigError: The size is not allowed.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 64,
        base_channels: PositiveInt = 64,
        hidden: PositiveInt = 256,
        norm: Literal["batch"] | None = "batch",
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = dense_layers(latent_dim, image_size, channels, base_channels, hidden, norm)

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to images (N, channels, H, W)."""
        return torch.as_tensor(self.layers(latents))


class DenseAutoencoder(Reconstruction):
    """Map images (N, channels, H, W) to their reconstructions of the same shape, in [-1, 1].

    A convolution that halves the map, dense layers to a code and back, and a transposed convolution; for small data.
    With batch norm the batches of real and of generated images, which come apart, are reconstructed by statistics of
    their own: what samples that are alike have in common is taken out of the code, so that they are reconstructed
    badly.

    Args:
        image_size: Side or [height, width], even, from 4 to 64.
        channels: Image channels, >= 1.
        latent_dim: Length of the code, >= 1.
        base_channels: Feature maps of the convolution, >= 1.
        norm: ``batch``, on the code and on the dense layer behind it, or ``None``.

    Raises:
        ConfigError: A side is odd or out of range.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 32,
        base_channels: PositiveInt = 64,
        norm: Literal["batch"] | None = "batch",
    ) -> None:
        super().__init__()
        height, width = height_width(image_size)
        lowest, highest = DENSE_SIZES
        if any(side % 2 or not lowest <= side <= highest for side in (height, width)):
            rule = f"must have even sides from {lowest} to {highest} with model/network=began_dense"
            raise ConfigError("data.image_size", shortest(height, width), rule)
        n, shape = base_channels, (base_channels, height // 2, width // 2)
        self.encoder = nn.Sequential(
            *(nn.Conv2d(channels, n, 4, 2, 1), nn.ReLU(), nn.Flatten()),
            *(*normalised(nn.Linear(math.prod(shape), latent_dim), norm), nn.ReLU()),
        )
        self.decoder = nn.Sequential(
            *(*normalised(nn.Linear(latent_dim, math.prod(shape)), norm), nn.ReLU()),
            *(nn.Unflatten(1, shape), nn.ConvTranspose2d(n, channels, 4, 2, 1), nn.Tanh()),
        )


def _xavier(module: nn.Module) -> None:
    """Draw Glorot's uniform weights and set biases to 0, so that latents matter through many layers."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _conv_elu(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [Conv2d(inputs, outputs, 3, stride, 1), nn.ELU(inplace=True)]
