"""Checkpoints: what they hold, how they are written, and what is made of them.

A checkpoint is Lightning's, of tensors, numbers, strings and plain containers only, with the resolved config under
``config``. It loads with ``weights_only=True``, and what it names is built only if that is a known kind of object from
this package, ``torch.nn``, ``torch.optim`` or a package that the caller trusts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from omegaconf import OmegaConf
from torch import Tensor, nn

from lightning_gans import older
from lightning_gans.atomic import written_whole
from lightning_gans.growth import Growth
from lightning_gans.losses import Objective
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.ema import EMA
from lightning_gans.penalties import Penalty
from lightning_gans.schedules import CosineValue

FOLDER = "checkpoints"
LAST, BEST, GOOD = "last.ckpt", "best.ckpt", "good.ckpt"
_HOMES = ("lightning_gans", "torch.nn", "torch.optim")
_KINDS: tuple[type, ...] = (nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
_KINDS += (LightningDataModule, Objective, Penalty, EMA, Growth, CosineValue)


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


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint's content safely, onto the CPU; options that are younger than it get their older values.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is damaged, not ours, or holds more than data.
    """
    file = find(path)
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise ValueError(f"{file}: not a readable checkpoint; it is damaged, or holds more than data") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{file}: not a checkpoint of lightning_gans")
    if not isinstance(content.get("config"), dict) or "resolved" not in content["config"]:
        raise ValueError(f"{file}: holds no config, since its module was trained without one (module.config)")
    older.complete(content["config"])
    return content


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
        ValueError: It is damaged, or names something that is not trusted.
    """
    return rebuild(read(path), trust=trust).to(device)


def rebuild(content: dict[str, Any], *, trust: Sequence[str] = ()) -> GenerativeModule:
    """The module that a checkpoint's content describes, with its weights."""
    try:
        module: GenerativeModule = instantiate(content["config"]["resolved"]["model"], trust=trust)
    except hydra.errors.InstantiationException as error:
        if isinstance(error.__cause__, TypeError):
            raise ValueError(f"the checkpoint is of another version of this package: {error.__cause__}") from error
        raise
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        told = misfit(module.state_dict(), content["state_dict"]) or " ".join(str(error).split())[:500]
        raise ValueError(f"the checkpoint's weights do not fit its config: {told}") from error
    module.config = content["config"]
    return module.eval()


def misfit(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say in one line how the tensors of a checkpoint differ from a module's; "" if names and shapes are the same.

    Args:
        mine: State of the module.
        theirs: State in the checkpoint.
    """
    sizes = [{k: tuple(v.shape) for k, v in state.items() if isinstance(v, Tensor)} for state in (theirs, mine)]
    names = [name for name in dict.fromkeys([*theirs, *mine]) if sizes[0].get(name) != sizes[1].get(name)]
    shown = [f"{name} is {sizes[0].get(name, 'absent')} and should be {sizes[1].get(name, 'absent')}" for name in names]
    more = f"; and {len(shown) - 3} more of {len(mine)}" if len(shown) > 3 else ""
    return "; ".join(shown[:3]) + more


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
    node = dict(content["config"]["resolved"]["data"])
    if root is not None:
        if "root" not in node:
            raise ValueError(f"data.root={root}: {node['_target_']} reads no folder")
        node["root"] = root
    data = instantiate(node, trust=trust)
    return data.held_out() if held_out else data


def extractor_of(content: dict[str, Any], data: Any, *, trust: Sequence[str] = ()) -> Any:
    """What makes the extractor that a checkpoint was scored with in training: its own, or else that of its data.

    Raises:
        ValueError: Neither names one.
    """
    trained_with = content["config"]["resolved"].get("extractor")
    if not trained_with and data.extractor is None:
        raise ValueError(f"extractor: missing; {type(data).__name__} names none of its own")
    return instantiate(trained_with, trust=trust) if trained_with else data.extractor


def points_of(module: GenerativeModule, *, trust: Sequence[str] = ()) -> Tensor | None:
    """Up to a thousand real points (N, 2) of the toy set that a loaded module was trained on; ``None`` of images."""
    node = (module.config or {}).get("resolved", {}).get("data", {})
    if "image_size" not in node or node["image_size"] is not None:
        return None
    points = instantiate(node, trust=trust).train_images
    return points.fetch(torch.arange(min(1000, len(points))))["image"]  # type: ignore[no-any-return]


def instantiate(node: dict[str, Any], *, trust: Sequence[str] = ()) -> Any:
    """Build what a checkpoint's config names, if all of it is trusted.

    Raises:
        ValueError: A name outside the trusted packages, or one that resolves to something else there.
    """
    _refuse_interpolations(node)
    checked = OmegaConf.to_container(OmegaConf.create(node))  # what is checked is what is built: lists for tuples
    refuse_untrusted(checked, trust=trust)
    return hydra.utils.instantiate(checked, _convert_="all")


def _refuse_interpolations(node: Any) -> None:
    if isinstance(node, str) and "${" in node:
        raise ValueError(f"the checkpoint's config is not resolved: {node}")
    if isinstance(node, list | tuple | dict):
        for value in node.values() if isinstance(node, dict) else node:
            _refuse_interpolations(value)


def refuse_untrusted(node: Any, *, trust: Sequence[str] = (), whole_run: bool = False) -> None:
    """Refuse a resolved config that names anything but known kinds of objects from known packages.

    Args:
        node: Plain containers without interpolations.
        trust: Packages that may be named beside ours.
        whole_run: Allow Lightning's trainer, callbacks and loggers too.

    Raises:
        ValueError: The first name that is not trusted.
    """
    if isinstance(node, list):
        for value in node:
            refuse_untrusted(value, trust=trust, whole_run=whole_run)
    if isinstance(node, dict):
        if "_target_" in node:
            _refuse_target(str(node["_target_"]), tuple(trust), whole_run)
        for value in node.values():
            refuse_untrusted(value, trust=trust, whole_run=whole_run)


def _refuse_target(target: str, trust: tuple[str, ...], whole_run: bool) -> None:
    homes = _HOMES + (("lightning.pytorch",) if whole_run else ()) + trust
    kinds = _KINDS + ((Trainer, Callback, Logger) if whole_run else ())
    refusal = f"the checkpoint names {target}, which is not trusted; if it is yours, add its package to trust=[...]"
    if not _inside(target, homes):
        raise ValueError(refusal)
    resolved = hydra.utils.get_object(target)
    if not isinstance(resolved, type) or not _inside(resolved.__module__, homes):
        raise ValueError(refusal)
    if not issubclass(resolved, kinds) and not _inside(resolved.__module__, trust):
        raise ValueError(refusal)


def _inside(name: str, homes: tuple[str, ...]) -> bool:
    return any(name == home or name.startswith(home + ".") for home in homes)


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
        """Write ``checkpoint`` to ``path``."""
        self.failure = None
        try:
            with written_whole(Path(path), flushed=True) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            self.failure = error
            if not self.deferring:
                raise
