"""Blocks and rules with at least two users."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check_image_size(image_size: int, smallest: int, largest: int, key: str = "data.image_size") -> None:
    """Refuse a size that is not a power of two within bounds, naming the nearest one that is.

    Raises:
        ValueError: With the key, the value and what is allowed.
    """
    allowed = [1 << k for k in range(largest.bit_length()) if smallest <= 1 << k <= largest]
    if image_size not in allowed:
        nearest = min(allowed, key=lambda size: (abs(size - image_size), size))
        raise ValueError(f"{key}={image_size}: must be one of {', '.join(map(str, allowed))}; the nearest is {nearest}")


def normal_init(module: nn.Module) -> None:
    """DCGAN's rule: weights N(0, 0.02), batch norm gains N(1, 0.02), biases 0. Use with ``Module.apply``."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, BATCH_NORMS) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


def normalised(convolution: nn.Conv2d, norm: str | None) -> list[nn.Module]:
    """A convolution followed by its normalisation, as a list of layers.

    Args:
        convolution: Already initialised; spectral norm starts from its weights.
        norm: ``batch``, ``instance``, ``spectral`` or ``None``.
    """
    if norm == "spectral":
        return [spectral_norm(convolution)]
    if norm == "batch":
        return [convolution, nn.BatchNorm2d(convolution.out_channels)]
    if norm == "instance":
        return [convolution, nn.InstanceNorm2d(convolution.out_channels, affine=True)]
    return [convolution]


def has_batch_norm(module: nn.Module) -> bool:
    """Whether any layer shares statistics between the samples of a batch."""
    return any(isinstance(layer, BATCH_NORMS) for layer in module.modules())
