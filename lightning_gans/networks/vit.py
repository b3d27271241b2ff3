"""Define the vision transformer of DINOv2 (Oquab et al. 2023, arXiv:2304.07193), with published names of weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.types import PositiveInt, checked

EPSILON = 1e-6


class VisionTransformer(nn.Module):
    """Map images (N, 3, H, W), H and W multiples of ``patch``, to the normalised class token, (N, width).

    A token for each patch and one for the class, learnt positions, and ``depth`` blocks x + g1 attention(norm(x)),
    x + g2 mlp(norm(x)) with a learnt scale g of each channel.

    Args:
        width: Channels of a token, a multiple of ``heads``.
        depth: Number of blocks.
        heads: Heads of attention.
        patch: Pixels of a patch's side.
        grid: Patches in a row of the images that positions were learnt for; others are interpolated.
    """

    @checked
    def __init__(
        self, *, width: PositiveInt, depth: PositiveInt, heads: PositiveInt, patch: PositiveInt, grid: PositiveInt
    ) -> None:
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of its training; unused here
        self.pos_embed = nn.Parameter(torch.zeros(1, grid**2 + 1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to (N, width)."""
        patches = self.patch_embed["proj"](images)  # (N, width, h, w)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches.flatten(2).mT], 1)
        tokens = tokens + self._positions(*patches.shape[-2:])
        for block in self.blocks:
            tokens = block(tokens)
        normalised: Tensor = self.norm(tokens)
        return normalised[:, 0]

    def _positions(self, height: int, width: int) -> Tensor:
        """Interpolate the positions to (1, 1 + height * width, width) as published: bicubic, with sides 0.1 larger."""
        if height == width == self.grid:
            return self.pos_embed
        places = self.pos_embed[:, 1:].mT.reshape(1, -1, self.grid, self.grid)
        scale = ((height + 0.1) / self.grid, (width + 0.1) / self.grid)
        places = F.interpolate(places, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], places.flatten(2).mT], 1)


class Block(nn.Module):
    """Apply attention and a dense network to tokens (N, T, width), each normalised before and scaled after."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": torch.ones(width)}) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, T, width) to the same shape."""
        tokens = tokens + self.ls1["gamma"] * self._attention(self.norm1(tokens))
        hidden = F.gelu(self.mlp["fc1"](self.norm2(tokens)))
        changed: Tensor = tokens + self.ls2["gamma"] * self.mlp["fc2"](hidden)
        return changed

    def _attention(self, tokens: Tensor) -> Tensor:
        parts = self.attn["qkv"](tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, N, heads, T, d)
        mixed = F.scaled_dot_product_attention(*parts)
        out: Tensor = self.attn["proj"](mixed.transpose(1, 2).flatten(2))
        return out
