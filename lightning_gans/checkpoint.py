"""Checkpoints: what they hold, how they are written, and what is made of them.

A checkpoint is Lightning's, of tensors, numbers, strings and plain containers only, with the resolved config under
``config``, the number of its format and a checksum. It loads with ``weights_only=True``; what its config may name is
ruled by ``lightning_gans.trust``, what it does not decide by ``lightning_gans.local``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from lightning_gans import integrity, local, older, roles
from lightning_gans.atomic import written_whole
from lightning_gans.models.base import GenerativeModule

FOLDER = "checkpoints"
LAST, BEST, GOOD = "last.ckpt", "best.ckpt", "good.ckpt"


def find(path: str | os.PathLike[str]) -> Path:
    """The checkpoint that a path means: a file, or the newest in a run's folder.

    Raises:
        FileNotFoundError: Neither.
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
        resumed: The checkpoint that the run went on from.

    Returns:
        A clause with ``good.ckpt``, which is there if later ones are in doubt, ``last.ckpt`` or ``resumed``.
    """
    for path in (folder / GOOD, folder / LAST, *([Path(resumed)] if resumed else [])):
        if path.is_file():
            return f"the last good checkpoint is {path}"
    return "there is no earlier checkpoint"


def read(path: str | os.PathLike[str], *, to_resume: bool = False) -> dict[str, Any]:
    """Read a checkpoint's content safely, onto the CPU; options that are younger than it get their older values.

    Args:
        path: A checkpoint, or a run's folder for its newest one.
        to_resume: Whether a training is to go on from it, which needs more than weights.

    Raises:
        FileNotFoundError: There is none.
        OSError: It may not be read.
        ValueError: The file is damaged, not ours, of a later version, or holds more than data.
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
    if content.get(integrity.FORMAT, 0) < 1:
        older.complete(content["config"])
    return content


def section(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of a checkpoint's resolved config.

    Raises:
        ValueError: It holds none, or names no class there.
    """
    node = content["config"]["resolved"].get(name)
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise ValueError(f"the checkpoint is malformed: its config says nothing of {name}")
    return node


def load(
    path: str | os.PathLike[str],
    *,
    trust: Sequence[str] = (),
    device: str | torch.device = "cpu",
) -> GenerativeModule:
    """Rebuild a trained family from its checkpoint alone.

    Args:
        path: A checkpoint, or a run's folder for its newest one.
        trust: Packages of your own whose modules the checkpoint may name.
        device: Where to put it.

    Returns:
        The module in evaluation mode, its config under ``module.config``.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is damaged, its weights are not finite, or it names something that is not trusted.
    """
    return rebuild(read(path), trust=trust).to(device)


def rebuild(content: dict[str, Any], *, trust: Sequence[str] = ()) -> GenerativeModule:
    """The module that a checkpoint's content describes, with its weights.

    Raises:
        ValueError: It names something that is not trusted, or its weights are not finite or do not fit.
    """
    integrity.refuse_not_finite(content["state_dict"])
    module: GenerativeModule = roles.build(section(content, "model"), "model", trust)
    try:
        with integrity.malformed("the checkpoint"):
            module.load_state_dict(content["state_dict"])
            if not all(isinstance(count, int) and count >= 0 for count in (module.iteration, module.images_seen)):
                raise TypeError("its counters are no counts")
    except ValueError as error:
        differing = integrity.differing(module.state_dict(), content["state_dict"])
        if not differing:
            raise
        raise ValueError(f"the checkpoint's weights do not fit its config: {differing}") from error
    module.config = content["config"]
    return module.eval()


def check_training(content: dict[str, Any], module: GenerativeModule) -> None:
    """Check that a content has a state for every optimiser and schedule of a module.

    Raises:
        TypeError, ValueError: It has not.
    """
    for name in ("optimizer_states", "lr_schedulers"):
        states, players = content[name], len(module.optimizer_factories)
        if not all(isinstance(state, dict) for state in states):
            raise TypeError(f"{name}: no dicts")
        if len(states) != players:
            raise ValueError(f"the checkpoint holds {len(states)} {name} and the run has {players}")
    if not all(isinstance(state.get("last_epoch"), int) for state in content["lr_schedulers"]):
        raise TypeError("lr_schedulers: no last_epoch")
    if not all(isinstance(state, dict) for state in content["callbacks"].values()):
        raise TypeError("callbacks: no dicts")


def content_of(module: GenerativeModule) -> dict[str, Any]:
    """What a checkpoint of this module would hold, had it been saved before its first step; the tensors are shared."""
    optimizers, schedules = module.configure_optimizers()
    return {
        "state_dict": module.state_dict(),
        "config": module.config,
        "optimizer_states": [optimizer.state_dict() for optimizer in optimizers],
        "lr_schedulers": [schedule.state_dict() for schedule in schedules],
        "callbacks": {},
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning.__version__,
    }


def real_data(
    content: dict[str, Any], *, root: str | None = None, held_out: bool = False, trust: Sequence[str] = ()
) -> Any:
    """The image set that a checkpoint was trained on.

    Args:
        content: Of the checkpoint.
        root: Where the images lie, if not where they lay in training.
        held_out: Take the images that training never saw in the place of those that it saw.
        trust: Packages of your own that the checkpoint may name.

    Raises:
        ValueError: ``root`` is given and the set reads no folder.
    """
    node = dict(section(content, "data"))
    if root is not None:
        if "root" not in node:
            raise ValueError(f"data.root={root}: {roles.shown(node['_target_'])} reads no folder")
        node["root"] = root
    node = local.localised({"data": node}, ["data.root"] if root else [])[0]["data"]
    local.places_read({"data": node}, ["data.root"] if root else [])  # no address
    data = roles.build(node, "data", trust)
    return data.held_out() if held_out else data


def extractor_of(content: dict[str, Any], data: Any, *, trust: Sequence[str] = ()) -> Any:
    """What makes the extractor that a checkpoint was scored with in training: its own, or else that of its data.

    Raises:
        ValueError: Neither names one.
    """
    trained_with = content["config"]["resolved"].get("extractor")
    if not trained_with and data.extractor is None:
        raise ValueError(f"extractor: missing; {type(data).__name__} names none of its own")
    if not trained_with:
        return data.extractor
    local.places_read({"extractor": trained_with})  # no address
    return roles.build(trained_with, "extractor", trust)


def points_of(module: GenerativeModule, *, trust: Sequence[str] = ()) -> Tensor | None:
    """Up to a thousand real points (N, 2) of the toy set that a loaded module was trained on; ``None`` of images."""
    node = (module.config or {}).get("resolved", {}).get("data")
    if not isinstance(node, dict) or "image_size" not in node or node["image_size"] is not None:
        return None
    data = roles.build(node, "data", trust)
    if not data.points:
        return None
    points = data.train_images
    return points.fetch(torch.arange(min(1000, len(points))))["image"]  # type: ignore[no-any-return]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final place, flushes to disk and renames: a killed or failed save leaves the old file whole.

    Attributes:
        deferring: Keep a failure in ``failure`` and do not raise it: one process alone writes, and the others would
            wait for it.
        failure: Why the last save failed.
    """

    deferring = False
    failure: OSError | RuntimeError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``, with its format and checksum."""
        self.failure = None
        checkpoint = integrity.sealed(checkpoint)
        try:
            with written_whole(Path(path), flushed=True) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            self.failure = error
            if not self.deferring:
                raise
