"""Define the networks of few-shot talking heads (Zakharov et al. 2019, arXiv:1905.08233, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_gans.config.types import NonNegativeInt, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.attention import PlainSelfAttention
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.instance_norm import InstanceNorm2d, instance_norm
from lightning_gans.networks.layers import base_shape, widths
from lightning_gans.networks.pix2pix_hd import count_downs

SIZES = (8, 512)  # shortest and longest shorter side
Affine = Iterator[tuple[Tensor, Tensor]]  # gains and biases (N, C) of a generator's layers, in their order


class Encoder(nn.Module):
    """Map frames (N, channels, H, W) and their drawings (N, source_channels, H, W) to embeddings (N, embedding_dim).

    The paper's embedder: residual blocks that halve the map down to 4x4, self-attention, a sum over space, ReLU. An
    embedding of K frames is the mean of theirs. At 256 with the default widths it has 14,907,265 weights.

    Args:
        image_size: Side, a power of two from 8 to 512, or ``[height, width]``; see ``base_shape``.
        channels: Of frames.
        source_channels: Of drawings.
        base_channels: Feature maps of the first block; they double with every block.
        max_channels: Most feature maps of a block but the last.
        embedding_dim: Length of an embedding, the feature maps of the last block.
        attention: Shorter side of the map behind which self-attention stands; none where no map has it.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        source_channels: PositiveInt,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 512,
        embedding_dim: PositiveInt = 512,
        attention: PositiveInt | None = 32,
    ) -> None:
        super().__init__()
        inputs = channels + source_channels
        maps = [*widths(base_shape(image_size, *SIZES)[0] - 1, base_channels, max_channels), embedding_dim]
        self.blocks = nn.Sequential(*_halvings(image_size, inputs, maps, attention))
        self.embedding_dim = embedding_dim

    def forward(self, frames: Tensor, drawings: Tensor) -> Tensor:
        """Map each frame to an embedding."""
        features: Tensor = self.blocks(torch.cat([frames, drawings], 1))  # (N, embedding_dim, 4, 4)
        return F.relu(features.sum((2, 3)))


