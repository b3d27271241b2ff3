"""The game min over x, max over y of x y, which gradient descent does not solve, and what helps.

Its only equilibrium is (0, 0), and the field (-y, x) of both players' steps turns around it. x plays the generator and
y the discriminator; x moves first.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

Method = Literal["simultaneous", "alternating", "extragradient", "negative_momentum"]


def play(
    method: Method,
    *,
    start: tuple[float, float] = (1.0, 1.0),
    rate: float = 0.1,
    steps: int = 100,
    momentum: float = -0.5,
) -> Tensor:
    """Return the path of both players, (steps + 1, 2) float64, x before y.

    ``simultaneous``: x - rate y and y + rate x from the same point; spirals outwards. ``alternating``: y answers the
    new x; goes round for ever. ``extragradient``: both step from the old point with the gradients at the point that a
    first step leads to (Korpelevich 1976; Gidel et al. 2019, arXiv:1802.10551); spirals inwards.
    ``negative_momentum``: alternating, with ``momentum`` times the last move added (Gidel et al. 2019,
    arXiv:1807.04740); spirals inwards.

    Args:
        method: How the players move.
        start: x and y at first.
        rate: Learning rate of both.
        steps: Moves of each player.
        momentum: Of ``negative_momentum``; -0.5 in the paper's theorem.

    Raises:
        ValueError: There is no such method.
    """
    if method not in get_args(Method):
        raise ValueError(f"method={method}: must be one of {', '.join(get_args(Method))}")
    x, y = start
    move_x = move_y = 0.0
    path = [(x, y)]
    for _ in range(steps):
        if method == "extragradient":
            ahead_x, ahead_y = x - rate * y, y + rate * x
            x, y = x - rate * ahead_y, y + rate * ahead_x
        elif method == "simultaneous":
            x, y = x - rate * y, y + rate * x
        else:
            beta = momentum if method == "negative_momentum" else 0.0
            move_x = beta * move_x - rate * y
            x += move_x
            move_y = beta * move_y + rate * x
            y += move_y
        path.append((x, y))
    return torch.tensor(path, dtype=torch.float64)


def running_mean(path: Tensor) -> Tensor:
    """Return the mean of all points up to each of a path (T, ...), of the same shape.

    Of the alternating game it approaches the equilibrium as 1 / t, though the players never do.
    """
    counts = torch.arange(1, len(path) + 1, dtype=path.dtype, device=path.device)
    return path.cumsum(0) / counts.view(-1, *[1] * (path.ndim - 1))


def contraction(method: Method, rate: float, momentum: float = -0.5) -> float:
    """Return the factor by which the distance from the equilibrium changes in a step, in the long run.

    sqrt(1 + r^2) of ``simultaneous``, above 1; 1 of ``alternating`` (r < 2); sqrt(1 - r^2 + r^4) of ``extragradient``;
    of ``negative_momentum`` the spectral radius of its linear map on (x, y, last moves).
    """
    if method == "simultaneous":
        return math.sqrt(1 + rate**2)
    if method == "extragradient":
        return math.sqrt(1 - rate**2 + rate**4)
    beta = momentum if method == "negative_momentum" else 0.0
    step_x = torch.tensor([[1, -rate, beta, 0], [0, 1, 0, 0], [0, -rate, beta, 0], [0, 0, 0, 1.0]], dtype=torch.float64)
    step_y = torch.tensor([[1, 0, 0, 0], [rate, 1, 0, beta], [0, 0, 1, 0], [rate, 0, 0, beta]], dtype=torch.float64)
    return float(torch.linalg.eigvals(step_y @ step_x).abs().max())
