"""Read and write shared generators: weights as safetensors with a config as JSON; nothing in them is code.

A shared generator is what samples or translates, without discriminators and optimisers. It is a folder of
``config.json`` and ``model.safetensors``, or one ``.safetensors`` file with the config in its metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lightning_gans.runtime.atomic import atomic_write, write_text

WEIGHTS, CONFIG = "model.safetensors", "config.json"
ENDING = ".safetensors"
SHIPPED = Path(__file__).resolve().parent.parent / "pretrained"  # of this package, by name
LIBRARY = "lightning_gans"
FORMAT_VERSION = 2  # of the configs of checkpoints and shared generators; a reader knows all up to its own
_ITEMS = "_items_"  # JSON has no keys but strings: a mapping with others is a list of pairs under this key
_METADATA = "lightning_gans"  # key in the metadata of a file that stands alone
_MOST_BYTES = 16 * 2**20  # of a config


def shipped() -> list[str]:
    """Return the names of the generators that the package brings."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{WEIGHTS}"))


def is_shared(folder: Path) -> bool:
    """Return whether a folder holds a shared generator."""
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


def write_folder(folder: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write a shared generator as ``config.json`` and ``model.safetensors``.

    Args:
        folder: Created if it is not there.
        tensors: Weights by name.
        description: Sections of the config, counters and whatever else is told, of plain values.

    Raises:
        OSError: A file cannot be written.
        TypeError: The description holds more than plain values.
    """
    text = json.dumps(_encode(description), indent=2)
    with atomic_write(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(_plain(tensors), {"format": "pt"}))
    write_text(folder / CONFIG, text + "\n")


def write_file(file: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write a shared generator as one file, its description in the metadata; see ``write_folder``."""
    metadata = {"format": "pt", _METADATA: json.dumps(_encode(description))}
    with atomic_write(file) as temporary:
        temporary.write_bytes(save(_plain(tensors), metadata))


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights and the description of a shared generator; no code in them is run.

    Args:
        file: A file of ``write_file``, or the ``model.safetensors`` of a folder.

    Raises:
        OSError: A file cannot be read.
        ValueError: The file is damaged, or is no shared generator of this package.
    """
    with file.open("rb"):  # or the system says why not
        pass
    try:
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_METADATA)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file}: not readable as safetensors; it is damaged, or something else") from error
    return tensors, _description(file, text)


def _description(file: Path, text: str | None) -> dict[str, Any]:
    beside = file.with_name(CONFIG)
    if text is None and not beside.is_file():
        raise ValueError(f"{file}: holds weights alone; their {CONFIG} must stand beside them")
    if text is None and beside.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{beside}: is larger than a config can be")
    try:
        found = _decode(json.loads(beside.read_text(encoding="utf-8") if text is None else text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{beside if text is None else file}: its config is not readable as JSON") from error
    kinds = {"config": dict, "state": dict, "format": int}
    if not isinstance(found, dict) or any(not isinstance(found.get(key), kind) for key, kind in kinds.items()):
        raise ValueError(f"{beside if text is None else file}: not the config of a generator of {LIBRARY}")
    return found


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU, none of which shares memory with another."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _encode(value: Any) -> Any:
    if isinstance(value, Mapping):
        pairs = [(key, _encode(one)) for key, one in value.items()]
        return (
            dict(pairs) if all(isinstance(key, str) for key, _ in pairs) else {_ITEMS: [list(pair) for pair in pairs]}
        )
    if isinstance(value, list | tuple):
        return [_encode(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):  # which JSON does not have either
        return {_ITEMS: str(value)}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get(_ITEMS), str):
        return float(value[_ITEMS])
    if isinstance(value, dict):
        pairs = value[_ITEMS] if isinstance(value.get(_ITEMS), list) else value.items()
        return {key: _decode(one) for key, one in pairs}
    return [_decode(one) for one in value] if isinstance(value, list) else value
