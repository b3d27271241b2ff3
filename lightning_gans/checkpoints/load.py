"""Rebuild modules and data sets from a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor

from lightning_gans.checkpoints import integrity, roles
from lightning_gans.checkpoints.files import PARTIAL, find, read, section
from lightning_gans.config import local
from lightning_gans.extractors.none import NoExtractor
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.sharing import is_shared
from lightning_gans.sharing.description import find_card


def load(
    path: str | os.PathLike[str],
    *,
    trust: Sequence[str] = (),
    device: str | torch.device = "cpu",
) -> GenerativeModule:
    """Rebuild a trained family from its checkpoint alone.

    Args:
        path: A checkpoint, a run's folder for its newest one, the folder of a shared generator, the name of one that
            this package brings (``dcgan_digits``), or ``hf-hub:ORG/NAME[@REVISION]``.
        trust: Packages of your own whose modules the checkpoint may name.
        device: Device of the module.

    Returns:
        The module in evaluation mode, its config under ``module.config``.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The file is damaged, its weights are not finite, or it names something that is not trusted.
    """
    file = find(path)
    content = read(file)
    module = rebuild(content, trust=trust).to(device)
    module.score_card = module.score_card or find_card(file, module.iteration)
    module.open_data = partial(_examples_of, {"resolved": {"data": content["config"]["resolved"].get("data")}}, trust)
    return module


def _examples_of(config: dict[str, Any], trust: Sequence[str]) -> Any:
    """Open the data of a config without downloading anything."""
    node = config["resolved"]["data"]
    offline = {**node, "download": False} if isinstance(node, dict) and "download" in node else node
    return real_data({"config": {"resolved": {"data": offline}}}, trust=trust)


def rebuild(content: dict[str, Any], *, trust: Sequence[str] = ()) -> GenerativeModule:
    """Build the module that a checkpoint describes and load its weights.

    Raises:
        ValueError: The config names something that is not trusted, or weights are not finite or do not fit.
    """
    integrity.refuse_not_finite(content["state_dict"])
    module: GenerativeModule = roles.build(section(content, "model"), "model", trust)
    state = content["state_dict"]
    if content.get(PARTIAL):  # other networks stay as they were made
        state = {**{key: value for key, value in module.state_dict().items() if not is_shared(key)}, **state}
    try:
        with integrity.malformed("the checkpoint"):
            module.load_state_dict(state)
            if not all(isinstance(count, int) and count >= 0 for count in (module.iteration, module.images_seen)):
                raise TypeError("its counters are no counts")
    except ValueError as error:
        differing = integrity.describe_difference(module.state_dict(), state)
        if not differing:
            raise
        raise ValueError(f"the checkpoint's weights do not fit its config: {differing}") from error
    module.config, module.score_card = content["config"], content.get("card")
    return module.eval()


def check_training(content: dict[str, Any], module: GenerativeModule) -> None:
    """Check that a checkpoint has a state for every optimiser and schedule of a module.

    Raises:
        TypeError, ValueError: A state is missing or malformed.
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


def initial_checkpoint(module: GenerativeModule) -> dict[str, Any]:
    """Return a checkpoint of a module as saved before its first step; tensors are shared, not copied."""
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
    """Build the image set that a checkpoint was trained on.

    Args:
        content: The checkpoint's content.
        root: Folder of the images, if it has moved since training.
        held_out: Return the validation images, which training never saw, instead of the training images.
        trust: Packages of your own that the checkpoint may name.

    Raises:
        ValueError: ``root`` is given, but the set reads no folder.
    """
    node = dict(section(content, "data"))
    if root is not None:
        dataset = node.get("dataset")
        if isinstance(dataset, dict) and "root" in dataset:
            node["dataset"] = {**dataset, "root": root}
        elif "root" not in node:
            raise ValueError(f"data.root={root}: {roles.short_text(node['_target_'])} reads no folder")
        else:
            node["root"] = root
    node = local.localised({"data": node}, ["data.root"] if root else [])[0]["data"]
    local.places_read({"data": node}, ["data.root"] if root else [])  # no address
    data = roles.build(node, "data", trust)
    return data.val() if held_out else data


def extractor_of(content: dict[str, Any], data: Any, *, trust: Sequence[str] = ()) -> Any:
    """Return the factory of the extractor that scored a training: the config's, or else its data's default.

    Raises:
        ValueError: Neither names an extractor.
    """
    trained_with = content["config"]["resolved"].get("extractor")
    if isinstance(trained_with, dict) and trained_with.get("_target_") == f"{NoExtractor.__module__}.NoExtractor":
        trained_with = None
    if not trained_with and data.extractor is None:
        raise ValueError(f"extractor: missing; {type(data).__name__} names none of its own")
    if not trained_with:
        return data.extractor
    local.places_read({"extractor": trained_with})  # no address
    return roles.build(trained_with, "extractor", trust)


def points_of(module: GenerativeModule, *, trust: Sequence[str] = ()) -> Tensor | None:
    """Return up to 1,000 real points (N, 2) of the toy set that a module was trained on; ``None`` for images."""
    node = (module.config or {}).get("resolved", {}).get("data")
    if not isinstance(node, dict) or "image_size" not in node or node["image_size"] is not None:
        return None
    data = roles.build(node, "data", trust)
    if not data.points:
        return None
    points = data.train_images
    return points.fetch(torch.arange(min(1000, len(points))))["image"]  # type: ignore[no-any-return]