class Generator(nn.Module):
    """Map drawings (N, source_channels, H, W) and embeddings (N, embedding_dim) to frames (N, channels, H, W).

    Halvings with instance norm, residual blocks, doublings, tanh. Behind the halvings every instance norm is adaptive:
    its gains, less one, and biases are P e + c, the ``style`` of a person; only they know who is drawn. Spectral norm
    is on every convolution; P is a plain dense layer. At 256 with the default widths it has 38,160,037 weights: P
    6,750,208, c 13,184 and the rest 31,396,645.

    Args:
        image_size: Side, or ``[height, width]``.
        channels: Of frames.
        source_channels: Of drawings.
        embedding_dim: Length of an embedding.
        base_channels: Feature maps of the first halving; they double with every one.
        max_channels: Most feature maps.
        downs: Halvings; ``None``: four, or as many as leave a 16x16 map as the paper's do, and one at least.
        blocks: Residual blocks between halvings and doublings.
        first_kernel: Side of the first halving's convolutions.
        down_attention: Shorter side of the map of a halving behind which self-attention stands; none without such one.
        up_attention: Likewise of a doubling.

    Raises:
        ConfigError: Sides that cannot be halved so often.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        source_channels: PositiveInt,
        embedding_dim: PositiveInt = 512,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 512,
        downs: PositiveInt | None = None,
        blocks: NonNegativeInt = 5,
        first_kernel: PositiveInt = 9,
        down_attention: PositiveInt | None = 32,
        up_attention: PositiveInt | None = 64,
    ) -> None:
        super().__init__()
        levels = count_downs(image_size, downs, "model.generator", leave=16)
        side = image_size if isinstance(image_size, int) else min(image_size)
        self.embedding_dim, self.size_divisor = embedding_dim, 1 << levels
        maps = widths(levels, base_channels, max_channels)
        self.down = nn.Sequential()
        for level, (inputs, outputs) in enumerate(zip([source_channels, *maps], maps, strict=False), 1):
            kernel = first_kernel if level == 1 else 3
            self.down.append(DownBlock(inputs, outputs, kernel=kernel, first=level == 1))
            self.down.append(InstanceNorm2d(outputs, affine=True))
            if side >> level == down_attention:
                self.down.append(PlainSelfAttention(outputs, norm=spectral_norm))
        self.inner = nn.ModuleList(AdaptiveBlock(maps[-1], maps[-1]) for _ in range(blocks))
        outs = [*maps[-2::-1], max(1, base_channels // 2)]
        self.up = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(zip([maps[-1], *outs], outs, strict=False), 1):
            self.up.append(AdaptiveBlock(inputs, outputs, enlarge=True))
            if side >> levels - level == up_attention:
                self.up.append(PlainSelfAttention(outputs, norm=spectral_norm))
        self.last = spectral_norm(nn.Conv2d(outs[-1], channels, 3, padding=1))
        adaptive = [layer for layer in (*self.inner, *self.up) if isinstance(layer, AdaptiveBlock)]
        self.sizes = [size for layer in adaptive for size in layer.sizes] + [outs[-1]]
        self.projection = nn.Linear(embedding_dim, 2 * sum(self.sizes))  # P and c
        nn.init.normal_(self.projection.weight, 0.0, 0.02)
        nn.init.zeros_(self.projection.bias)

    def forward(self, drawings: Tensor, embedding: Tensor) -> Tensor:
        """Draw a person, by embedding, in the poses of drawings."""
        style: Tensor = self.projection(embedding)  # (N, 2 x maps of all adaptive norms)
        affine = self._affine(style)
        h: Tensor = self.down(drawings)
        for layer in (*self.inner, *self.up):
            h = layer(h, affine) if isinstance(layer, AdaptiveBlock) else layer(h)
        return torch.tanh(self.last(F.relu(adaptive_norm(h, *next(affine)))))

    def _affine(self, style: Tensor) -> Affine:
        gains, biases = (torch.split(part, self.sizes, 1) for part in style.chunk(2, 1))
        return iter([(1 + gain, bias) for gain, bias in zip(gains, biases, strict=True)])


class Discriminator(nn.Module):
    """Tell a frame (N, channels, H, W) with its drawing, of a video by number, from a generated one.

    Halvings as the encoder's, a residual block, a sum over space to v; the logit is v^T (W_i + w_0) + b, where row i of
    W is of the training video i. A person without a row, to whom a generator is fine-tuned, is judged by w_0 alone.

    Args:
        image_size: As the encoder's.
        channels: Of frames.
        source_channels: Of drawings.
        num_videos: Rows of W; 0 or ``None``: none.
        base_channels: As the encoder's.
        max_channels: Likewise.
        embedding_dim: Length of a row, that of an embedding.
        attention: As the encoder's.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        source_channels: PositiveInt,
        num_videos: NonNegativeInt | None = None,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 512,
        embedding_dim: PositiveInt = 512,
        attention: PositiveInt | None = 32,
    ) -> None:
        super().__init__()
        inputs = channels + source_channels
        maps = [*widths(base_shape(image_size, *SIZES)[0] - 1, base_channels, max_channels), embedding_dim]
        self.blocks = nn.ModuleList(_halvings(image_size, inputs, maps, attention))
        self.blocks.append(DownBlock(embedding_dim, embedding_dim, halve=False))
        self.embedding_dim, self.num_videos = embedding_dim, num_videos or 0
        self.rows = VideoRows(self.num_videos, embedding_dim) if self.num_videos else None  # W
        self.common = nn.Parameter(torch.randn(embedding_dim) / embedding_dim**0.5)  # w_0
        self.bias = nn.Parameter(torch.zeros(()))  # b

    def forward(self, frames: Tensor, drawings: Tensor, videos: Tensor | None = None) -> list[Tensor]:
        """Return the features of every residual block, the first one's first, and behind them the raw logits (N,).

        Args:
            frames: (N, channels, H, W) in [-1, 1].
            drawings: (N, source_channels, H, W).
            videos: (N,) int64, rows of W; ``None``: of a person who has none.
        """
        h, found = torch.cat([frames, drawings], 1), []
        for block in self.blocks:
            h = block(h)
            if isinstance(block, DownBlock):
                found.append(h)
        seen = F.relu(h).sum((2, 3))  # (N, embedding_dim)
        who = self.common if videos is None or self.rows is None else self.rows(videos) + self.common
        return [*found, (seen * who).sum(1) + self.bias]


