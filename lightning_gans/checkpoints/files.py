"""Find, read and write checkpoint files.

A checkpoint is Lightning's, of tensors, numbers, strings and plain containers only, with the resolved config under
``config``. It loads with ``weights_only=True``. Shared generators (``sharing.pretrained``) are read as checkpoints that
hold nothing else: by their path, their name in this package, or their place on the hub.
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
from lightning_gans.sharing import hub, pretrained

FOLDER = "checkpoints"
LAST, BEST, GOOD = "last.ckpt", "best.ckpt", "good.ckpt"
PARTIAL = "partial"  # key of a content that holds a generator alone


def find(path: str | os.PathLike[str]) -> Path:
    """Return the path of a checkpoint's file. A path that exists wins over a name.

    Args:
        path: A file, a run's folder for its newest checkpoint, the folder of a shared generator, the name of one that
            this package brings, or ``hf-hub:ORG/NAME[@REVISION]``, which is fetched unless it is in the hub's cache.

    Raises:
        FileNotFoundError: There is no checkpoint; with the names that there are.
        OSError: The hub's cannot be fetched.
    """
    if hub.is_place(str(path)):
        return hub.fetch(str(path))
    given = Path(path).expanduser()
    if given.is_file():
        return given
    for folder in (given / FOLDER, given):
        if (folder / LAST).is_file():
            return folder / LAST
        found = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)
        if found:
            return found[-1]
    if pretrained.is_shared(given):
        return given / pretrained.WEIGHTS
    names = pretrained.shipped()
    if str(path) in names and not given.exists():
        return pretrained.SHIPPED / str(path) / pretrained.WEIGHTS
    beside = "that folder hides the generator of this name that the package brings" if str(path) in names else ""
    rule = beside or f"give a .ckpt file, the folder of a run, {hub.PREFIX}ORG/NAME or one of {', '.join(names)}"
    raise FileNotFoundError(f"{path}: no checkpoint there; {rule}")


def is_ours(path: str | os.PathLike[str], file: Path) -> bool:
    """Return whether a checkpoint lies where nothing is to be written: in this package, or in the hub's cache.

    Args:
        path: As given to ``find``.
        file: What it returned.
    """
    return hub.is_place(str(path)) or pretrained.SHIPPED in file.resolve().parents


def last_good(folder: Path, resumed: str | os.PathLike[str] | None = None) -> str:
    """Name the newest good checkpoint for a message.

    Args:
        folder: The run's ``checkpoints``.
        resumed: The checkpoint that the run was resumed from.

    Returns:
        A clause that names what ``good_checkpoint`` finds.
    """
    path = good_checkpoint(folder, resumed)
    return "there is no earlier checkpoint" if path is None else f"the last good checkpoint is {path}"


def good_checkpoint(folder: Path, resumed: str | os.PathLike[str] | None = None) -> Path | None:
    """Find the newest good checkpoint: ``good.ckpt`` where later ones are in doubt, ``last.ckpt`` or ``resumed``.

    Args:
        folder: The run's ``checkpoints``.
        resumed: The checkpoint that the run was resumed from.
    """
    places = (folder / GOOD, folder / LAST, *([Path(resumed)] if resumed else []))
    return next((path for path in places if path.is_file()), None)


def read(path: str | os.PathLike[str], *, to_resume: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running code from it; options added since get their older values.

    Args:
        path: See ``find``.
        to_resume: Also require what resuming a training needs: optimiser states and counters.

    Raises:
        FileNotFoundError: There is no checkpoint.
        OSError: The file cannot be read.
        ValueError: The file is damaged, not of this package, of a later format, or holds more than data.
    """
    file = find(path)
    if file.suffix == pretrained.ENDING:
        return _upgraded(_read_shared(file, to_resume=to_resume))
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
    return _upgraded(content)


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    content = upgrade(content)
    if content.get(integrity.FORMAT, 0) < 1:
        older.add_old_values(content["config"])
    return content


def _read_shared(file: Path, *, to_resume: bool) -> dict[str, Any]:
    """Read a shared generator as the content of a checkpoint that has no other networks (``PARTIAL``).

    Its weights stand under ``generator`` and, if the family averages, under ``generator_ema`` as well.
    """
    if to_resume:
        raise ValueError(f"{file}: holds a generator and no training; it cannot be resumed")
    tensors, description = pretrained.read(file)
    with integrity.malformed(file):
        integrity.check_format(description["format"], file)
        config = {"resolved": roles.plain(description["config"])}
        state: dict[str, Any] = {**tensors, "_extra_state": roles.plain(description["state"], "state")}
        if config["resolved"]["model"].get("ema") is not None:
            of_generator = {name: value for name, value in tensors.items() if name.startswith("generator.")}
            state |= {name.replace("generator", "generator_ema", 1): value for name, value in of_generator.items()}
        content = {"state_dict": state, "config": config, integrity.FORMAT: description["format"], PARTIAL: True}
        content["card"] = roles.plain(description.get("card"), "card")
        integrity.check_sections(content, file, to_resume=False)
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
