"""Define dense networks for rows of tables, after Xu et al. 2019, arXiv:1907.00503, section 4.4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, NonNegativeInt, Positive, PositiveInt, checked
from lightning_gans.networks.dropout import Dropout
from lightning_gans.tables.codec import Table

_SMALLEST = 1e-7  # distance of a uniform number from 0 and 1


class RowNetwork(nn.Module):
    """Share what networks have that make rows of a table: their latents, and functions of the spans of a row.

    Latents are those of the hidden layers and, behind them, one for every random number of the outputs.

    Args:
        columns: Fitted columns, ``Table.text``.
        latent_dim: Length of the hidden layers' latent vector.
        noises: Random numbers of the outputs.
    """

    positions: Tensor

    def __init__(self, columns: str | None, latent_dim: int, noises: int) -> None:
        super().__init__()
        self.table = Table.from_text(columns)
        self.hidden_dim, self.latent_dim = latent_dim, latent_dim + noises
        self.num_alphas, self.width = self.table.num_alphas, self.table.width
        self.pieces = [count * width for count, width in self.table.groups]
        positions = torch.tensor(self.table.condition_positions, dtype=torch.int64)
        self.register_buffer("positions", positions, persistent=False)

    def by_span(self, function: str, values: Tensor) -> Tensor:
        """Apply ``softmax`` or ``log_softmax`` to every one-hot code in the last part of a row, (N, D - S)."""
        columns, parts = values.t().contiguous(), []  # rows last: softmax of few values takes a tenth of the time there
        for piece, (count, width) in zip(torch.split(columns, self.pieces), self.table.groups, strict=True):
            parts.append(getattr(F, function)(piece.view(count, width, values.shape[0]), dim=1).flatten(0, 1))
        return torch.cat(parts).t()

    def nats_of(self, raw: Tensor, category: Tensor) -> Tensor:
        """Return -log p of the condition (N,) that a row was asked for, from the last layer's outputs (N, D): (N,)."""
        log_p = self.by_span("log_softmax", raw[:, self.num_alphas :])
        return -log_p.gather(1, (self.positions[category] - self.num_alphas)[:, None])[:, 0]


class Generator(RowNetwork):
    """Map latents (N, latent_dim), and conditions (N,) int64 if it takes them, to rows (N, D) in [-1, 1].

    Hidden layers are dense with batch norm and ReLU, and each hands on its input beside its output. Numbers end in
    tanh, one-hot codes in a Gumbel softmax, which adds noise -log(-log u) to the logits. u is made of latents of their
    own, so that a row is a function of its latents in training and in sampling alike.

    Args:
        columns: Fitted columns, ``Table.text``.
        conditions: Number of conditions that it takes, one-hot behind the latents; 0: none.
        latent_dim: Length of the hidden layers' latent vector, >= 1; the attribute counts those of the noise too.
        hidden: Widths of the hidden layers.
        norm: ``batch``, ``layer`` or ``None``.
        temperature: Of the Gumbel softmax.
        latent: Distribution of the latents, from which the noise is made.

    Raises:
        ConfigError: The columns are not known.
    """

    @checked
    def __init__(
        self,
        *,
        columns: str | None,
        conditions: NonNegativeInt = 0,
        latent_dim: PositiveInt = 128,
        hidden: Sequence[PositiveInt] = (256, 256),
        norm: Literal["batch", "layer"] | None = "batch",
        temperature: Positive = 0.2,
        latent: Literal["normal", "uniform", "unit_uniform"] = "normal",
    ) -> None:
        table = Table.from_text(columns)
        super().__init__(columns, latent_dim, table.width - table.num_alphas)
        self.num_conditions, self.temperature, self.latent = conditions, temperature, latent
        width, blocks = latent_dim + conditions, []
        for outputs in hidden:
            blocks.append(nn.Sequential(nn.Linear(width, outputs), *normalised_only(norm, outputs), nn.ReLU()))
            width += outputs
        self.blocks, self.last = nn.ModuleList(blocks), nn.Linear(width, self.width)

    def forward(self, latents: Tensor, *category: Tensor) -> Tensor:
        """Map latents, and conditions, to rows (N, D)."""
        return self.rows(self.raw(latents, *category), latents)

    def raw(self, latents: Tensor, *category: Tensor) -> Tensor:
        """Return the last layer's outputs (N, D), before tanh and softmax."""
        features = latents[:, : self.hidden_dim]
        if self.num_conditions:
            features = torch.cat([features, F.one_hot(category[0], self.num_conditions).to(features)], 1)
        for block in self.blocks:
            features = torch.cat([features, block(features)], 1)
        made: Tensor = self.last(features)
        return made

    def rows(self, raw: Tensor, latents: Tensor) -> Tensor:
        """Map the last layer's outputs (N, D), and the latents of the noise, to rows (N, D)."""
        noise = gumbel(latents[:, self.hidden_dim :], self.latent)
        codes = self.by_span("softmax", (raw[:, self.num_alphas :] + noise) / self.temperature)
        return torch.cat([raw[:, : self.num_alphas].tanh(), codes], 1)


