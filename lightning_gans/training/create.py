"""Make a family with its paper's networks, losses and optimisers, for a Trainer of the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_gans.checkpoints import roles
from lightning_gans.config import validation
from lightning_gans.config.command import compose
from lightning_gans.config.errors import MISSING, ConfigError, unknown
from lightning_gans.config.explain import as_value_error
from lightning_gans.config.families import parts_of, target_of
from lightning_gans.config.signatures import read_attribute
from lightning_gans.images.size import Size
from lightning_gans.models.base import GenerativeModule
from lightning_gans.tables.codec import sizes_of
from lightning_gans.training.checks import check_optimizers
from lightning_gans.training.trainer import instantiate


def create_model(
    name: str,
    *,
    image_size: Size | None = None,
    columns: str | None = None,
    channels: int = 3,
    num_classes: int | None = None,
    source_channels: int | None = None,
    factor: int = 4,
    num_labels: int | None = None,
    **overrides: Any,
) -> GenerativeModule:
    """Make a family as its config has it, which follows the paper; nothing is tuned to a data set.

    The module knows its config, so that ``lightning_gans.load`` and ``load_from_checkpoint`` rebuild it from a
    checkpoint alone. Weights are drawn from torch's default generator: ``lightning.seed_everything(0)`` before it.

    Args:
        name: One of ``lightning_gans.list_models()``.
        image_size: Of the images, a side or [height, width]; ``None`` for points in the plane and rows of a table.
        columns: Of a table, ``fit_table(frame).text``; they say how many channels a row has.
        channels: Of the images (of a translation: its outputs), or coordinates of a point.
        num_classes: Number of classes, of a conditional family.
        source_channels: Channels of what is translated; ``None``: ``num_labels``, or else ``channels``.
        factor: Side of an image divided by that of its source, of super-resolution.
        num_labels: Sources are one-hot label maps of so many labels, of pix2pixHD.
        **overrides: Options of the family as on the command line, without ``model.``: a choice of a part
            (``penalty="r1"``, ``network="resnet"``), a value (``n_critic=2``, ``penalty=None``), or a mapping that is
            merged (``g_optimizer={"lr": 1e-4}``). Dotted names work too: ``**{"g_optimizer.lr": 1e-4}``.

    Returns:
        The module, on the CPU and in training mode.

    Raises:
        ValueError: An unknown family, option or choice, or a value that is not allowed, in one line.
    """
    target = target_of(name)
    if "label" in (read_attribute(target, "conditions") or ()) and num_classes is None:
        raise ConfigError("num_classes", MISSING, f"missing; {name} is conditional: say num_classes=...")
    data: dict[str, Any] = {
        "image_size": image_size,
        "channels": channels,
        "num_classes": num_classes,
        "factor": factor,
    }
    data |= {"source_channels": source_channels or num_labels or channels, "num_labels": num_labels}
    if columns is not None:
        data |= {"image_size": None, "columns": columns, **sizes_of(columns)}
    elif read_attribute(target, "data_kinds") == ("table",):
        raise ConfigError("columns", MISSING, f"missing; {name} makes rows: say columns=fit_table(frame).text")
    parts = parts_of(name)
    choices = {key: value for key, value in overrides.items() if key in parts and isinstance(value, str)}
    for key, choice in choices.items():
        if choice not in parts[key]:
            raise unknown(key, choice, parts[key], value=choice)
    try:
        with as_value_error():
            typed = [f"model/{key}={choice}" for key, choice in choices.items()]
            model = compose(f"model={name}", "tuned=none", *typed).model
            cfg = OmegaConf.create({"data": data, "seed": 0, "model": OmegaConf.to_container(model)})
            for key, value in overrides.items():
                if key not in choices:
                    if "." not in key and key not in model:
                        raise unknown(key, key, {*model, *parts})
                    _override(cfg.model, key, value)
            if OmegaConf.select(cfg, "model.batch_size") is None:  # of translations: one
                cfg.model.batch_size = cfg.model.accumulate
            node = roles.plain(OmegaConf.to_container(cfg, resolve=True)["model"], "model")  # type: ignore
            validation.check_types(OmegaConf.create({"model": node}))
            module: GenerativeModule = instantiate(node, "model", GenerativeModule)
            check_optimizers(module)
    except ConfigError as error:
        raise ConfigError(error.key.removeprefix("model."), error.value, error.rule) from None
    module.config = {"resolved": {"model": node}, "source": {"model": node}}
    return module


def _override(model: DictConfig, key: str, value: Any) -> None:
    """Set one option of a model's config, dotted or not; mappings are merged.

    Raises:
        ConfigError: The value is an object, which no checkpoint can hold.
    """
    try:
        plain = roles.plain(value)
    except ValueError:
        rule = "is an object; say a choice, numbers or a mapping, or give the object to the class in models"
        raise ConfigError(key, type(value).__name__, rule) from None
    if isinstance(plain, Mapping) and OmegaConf.is_dict(OmegaConf.select(model, key)):
        for name, one in plain.items():
            _override(model, f"{key}.{name}", one)
        return
    OmegaConf.update(model, key, plain, force_add=True)
