"""Adam that moves a row of a table of vectors only where it has a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from lightning_gans.config.types import FractionBelowOne, NonNegative

BY_ROW = "by_row"  # key of groups of weights that are tables, see ``updates.decay_groups``


class LazyAdam(Adam):
    """Minimise by Adam (Kingma and Ba 2015, arXiv:1412.6980), and tables of vectors row by row.

    Each row with a gradient steps as if Adam had been run on it alone, with moments and a count of steps of its own.
    One without a gradient, such as the vector of a video that is not in the batch, keeps its value and its moments,
    where plain Adam would go on moving it. What is no table is minimised by plain Adam.

    Args:
        params: Weights, or groups of which those of tables have ``by_row=True``.
        lr: Learning rate.
        betas: Decay of the moments.
        eps: Added to the root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: NonNegative = 1e-3,
        betas: tuple[FractionBelowOne, FractionBelowOne] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=(betas[0], betas[1]), eps=eps)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        tables = [(group, table) for group in self.param_groups if group.get(BY_ROW) for table in group["params"]]
        gradients = [table.grad for _, table in tables]
        for group, table in tables:
            if table.grad is not None:
                self._step_rows(table, table.grad, group)
                table.grad = None  # plain Adam passes it over
        super().step()
        for (_, table), gradient in zip(tables, gradients, strict=True):
            table.grad = gradient
        return loss

    @torch.no_grad()
    def _step_rows(self, table: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        """Step the rows (N, D) that have a gradient, without waiting for the device to tell which they are."""
        state, (beta_1, beta_2) = self.state[table], group["betas"]
        if not state:
            state["step"] = torch.zeros(len(table), 1, device=table.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        moved = gradient.ne(0).any(1, keepdim=True)  # (N, 1)
        steps = state["step"] = state["step"].to(table.device) + moved  # which torch loads as it was saved
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.copy_(torch.where(moved, first.lerp(gradient, 1 - beta_1), first))
        second.copy_(torch.where(moved, second.lerp(gradient.square(), 1 - beta_2), second))
        count = steps.to(table.dtype).clamp(min=1)
        size = group["lr"] * (first / (1 - beta_1**count)) / ((second / (1 - beta_2**count)).sqrt() + group["eps"])
        table.sub_(torch.where(moved, size, torch.zeros_like(size)))
