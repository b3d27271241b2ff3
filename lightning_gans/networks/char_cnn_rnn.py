"""Define the character-level encoder of captions of Reed et al. 2016 (arXiv:1605.05395)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SYMBOLS = 257  # bytes, and 0 behind the end
WIDTH = 4  # of convolutions


class ByteConvolution(nn.Module):
    """Convolve one-hot bytes (N, L) over time with width 4: (N, channels, L - 3).

    The product with a one-hot vector is a row of the weights, which is looked up; four of them are summed.

    Args:
        channels: Feature maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(SYMBOLS, WIDTH * channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights as a convolution over 16 channels does, since of the 257 one alone is not 0."""
        nn.init.uniform_(self.weight, -0.125, 0.125)
        nn.init.zeros_(self.bias)

    def forward(self, captions: Tensor) -> Tensor:
        """Map bytes + 1 (N, L) int64 to features (N, channels, L - 3)."""
        windows = captions.unfold(1, WIDTH, 1)  # (N, L - 3, 4)
        rows = (WIDTH * windows + torch.arange(WIDTH, device=captions.device)).flatten(0, 1)
        summed = F.embedding_bag(rows, self.weight.view(WIDTH * SYMBOLS, -1), mode="sum")
        return (summed + self.bias).view(*windows.shape[:2], -1).transpose(1, 2)


class CharCNNRNN(nn.Module):
    """Map captions as bytes (N, L) int64 to vectors (N, dim).

    Convolutions of width 4 over time with ReLU, each followed by a maximum over 3 steps as long as there are 3, then a
    recurrent layer whose states are averaged, and a linear map. The paper's alphabet has 70 letters and signs; bytes of
    UTF-8 write any script.

    Args:
        dim: Length of a vector.
        length: Bytes of a caption, L.
        channels: Feature maps of the three convolutions; the last is the recurrent layer's width.
    """

    def __init__(self, *, dim: int, length: int, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, left = 0, length
        for width in channels:
            layers += [nn.Conv1d(inputs, width, WIDTH) if inputs else ByteConvolution(width), nn.ReLU()]
            inputs, left = width, left - WIDTH + 1
            if left >= 3:
                layers.append(nn.MaxPool1d(3))
                left //= 3
        if left < 1:
            raise ValueError(f"length={length}: too short for {len(channels)} convolutions")
        self.layers = nn.Sequential(*layers)
        self.recurrent = nn.RNN(inputs, inputs, batch_first=True)
        self.out = nn.Linear(inputs, dim)

    def forward(self, captions: Tensor) -> Tensor:
        """Map bytes + 1 (N, L), 0 behind the end, to vectors (N, dim)."""
        states, _ = self.recurrent(self.layers(captions).transpose(1, 2))  # (N, steps, channels)
        vectors: Tensor = self.out(states.mean(1))
        return vectors


def as_bytes(texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Write captions as bytes; those that are longer than ``length`` in several rows.

    Returns:
        Rows (R, length) int64, bytes + 1 and 0 behind the end, and the caption (R,) that each belongs to.
    """
    codes = [text.lower().strip().encode() for text in texts]
    pieces = [
        (owner, code[start : start + length])
        for owner, code in enumerate(codes)
        for start in range(0, max(1, len(code)), length)
    ]
    rows = np.zeros((len(pieces), length), np.int64)
    for row, (_, piece) in zip(rows, pieces, strict=True):
        row[: len(piece)] = np.frombuffer(piece, np.uint8)
        row[: len(piece)] += 1
    return torch.from_numpy(rows), torch.tensor([owner for owner, _ in pieces])
