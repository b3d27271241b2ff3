"""Define the character-level encoder of captions of Reed et al. 2016 (arXiv:1605.05395)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SYMBOLS = 257  # bytes, and 0 behind the end


class ByteConvolution(nn.Module):
    """Convolve one-hot bytes (N, L) over time with width 4: (N, channels, L - 3).

    The product with a one-hot vector is a row of the weights, which is looked up.

    Args:
        channels: Feature maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(SYMBOLS, 4 * channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights as a convolution over 16 channels does, since of the 257 one alone is not 0."""
        nn.init.uniform_(self.weight, -0.125, 0.125)
        nn.init.zeros_(self.bias)

    def forward(self, captions: Tensor) -> Tensor:
        """Map bytes + 1 (N, L) int64 to features (N, channels, L - 3)."""
        taps = F.embedding(captions, self.weight).view(*captions.shape, 4, -1)  # (N, L, 4, channels)
        steps = captions.shape[1] - 3
        summed = torch.stack([taps[:, k : k + steps, k] for k in range(4)]).sum(0)
        return (summed + self.bias).transpose(1, 2)


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
            layers += [nn.Conv1d(inputs, width, 4) if inputs else ByteConvolution(width), nn.ReLU()]
            inputs, left = width, left - 3
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
    rows, owners = [], []
    for owner, text in enumerate(texts):
        code = text.lower().strip().encode()
        for start in range(0, max(1, len(code)), length):
            piece = torch.tensor(list(code[start : start + length]), dtype=torch.int64) + 1
            rows.append(F.pad(piece, (0, length - len(piece))))
            owners.append(owner)
    return torch.stack(rows), torch.tensor(owners)
