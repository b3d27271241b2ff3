"""Decide the numerical precision of a training, and compute losses and norms in full precision."""

from __future__ import annotations

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.utilities import rank_zero_warn
from omegaconf import DictConfig
from torch import Tensor

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "64-true")


def full_precision(tensor: Tensor) -> Tensor:
    """Cast a tensor to float32, or keep float64; losses and norms are computed in it."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def decide_precision(trainer: DictConfig) -> str:
    """Return ``trainer.precision``; ``auto`` becomes bf16-mixed where the hardware computes bf16 fast, else 32-true.

    Raises:
        ValueError: The precision is not one of ``PRECISIONS``.
    """
    given = str(trainer.precision)
    if given not in PRECISIONS:
        raise ValueError(f"trainer.precision={given}: must be one of {', '.join(PRECISIONS)}")
    if given == "16-mixed" and _is_cpu(trainer.accelerator):
        rank_zero_warn("trainer.precision=16-mixed: a CPU cannot train in fp16; this one trains in bf16-mixed")
        return "bf16-mixed"
    if given != "auto":
        return given
    if torch.cuda.is_available() and trainer.accelerator in ("auto", "gpu", "cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        tests = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        fast = trainer.accelerator in ("auto", "cpu") and any(test() for test in tests if test)
    return "bf16-mixed" if fast else "32-true"


def available_accelerators() -> set[str]:
    """Return the names of this machine's accelerators, as ``trainer.accelerator`` takes them."""
    return {name for name, found in AcceleratorRegistry.items() if found["accelerator"].is_available()}


def _is_cpu(accelerator: str) -> bool:
    """Return whether Lightning trains on the CPU."""
    return accelerator == "cpu" or (accelerator == "auto" and available_accelerators() <= {"cpu"})