class VideoRows(nn.Embedding):
    """Hold a vector for every training video, W of the paper; ``LazyAdam`` moves only rows that have a gradient.

    Args:
        videos: Number of rows.
        width: Length of a row.
    """

    def __init__(self, videos: int, width: int) -> None:
        super().__init__(videos, width)
        nn.init.normal_(self.weight, 0.0, width**-0.5)


class DownBlock(nn.Module):
    """Map features (N, C, H, W) to (N, C', H / 2, W / 2): two convolutions beside a 1x1 shortcut, with spectral norm.

    Args:
        inputs: Maps in.
        outputs: Maps out.
        kernel: Side of the two convolutions.
        first: Of images, which have no ReLU before.
        halve: ``False``: keep the size, and with it the input itself as the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv_1 = spectral_norm(Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        self.conv_2 = spectral_norm(Conv2d(outputs, outputs, kernel, padding=kernel // 2))
        self.shortcut = spectral_norm(nn.Conv2d(inputs, outputs, 1)) if halve else None

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch."""
        h: Tensor = self.conv_2(F.relu(self.conv_1(x if self.first else F.relu(x))))
        around: Tensor = x if self.shortcut is None else self.shortcut(F.avg_pool2d(x, 2))  # which commute
        return around + (h if self.shortcut is None else F.avg_pool2d(h, 2))


class AdaptiveBlock(nn.Module):
    """Map features (N, C, H, W) to (N, C', H, W), or twice as large: two convolutions, each behind an adaptive norm.

    Args:
        inputs: Maps in.
        outputs: Maps out.
        enlarge: Double the map, with a 1x1 convolution as the shortcut; ``False``: the input itself.
    """

    def __init__(self, inputs: int, outputs: int, *, enlarge: bool = False) -> None:
        super().__init__()
        self.sizes = (inputs, outputs)  # of the adaptive norms
        self.conv_1 = spectral_norm(Conv2d(inputs, outputs, 3, padding=1))
        self.conv_2 = spectral_norm(Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(inputs, outputs, 1)) if enlarge else None

    def forward(self, x: Tensor, affine: Affine) -> Tensor:
        """Map a batch, by the next two pairs of gains and biases."""
        h: Tensor = F.relu(adaptive_norm(x, *next(affine)))
        h = self.conv_1(h if self.shortcut is None else F.interpolate(h, scale_factor=2, mode="nearest"))
        h = self.conv_2(F.relu(adaptive_norm(h, *next(affine))))
        if self.shortcut is not None:
            x = F.interpolate(self.shortcut(x), scale_factor=2, mode="nearest")
        return x + h


def adaptive_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Normalise every map of features (N, C, H, W) of each sample, then scale and shift it by (N, C) of its own.

    Huang and Belongie 2017, arXiv:1703.06868.
    """
    normalised = instance_norm(x)
    return gain[:, :, None, None] * normalised + bias[:, :, None, None]


def _halvings(image_size: Size, inputs: int, maps: Sequence[int], attention: int | None) -> Sequence[nn.Module]:
    """Return the residual blocks that halve images to ``base_shape``, and self-attention where it stands."""
    levels, base = base_shape(image_size, *SIZES)
    layers: list[nn.Module] = []
    for level, (before, after) in enumerate(zip([inputs, *maps], maps, strict=False), 1):
        layers.append(DownBlock(before, after, first=level == 1))
        if min(base) << levels - level == attention:
            layers.append(PlainSelfAttention(after, norm=spectral_norm))
    return layers
