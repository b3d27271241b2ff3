"""Choose the device of a command, and say once what this machine lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import torch

# Oldest driver that each CUDA works with, by the first number of its version.
DRIVERS = {11: 450, 12: 525, 13: 580}
LAST_FOR_CUDA_12 = "torch<2.11"  # later ones on PyPI are built for CUDA 13


def unusable_cuda() -> str | None:
    """Return in one line why torch cannot use a CUDA device that the system has; ``None`` if it can or there is none.

    A device that ``CUDA_VISIBLE_DEVICES`` hides is none.
    """
    if torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    driver = driver_version()
    if driver is None:
        return None
    built = torch.version.cuda
    needed = DRIVERS.get(int(built.partition(".")[0])) if built else None
    if built is None:
        kind, way_out = "is built without CUDA", "install a build of torch with CUDA"
    elif needed is not None and driver.split(".")[0].isdigit() and int(driver.split(".")[0]) < needed:
        kind = f"is built for CUDA {built}, which needs driver {needed} or later"
        way_out = f"update the driver, or pip install '{LAST_FOR_CUDA_12}'"
    else:
        kind, way_out = f"is built for CUDA {built}", "python -c 'import torch; torch.cuda.init()' says why"
    return (
        f"this machine has a CUDA device (driver {driver}) that torch {torch.__version__} cannot use: it {kind}; "
        f"training goes on on the CPU ({way_out})"
    )


def driver_version(root: str = "/") -> str | None:
    """Return the version of NVIDIA's driver, or ``unknown``; ``None`` where no device is visible.

    Args:
        root: Folder of ``dev`` and ``proc``.
    """
    if any(Path(root, "dev").glob("nvidia[0-9]*")):
        try:
            text = Path(root, "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
        if found:
            return found[1]
    told = _ask_nvidia_smi()
    return told or ("unknown" if any(Path(root, "dev").glob("nvidia[0-9]*")) else None)


def _ask_nvidia_smi() -> str | None:
    """Return the driver's version by ``nvidia-smi``, which fails where there is no device."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        made = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(made.stdout.split()), None)


def remember_no_cuda() -> None:
    """Spare PyTorch the search for NVIDIA's library, which Adam asks for at every step, where there is no CUDA device.

    Lightning asks for it by ``PYTORCH_NVML_BASED_CUDA_CHECK``, since it leaves processes fit to be forked; without a
    device that is of no use, and each search takes half a millisecond.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


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
