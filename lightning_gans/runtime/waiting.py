"""Choose how long PyTorch's threads spin while they wait for each other. Imports no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

SPINS = "1000"  # some tens of microseconds; by default 300,000
CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")


def choose_waiting(
    environment: MutableMapping[str, str] = os.environ, modules: Mapping[str, object] = sys.modules, root: str = "/"
) -> None:
    """Let waiting threads spin briefly if others use this machine's processors; a machine by itself is left as it is.

    GNU's OpenMP, which PyTorch's wheels for Linux bring, reads ``GOMP_SPINCOUNT`` when it is loaded. A thread that
    spins keeps the one that it waits for from a processor, where another process has the rest: a step then takes tens
    of times as long (``benchmarks/threads.py``). It cannot be known what others will do later; who knows says it by one
    of ``CHOSEN``, of which none is changed.

    Args:
        environment: Of this process and its children.
        modules: Those that are imported; with torch among them it is too late.
        root: Folder of ``proc``.
    """
    if "torch" not in modules and not environment.keys() & set(CHOSEN) and _crowded(root):
        environment["GOMP_SPINCOUNT"] = SPINS


def _crowded(root: str) -> bool:
    """Return whether what runs now, with this process's threads, is more than the machine has processors."""
    try:
        running = int(Path(root, "proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
        return running - 1 + len(os.sched_getaffinity(0)) > (os.cpu_count() or 1)
    except (OSError, ValueError, IndexError, AttributeError):  # no Linux
        return False
