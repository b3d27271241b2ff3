"""Define layers with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.networks.convolution import Conv2d

HE = math.sqrt(2.0)  # gain of a layer before a rectifier


class EqualisedConv2d(Conv2d):
    """Convolve with weights that are multiplied by gain / sqrt(fan-in) at run time, not at the start.

    All weights start from N(0, 1), and Adam, whose steps do not depend on the gradient's scale, moves every layer at
    the same speed. Biases start at 0 and are not scaled.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Side of the kernel; odd ones are padded to keep the size, unless there is a stride.
        gain: He's sqrt(2), or 1 for a layer without activation.
        equalised: ``False``: the factor enters the initial weights instead.
        bias: Add a bias.
        stride: Step of the kernel; above 1 nothing is padded.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        gain: float = HE,
        equalised: bool = True,
        bias: bool = True,
        stride: int = 1,
    ) -> None:
        padding = kernel // 2 if kernel % 2 and stride == 1 else 0
        super().__init__(inputs, outputs, kernel, padding=padding, bias=bias, stride=stride)
        self.scale = _start(self, gain, equalised)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, inputs, H, W) to (N, outputs, H', W')."""
        made: Tensor = self._conv_forward(input, self.weight * self.scale, self.bias)
        return made


class EqualisedLinear(nn.Linear):
    """Apply a dense layer whose weights are multiplied by gain / sqrt(fan-in) at run time; see ``EqualisedConv2d``.

    Args:
        inputs: Input features.
        outputs: Output features.
        gain: He's sqrt(2), or 1 for a layer without activation.
        equalised: ``False``: the factor enters the initial weights instead.
        lr_multiplier: Speed m of the layer: weights start from N(0, 1 / m^2), and weights and biases are multiplied by
            m at run time, so that Adam moves the layer m times as fast.
        first_bias: What biases start from, at run time.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = HE,
        equalised: bool = True,
        lr_multiplier: float = 1.0,
        first_bias: float = 0.0,
    ) -> None:
        super().__init__(inputs, outputs)
        self.lr_multiplier = lr_multiplier
        self.scale = _start(self, gain, equalised) * lr_multiplier
        with torch.no_grad():
            self.weight.div_(lr_multiplier)
            self.bias.fill_(first_bias / lr_multiplier)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, inputs) to (N, outputs)."""
        bias = self.bias if self.lr_multiplier == 1 else self.bias * self.lr_multiplier
        return F.linear(input, self.weight * self.scale, bias)


class FirstLayer(nn.Module):
    """Map latents to 4x4 maps by a dense layer with gain sqrt(2) / 4 (the paper's exception) and a bias per map.

    Computed as a transposed convolution, whose rounding does not depend on the batch size.

    Args:
        latent_dim: Length of the latents.
        maps: Feature maps.
        equalised: Scale weights at run time.
        position_bias: Add one bias per value in place of one per map.
        bias: Add a bias.
    """

    def __init__(
        self, latent_dim: int, maps: int, *, equalised: bool = True, position_bias: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        scale = HE / 4 / math.sqrt(latent_dim)
        self.scale = scale if equalised else 1.0
        self.weight = nn.Parameter(torch.randn(latent_dim, maps, 4, 4) * (1.0 if equalised else scale))
        side = 4 if position_bias else 1
        self.bias = nn.Parameter(torch.zeros(maps, side, side)) if bias else None

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to features (N, maps, 4, 4)."""
        made = F.conv_transpose2d(latents[:, :, None, None], self.weight * self.scale)
        return made if self.bias is None else made + self.bias.to(made.dtype)


def _start(layer: nn.Conv2d | nn.Linear, gain: float, equalised: bool) -> float:
    """Draw a layer's weights and return the factor that they are multiplied by at run time."""
    scale = gain / math.sqrt(layer.weight[0].numel())
    nn.init.normal_(layer.weight, 0.0, 1.0 if equalised else scale)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return scale if equalised else 1.0
