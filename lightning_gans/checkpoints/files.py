"""Find, read and write checkpoint files.

A checkpoint is Lightning's, of tensors, numbers, strings and plain containers only, with the resolved config under
``config``. It loads with ``weights_only=True``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightning_gans.checkpoints import integrity, older, roles
from lightning_gans.checkpoints.moved import upgrade
from lightning_gans.runtime.atomic import atomic_write

FOLDER = "checkpoints"
LAST, BEST, GOOD = "last.ckpt", "best.ckpt", "good.ckpt"


def find(path: str | os.PathLike[str]) -> Path:
    """Return the path of a checkpoint: the given file, or the newest in a run's folder.

    Raises:
        FileNotFoundError: The path is no file, and the folder has no checkpoint.
    """
    given = Path(path).expanduser()
    if given.is_file():
        return given
    for folder in (given / FOLDER, given):
        if (folder / LAST).is_file():
            return folder / LAST
        found = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)
        if found:
            return found[-1]
    raise FileNotFoundError(f"{path}: no checkpoint there; give a .ckpt file or the folder of a run")


def last_good(folder: Path, resumed: str | os.PathLike[str] | None = None) -> str:
    """Name the newest good checkpoint for a message.

    Args:
        folder: The run's ``checkpoints``.
        resumed: The checkpoint that the run was resumed from.

    Returns:
        A clause that names ``good.ckpt`` (kept while later ones are in doubt), ``last.ckpt`` or ``resumed``.
    """
    for path in (folder / GOOD, folder / LAST, *([Path(resumed)] if resumed else [])):
        if path.is_file():
            return f"the last good checkpoint is {path}"
    return "there is no earlier checkpoint"


def read(path: str | os.PathLike[str], *, to_resume: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running code from it; options added since get their older values.

    Args:
        path: A checkpoint, or a run's folder for its newest one.
        to_resume: Also require what resuming a training needs: optimiser states and counters.

    Raises:
        FileNotFoundError: There is no checkpoint.
        OSError: The file cannot be read.
        ValueError: The file is damaged, not of this package, of a later format, or holds more than data.
    """
    file = find(path)
    try:
        content = integrity.read_whole(file)
    except integrity.DamagedError as error:
        others = sorted(file.parent.glob("*.ckpt"), key=lambda other: (other.stat().st_mtime, other.name), reverse=True)
        whole = next((other for other in others if not other.samefile(file) and integrity.is_whole(other)), None)
        hint = f"; the newest whole one beside it is {whole}" if whole else ""
        raise ValueError(f"{error}{hint}") from error
    with integrity.malformed(file):
        integrity.check_sections(content, file, to_resume=to_resume)
        content["config"] = roles.plain(content["config"], is_resolved=False)
    content = upgrade(content)
    if content.get(integrity.FORMAT, 0) < 1:
        older.add_old_values(content["config"])
    return content


def section(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of a checkpoint's resolved config.

    Raises:
        ValueError: The section is missing or names no class.
    """
    node = content["config"]["resolved"].get(name)
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise ValueError(f"the checkpoint is malformed: its config says nothing of {name}")
    return node


class AtomicCheckpointIO(TorchCheckpointIO):
    """Save checkpoints atomically: a killed or failed save leaves the old file whole.

    Attributes:
        deferring: Store a failure in ``failure`` instead of raising it: only rank 0 writes, and the others would wait
            for it.
        failure: Error of the last save, if it failed.
    """

    deferring = False
    failure: OSError | RuntimeError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint with its format version and checksum."""
        self.failure = None
        checkpoint = integrity.with_checksum(checkpoint)
        try:
            with atomic_write(Path(path), flushed=True) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            self.failure = error
            if not self.deferring:
                raise
