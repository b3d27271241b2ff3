"""Attend over the positions of feature maps, as SAGAN and BigGAN do."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Add what every position gathers from all others: x + gate o(softmax(theta(x)^T phi(x)) g(x)).

    Zhang et al. 2018, arXiv:1805.08318, section 3, with the sizes of its released code: 1x1 convolutions without bias,
    queries theta and keys phi an eighth of the width, values g half, keys and values max-pooled 2x2. The gate starts at
    0, so that the layer starts as the identity; weight decay, which would close it, passes it over. Products are not
    scaled.

    Queries and keys are filled up with zeros to the values' width, and laid out row by row: only so do the kernels take
    them that never hold the matrix of H W x H W / 4 products.

    Args:
        width: Feature maps C, at least 8.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow, half = max(1, width // 8), max(1, width // 2)
        self.theta, self.phi = (nn.Conv2d(width, narrow, 1, bias=False) for _ in range(2))
        self.g, self.o = nn.Conv2d(width, half, 1, bias=False), nn.Conv2d(half, width, 1, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to the same shape."""
        keys, values = F.max_pool2d(self.phi(x), 2), F.max_pool2d(self.g(x), 2)  # (N, C', H/2, W/2)
        rows = [maps.flatten(2).transpose(1, 2)[:, None].contiguous() for maps in (self.theta(x), keys, values)]
        width = rows[2].shape[3]
        query, key = (F.pad(row, (0, width - row.shape[3])) for row in rows[:2])  # (N, 1, H W, C/2), (N, 1, H W/4, C/2)
        gathered = F.scaled_dot_product_attention(query, key, rows[2], scale=1.0)
        maps = gathered[:, 0].transpose(1, 2).reshape(*gathered.shape[:1], width, *x.shape[2:])  # (N, C/2, H, W)
        attended: Tensor = x + self.gate * self.o(maps)
        return attended


class PlainSelfAttention(nn.Module):
    """Add what every position gathers from all others: x + gate g(x) softmax(theta(x)^T phi(x)).

    Zhang et al. 2018, arXiv:1805.08318, without the poolings and the last convolution of its released code: 1x1
    convolutions with biases, queries and keys an eighth of the width, values all of it. The gate starts at 0.

    Args:
        width: Feature maps C.
        norm: Put on every convolution, such as spectral norm; ``None``: nothing is.
    """

    def __init__(self, width: int, norm: Callable[[nn.Module], nn.Module] | None = None) -> None:
        super().__init__()
        made = [nn.Conv2d(width, maps, 1) for maps in (max(1, width // 8), max(1, width // 8), width)]
        self.theta, self.phi, self.g = (layer if norm is None else norm(layer) for layer in made)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to the same shape."""
        query, key, value = (layer(x).flatten(2).transpose(1, 2) for layer in (self.theta, self.phi, self.g))
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # (N, H W, C)
        attended: Tensor = x + self.gate * gathered.transpose(1, 2).reshape(x.shape)
        return attended
