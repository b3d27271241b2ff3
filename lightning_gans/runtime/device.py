"""Choose the device of a command."""

from __future__ import annotations

import torch


def pick_device(name: str) -> torch.device:
    """Return the device of a command's ``device=NAME``; ``auto`` is a GPU if there is one.

    Raises:
        ValueError: This machine has no such device.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={name}: not available here ({str(error).splitlines()[0]})") from error
    return device