class Discriminator(nn.Module):
    """Map packs of ``pac`` rows with their conditions, (M, pac (D + C)), to raw logits (M,).

    Dense layers of LeakyReLU(0.2) with dropout (Lin et al. 2018, arXiv:1712.04086, for the packs).

    Args:
        channels: D, length of a row.
        conditions: C, number of conditions, one-hot beside the row.
        pac: Rows in a pack, >= 1.
        hidden: Widths of the hidden layers.
        dropout: Probability that a hidden unit is dropped.
    """

    @checked
    def __init__(
        self,
        *,
        channels: PositiveInt,
        conditions: NonNegativeInt = 0,
        pac: PositiveInt = 10,
        hidden: Sequence[PositiveInt] = (256, 256),
        dropout: FractionBelowOne = 0.5,
    ) -> None:
        super().__init__()
        self.num_conditions, self.pac = conditions, pac
        self.inputs = width = pac * (channels + conditions)
        layers: list[nn.Module] = []
        for outputs in hidden:
            layers += [nn.Linear(width, outputs), nn.LeakyReLU(0.2), *([Dropout(dropout)] if dropout else [])]
            width = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def packed(self, rows: Tensor, category: Tensor) -> Tensor:
        """Put rows (N, D) and their conditions (N,) into N // pac packs, (M, pac (D + C)).

        Pack i holds rows i, i + M, i + 2 M, ..., so that processes which share a batch row by row share its packs. Of
        fewer rows than ``pac`` some stand in the pack twice.
        """
        n, packs = len(rows), max(1, len(rows) // self.pac)
        if self.num_conditions:
            rows = torch.cat([rows, F.one_hot(category, self.num_conditions).to(rows)], 1)
        taken = rows[: packs * self.pac] if n >= self.pac else rows[torch.arange(self.pac, device=rows.device) % n]
        return taken.view(self.pac, packs, -1).transpose(0, 1).flatten(1)

    def forward(self, packs: Tensor) -> Tensor:
        """Map packs (M, pac (D + C)) to logits (M,)."""
        logits: Tensor = self.layers(packs)
        return logits.squeeze(1)


class Encoder(nn.Module):
    """Map rows (N, D) to mean and log variance of a latent distribution, (N, latent_dim) each; dense layers of ReLU.

    Args:
        channels: D.
        latent_dim: Length of the latent vector.
        hidden: Widths of the hidden layers.
    """

    @checked
    def __init__(
        self, *, channels: PositiveInt, latent_dim: PositiveInt = 128, hidden: Sequence[PositiveInt] = (128, 128)
    ) -> None:
        super().__init__()
        self.layers, width = dense_relu(channels, hidden)
        self.mean, self.log_variance = nn.Linear(width, latent_dim), nn.Linear(width, latent_dim)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Map rows (N, D) to mean and log variance."""
        features = self.layers(rows)
        return self.mean(features), self.log_variance(features)


class Decoder(RowNetwork):
    """Map latents (N, latent_dim) to rows (N, D) in [-1, 1], drawn from the distributions that it finds.

    Dense layers of ReLU. A number is N(tanh(raw), delta^2), clipped, with a learnt delta for each column; a one-hot
    code is a draw from the softmax of its logits. The draws are made of latents of their own, standard normal.

    Args:
        columns: Fitted columns, ``Table.text``.
        latent_dim: Length of the hidden layers' latent vector, >= 1; the attribute counts those of the draws too.
        hidden: Widths of the hidden layers.
        delta: Where the standard deviations start.
    """

    @checked
    def __init__(
        self,
        *,
        columns: str | None,
        latent_dim: PositiveInt = 128,
        hidden: Sequence[PositiveInt] = (128, 128),
        delta: Positive = 0.1,
    ) -> None:
        super().__init__(columns, latent_dim, Table.from_text(columns).width)
        self.layers, width = dense_relu(latent_dim, hidden)
        self.last = nn.Linear(width, self.width)
        self.log_deltas = nn.Parameter(torch.full((self.num_alphas,), delta).log())

    def raw(self, latents: Tensor) -> Tensor:
        """Return the last layer's outputs (N, D)."""
        made: Tensor = self.last(self.layers(latents[:, : self.hidden_dim]))
        return made

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to rows (N, D)."""
        raw, noise = self.raw(latents), latents[:, self.hidden_dim :]
        alpha = raw[:, : self.num_alphas].tanh() + self.log_deltas.exp() * noise[:, : self.num_alphas]
        logits = raw[:, self.num_alphas :] + gumbel(noise[:, self.num_alphas :], "normal")
        hard = []
        for piece, (count, width) in zip(torch.split(logits, self.pieces, 1), self.table.groups, strict=True):
            chosen = piece.reshape(-1, count, width).argmax(2)
            hard.append(F.one_hot(chosen, width).flatten(1).to(raw))
        return torch.cat([alpha.clamp(-1, 1), *hard], 1)

    def negative_log_likelihood(self, raw: Tensor, rows: Tensor) -> Tensor:
        """Return -log p(row | z) in nats, (N,), from the last layer's outputs (N, D) and encoded rows (N, D)."""
        alphas, codes = rows[:, : self.num_alphas], rows[:, self.num_alphas :]
        error = (alphas - raw[:, : self.num_alphas].tanh()) / self.log_deltas.exp()
        numbers = error.square() / 2 + self.log_deltas + 0.5 * torch.log(torch.tensor(2 * torch.pi)).to(raw)
        return numbers.sum(1) - (codes * self.by_span("log_softmax", raw[:, self.num_alphas :])).sum(1)


def normalised_only(norm: str | None, width: int) -> list[nn.Module]:
    """Return the norm layer behind a dense layer that keeps its bias, if there is one."""
    if norm is None:
        return []
    return [nn.BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width)]


def dense_relu(inputs: int, hidden: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Return dense layers of ReLU, and the width of the last."""
    layers: list[nn.Module] = []
    for outputs in hidden:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers), inputs


def gumbel(latents: Tensor, latent: str) -> Tensor:
    """Turn latents of a distribution into Gumbel noise -log(-log u), u the share of the distribution below each."""
    if latent == "normal":
        u = 0.5 + 0.5 * torch.erf(latents * 0.5**0.5)
    else:
        u = 0.5 + 0.5 * latents / (1 if latent == "uniform" else 3**0.5)
    return -torch.log(-torch.log(u.clamp(_SMALLEST, 1 - _SMALLEST)))
