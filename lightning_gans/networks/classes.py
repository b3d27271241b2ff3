"""Condition networks on classes: one-hot vectors, batch norm by class, and the projection discriminator's term."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.validation import SETS

Classes = Literal["projection"]


def one_hot(classes: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """Encode classes (N,) int64 as vectors (N, num_classes) of the type of ``like``: 1 at the class, 0 elsewhere."""
    return F.one_hot(classes, num_classes).to(like.dtype)


def checked_classes(num_classes: int | None) -> int:
    """Return the number of classes.

    Raises:
        ConfigError: The data has none.
    """
    if num_classes is None:
        rule = f"must be >= 1 for a conditional network; data={', '.join(SETS['labelled'])} have labels, data=stl10, "
        rule += "celeba, lsun by options of theirs, data=folder with the number of its class folders"
        raise ConfigError("data.num_classes", None, rule)
    return num_classes


def classes_of(classes: Classes | None, num_classes: int | None) -> int:
    """Return the number of classes that a network takes by its option ``classes``; 0 without it.

    Raises:
        ConfigError: The data has none.
    """
    return 0 if classes is None else checked_classes(num_classes)


def entries_of(num_classes: int) -> tuple[str, ...]:
    """Return the batch entries that a network with so many classes takes, for its attribute ``conditions``."""
    return ("label",) if num_classes else ()


def beside(latents: Tensor, classes: tuple[Tensor, ...], num_classes: int) -> Tensor:
    """Put the one-hot class, if a network takes it, behind latents: (N, Z) -> (N, Z + num_classes).

    Raises:
        TypeError: Classes without ``num_classes``, or the reverse.
    """
    check_given(classes, num_classes)
    return torch.cat([latents, *(one_hot(given, num_classes, latents) for given in classes)], 1)


def check_given(classes: tuple[Tensor, ...], num_classes: int) -> None:
    """Check what a network's ``forward(x, *classes)`` is given.

    Raises:
        TypeError: Classes without ``num_classes``, or the reverse.
    """
    if len(classes) != (num_classes > 0):
        raise TypeError(f"takes {'the class' if num_classes else 'no classes'}; {len(classes)} were given")


class ClassProjection(nn.Module):
    """Compute <embed(y), phi(x)>, what a projection discriminator adds to w^T phi(x) for an image's class y.

    Miyato and Koyama 2018, arXiv:1802.05637, equation 4; the embedding starts by Glorot's rule, as in their code.

    Args:
        num_classes: Number of classes.
        features: Length F of phi(x).
        spectral: Divide the embedding by its largest singular value, as a discriminator with spectral norm does.
    """

    def __init__(self, num_classes: int, features: int, *, spectral: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, features)
        nn.init.xavier_uniform_(self.embedding.weight)
        if spectral:
            spectral_norm(self.embedding)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Map features (N, F) and classes (N,) int64 to (N,)."""
        products: Tensor = self.embedding(classes) * features
        return products.sum(1)


def projection(classes: Classes | None, num_classes: int | None, features: int, norm: str | None) -> nn.Module | None:
    """Return the projection of a discriminator with this norm; ``None`` if it takes no classes.

    Raises:
        ConfigError: The data has no classes.
    """
    number = classes_of(classes, num_classes)
    return ClassProjection(number, features, spectral=norm == "spectral") if number else None


def projected(logits: Tensor, features: Tensor, part: nn.Module | None, classes: tuple[Tensor, ...]) -> Tensor:
    """Add the projection of an image's last features on its class, if a discriminator has one, to its logit.

    Args:
        logits: (N,).
        features: (N, F), or maps (N, F, H, W), which are summed over space.
        part: The projection; ``None``: there is none.
        classes: What the discriminator was given: classes (N,) int64, or nothing.

    Returns:
        (N,).

    Raises:
        TypeError: Classes without a projection, or the reverse.
    """
    check_given(classes, int(part is not None))
    if part is None:
        return logits
    summed = features.flatten(2).sum(2) if features.ndim > 2 else features
    added: Tensor = part(summed, *classes)
    return logits + added


class ClassBatchNorm(nn.Module):
    """Apply batch norm whose gain and bias depend on the class (Dumoulin et al. 2017, arXiv:1610.07629).

    Statistics are those of all classes together. Gains start at 1 and biases at 0.

    Args:
        width: Feature maps C.
        num_classes: Number of classes.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain, self.bias = nn.Embedding(num_classes, width), nn.Embedding(num_classes, width)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        """Map features (N, C, H, W) and classes (N,) int64 to (N, C, H, W)."""
        gain, bias = (table(classes)[:, :, None, None] for table in (self.gain, self.bias))  # (N, C, 1, 1)
        normed: Tensor = self.norm(x) * gain + bias
        return normed


class ConditionalBatchNorm(nn.Module):
    """Apply batch norm whose gain is 1 + W(c) and whose bias is V(c), linear in a condition (Brock et al. 2019).

    Statistics are those of all samples together.

    Args:
        width: Feature maps C.
        num_classes: Number of classes.
        condition: Length of the condition's vectors; ``None``: it is the class, and W and V are tables.
    """

    def __init__(self, width: int, num_classes: int, condition: int | None = None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain, self.bias = (
            nn.Embedding(num_classes, width) if condition is None else nn.Linear(condition, width, bias=False)
            for _ in range(2)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map features (N, C, H, W) and conditions (N, condition), or classes (N,) int64, to (N, C, H, W)."""
        gain, bias = (part(condition)[:, :, None, None] for part in (self.gain, self.bias))  # (N, C, 1, 1)
        normed: Tensor = self.norm(x) * (1 + gain) + bias
        return normed
