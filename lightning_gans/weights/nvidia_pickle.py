"""Read networks from NVIDIA's pickles (StyleGAN2-ADA for PyTorch) without running code from them.

Such a file holds whole objects and the source of their classes. This reader knows a handful of names: plain
containers, tensors, NumPy's scalars, and the helper that would rebuild an object by executing its source, in whose
place the state alone is kept. Storages are nested files of ``torch.save`` and are loaded with ``weights_only=True``.
Any other name ends the reading.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

from lightning_gans.runtime.unpickling import RestrictedUnpickler


class _Object:
    """Hold the state of an object whose class is not built."""

    def __init__(self, meta: Any = None) -> None:
        known = isinstance(meta, Mapping) and isinstance(meta.get("state"), Mapping)
        self.state: Mapping[str, Any] = meta["state"] if known else {}

    def __setstate__(self, state: Any) -> None:
        """Ignore what else is said of it."""


class _Dict(dict[str, Any]):
    """Replace the file's class of dicts with attributes."""


class _Nothing:
    """Replace NumPy's scalars and types, which are not used."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Ignore it."""


def _storage(content: Any) -> Any:
    """Read a nested file of one storage."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Object,
    ("dnnlib.util", "EasyDict"): _Dict,
    ("dnnlib", "EasyDict"): _Dict,
    ("numpy", "dtype"): _Nothing,
    ("numpy.core.multiarray", "scalar"): _Nothing,
    ("numpy._core.multiarray", "scalar"): _Nothing,
}


def read(path: str | PathLike[str]) -> dict[str, dict[str, Tensor]] | None:
    """Read the networks of a pickle as state dicts by the names ``G``, ``D`` and ``G_ema``; ``None`` for other files.

    Raises:
        ValueError: It is such a pickle, and damaged or holds more than networks.
    """
    file = Path(path).expanduser()
    try:
        start = file.open("rb").read(2)
    except OSError:
        return None
    if start[:1] != b"\x80" or start[1:2] > b"\x05" or file.suffix != ".pkl":  # of torch.save: PK, or another ending
        return None
    try:
        with file.open("rb") as stream:
            content = RestrictedUnpickler(stream, _KNOWN, "a network").load()
    except Exception as error:  # a damaged or hostile file can fail anywhere
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a pickle of NVIDIA's networks: {reason[:200]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a pickle of NVIDIA's networks: holds no dict")
    found = {
        name: dict(_tensors(content[name])) for name in ("G", "D", "G_ema") if isinstance(content.get(name), _Object)
    }
    if "G_ema" not in found:
        raise ValueError(f"{path}: holds no G_ema; it is not of StyleGAN2-ADA for PyTorch")
    return found


def _tensors(network: Any, prefix: str = "", levels: int = 8) -> list[tuple[str, Tensor]]:
    """List the parameters and buffers of an object and those below it, by their dotted names."""
    if not isinstance(network, _Object) or not levels:
        return []
    found: list[tuple[str, Tensor]] = []
    for kind in ("_parameters", "_buffers"):
        held = network.state.get(kind)
        items = held.items() if isinstance(held, Mapping) else ()
        found += [(f"{prefix}{name}", value.detach()) for name, value in items if isinstance(value, Tensor)]
    below = network.state.get("_modules")
    for name, child in below.items() if isinstance(below, Mapping) else ():
        found += _tensors(child, f"{prefix}{name}.", levels - 1)
    return found
