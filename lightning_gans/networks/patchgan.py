"""Define PatchGAN (Isola, Zhu, Zhou, Efros 2017, arXiv:1611.07004, appendix 6.1): one logit for every patch."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegativeInt, PositiveInt, checked
from lightning_gans.images.size import Size, height_width, shortest
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.layers import base_shape, has_bias, normal_init, translation_norm

STRIDED = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}  # receptive field in pixels: convolutions of stride 2


class Discriminator(nn.Module):
    """Map sources and images, concatenated to (N, source_channels + channels, H, W), to raw logits (N, 1, h, w).

    For a patch: 4x4 convolutions, the first ones of stride 2 and the last two of stride 1; for a pixel 1x1 ones. All
    but the last with LeakyReLU(0.2), all but the first and the last with a norm; weights N(0, 0.02).

    Args:
        image_size: Side of the images, or ``[height, width]``.
        channels: Channels of the images, >= 1.
        source_channels: Channels of the source that conditions it; 0: unconditional.
        receptive_field: Side of the patch that a logit sees: 1, 16, 34, 70, 142 or 286; ``None``: the whole image,
            one logit (N, 1, 1, 1), for which squares are a power of two from 8 to 1024; see ``base_shape``.
        base_channels: Maps after the first convolution, >= 1; they double up to eight times as many.
        norm: ``batch``, ``instance`` (without gain and bias) or ``None``.
        bias_before_norm: Give convolutions that a norm follows a bias; ``None``: before instance norm alone, as in the
            authors' PyTorch code.

    Raises:
        ConfigError: Images smaller than the patches, or an unknown receptive field.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        source_channels: NonNegativeInt = 0,
        receptive_field: Literal[1, 16, 34, 70, 142, 286] | None = 70,
        base_channels: PositiveInt = 64,
        norm: Literal["batch", "instance"] | None = "batch",
        bias_before_norm: bool | None = None,
    ) -> None:
        super().__init__()
        inputs, last = channels + source_channels, (4, 4)  # kernel of the last convolution
        if receptive_field is None:
            levels, last = base_shape(image_size, 8, 1024)
            kernels, strides = 4, [2] * levels + [1]
        elif receptive_field == 1:
            kernels, strides, last = 1, [1, 1, 1], (1, 1)
        else:
            strided = STRIDED[receptive_field]
            kernels, strides = 4, [2] * strided + [1, 1]
            size = height_width(image_size)
            if min(size) < 3 << strided:
                rule = f"needs images of {3 << strided} pixels and more, not data.image_size={shortest(*size)}; "
                raise ConfigError(
                    "receptive_field", receptive_field, f"{rule}choose a smaller one, or null for the whole image"
                )
        widths = [base_channels << min(level, 3) for level in range(len(strides) - 1)]
        layers: list[nn.Module] = []
        for level, width in enumerate(widths):
            here = norm if level else None
            padding = 1 if kernels == 4 else 0
            bias = has_bias(here, bias_before_norm)
            layers.append(Conv2d(inputs, width, kernels, strides[level], padding, bias=bias))
            layers += [*translation_norm(here, width), nn.LeakyReLU(0.2, inplace=True)]
            inputs = width
        padding = 1 if receptive_field in STRIDED else 0
        self.layers = nn.Sequential(*layers, Conv2d(inputs, 1, last, strides[-1], padding))
        self.apply(normal_init)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, source_channels + channels, H, W) to logits (N, 1, h, w)."""
        logits: Tensor = self.layers(images)
        return logits


def receptive_field(network: nn.Module) -> int:
    """Return the side of the square of pixels that one output of a chain of convolutions sees, borders aside.

    From the last layer to the first, f <- (f - 1) stride + kernel, from f = 1.
    """
    field = 1
    for layer in reversed([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]):
        field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
    return field
