"""A run: what a config describes, built, trained and summed up."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import WandbLogger
from omegaconf import DictConfig, OmegaConf

from lightning_gans import checkpoint, config
from lightning_gans.callbacks.checkpoint import Checkpoint
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.samples import SampleGrid
from lightning_gans.data.base import ImageData
from lightning_gans.models.base import AdversarialModule
from lightning_gans.strategy import AlternatingDDP

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tips and what the summary says anyway

# What Lightning warns of and this design intends: an averaged generator in evaluation mode, sets held in memory.
_INTENDED = (r"Found \d+ module\(s\) in eval mode", r".*does not have many workers", r".*isinstance\(treespec")


@dataclass
class Run:
    """Everything that a training needs.

    Attributes:
        data: The images.
        model: The family.
        trainer: Lightning's trainer, with callbacks and loggers.
        folder: Where everything is written.
        seconds: Time spent in ``fit``.
    """

    data: ImageData
    model: AdversarialModule
    trainer: Trainer
    folder: Path
    seconds: float = field(default=0.0)

    def fit(self, resume: str | None = None) -> None:
        """Train, from the checkpoint ``resume`` on if given.

        Raises:
            ValueError: The checkpoint does not fit the config.
        """
        path = None
        if resume is not None:
            path = checkpoint.find(resume)
            _refuse_other_shapes(self.model, checkpoint.read(path), path)
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                for message in _INTENDED:
                    warnings.filterwarnings("ignore", message)
                self.trainer.fit(self.model, datamodule=self.data, ckpt_path=path, weights_only=True)
        finally:
            self.seconds = time.perf_counter() - started
            if any(isinstance(logger, WandbLogger) for logger in self.trainer.loggers):
                import wandb

                wandb.finish()

    @property
    def interrupted_by(self) -> int | None:
        """The signal that ended the training early."""
        return getattr(self.trainer.checkpoint_callback, "interrupted_by", None)

    def summary(self) -> str:
        """The table that a training ends with."""
        callbacks = {type(callback): callback for callback in self.trainer.callbacks}  # type: ignore[attr-defined]
        grids, evaluation = callbacks.get(SampleGrid), callbacks.get(Evaluation)
        rows = [
            ("generator updates", f"{self.model.iteration:,}"),
            ("real images shown", f"{self.model.images_seen:,}"),
            ("time", f"{self.seconds:.1f} s, scores and pictures included"),
        ]
        throughput = getattr(callbacks.get(_Clock), "images_per_second", None)
        if throughput:
            rows.append(("images/s", f"{throughput:.0f} in training steps"))
        card = getattr(evaluation, "card", None)
        if card:
            rows += [(key, f"{value:.4g}") for key, value in card["scores"].items()]
            rows.append(("scored on", f"{card['n']:,} samples, {card['n_real']:,} real images"))
        folder = self.folder / checkpoint.FOLDER
        rows += [(name, str(folder / name)) for name in (checkpoint.LAST, checkpoint.BEST) if (folder / name).is_file()]
        if getattr(grids, "newest", None):
            rows.append(("sample grid", str(grids.newest)))  # type: ignore[union-attr]
        rows.append(("config", str(self.folder / "config.yaml")))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


class _Clock(Callback):
    """Times training steps alone, for the summary."""

    def __init__(self) -> None:
        self._seconds, self._images, self._since = 0.0, 0, 0.0

    @property
    def images_per_second(self) -> float | None:
        return self._images / self._seconds if self._seconds else None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._seconds += time.perf_counter() - self._since
        self._images += pl_module.plan(pl_module.iteration - 1).images


def build(cfg: DictConfig, folder: str | os.PathLike[str] = "outputs/notebook") -> Run:
    """Check a composed config and build what it describes; no data is touched.

    Args:
        cfg: From ``compose`` or the command line.
        folder: Where the run writes.

    Raises:
        ValueError: A mistake in the config, by key.
    """
    config.check(cfg)
    if cfg.seed < 0 or cfg.seed >= 2**32:
        raise ValueError(f"seed={cfg.seed}: must be from 0 to 2^32 - 1")
    seed_everything(cfg.seed, workers=True, verbose=False)
    data: ImageData = _instantiate(cfg.data)
    model: AdversarialModule = _instantiate(cfg.model)
    if data.kind not in model.accepts:
        raise ValueError(
            f"data={type(data).__name__.lower()} is of kind {data.kind}; {type(model).__name__} takes "
            f"{', '.join(model.accepts)}"
        )
    plain = {"resolved": OmegaConf.to_container(cfg, resolve=True), "source": OmegaConf.to_container(cfg)}
    model.config = plain
    trainer = _trainer(cfg, model, Path(folder))
    return Run(data, model, trainer, Path(folder))


def _instantiate(node: Any, **extra: Any) -> Any:
    return hydra.utils.instantiate(node, _convert_="all", **extra)


def _trainer(cfg: DictConfig, model: AdversarialModule, folder: Path) -> Trainer:
    callbacks = [_instantiate(node) for node in (cfg.callbacks or {}).values() if node is not None]
    callbacks.sort(key=lambda callback: isinstance(callback, Checkpoint))  # after the scores of the same step
    loggers = [_instantiate(node) for node in (cfg.logger or {}).values() if node is not None]
    options: dict[str, Any] = {}
    world = _world_size(cfg.trainer)
    if model.batch_size % (world * model.accumulate):
        raise ValueError(
            f"model.batch_size={model.batch_size}: must divide by {world} processes x model.accumulate="
            f"{model.accumulate}"
        )
    if cfg.trainer.strategy == "auto" and world > 1:
        _refuse_multirun(world)
        options["strategy"] = AlternatingDDP()
    if cfg.max_kimg is not None:
        options["max_steps"] = _steps_for(model, cfg.max_kimg * 1000)
    if not cfg.trainer.enable_progress_bar:
        callbacks = [callback for callback in callbacks if type(callback).__name__ != "Progress"]
    return _instantiate(  # type: ignore[no-any-return]
        cfg.trainer,
        callbacks=[_Clock(), *callbacks],
        logger=[logger(save_dir=str(folder)) for logger in loggers] or False,
        default_root_dir=str(folder),
        plugins=[checkpoint.AtomicCheckpointIO()],
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        use_distributed_sampler=False,
        max_epochs=-1,
        num_sanity_val_steps=0,
        **options,
    )


def _world_size(trainer: DictConfig) -> int:
    """How many processes the trainer's options ask for."""
    devices = trainer.devices
    if isinstance(devices, str) and "," in devices:
        devices = devices.split(",")
    if OmegaConf.is_list(devices) or isinstance(devices, list):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = max(1, torch.cuda.device_count()) if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    else:
        count = int(devices)
    return count * int(trainer.num_nodes)


def _refuse_multirun(world: int) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN and "WORLD_SIZE" not in os.environ:
        raise ValueError(
            f"trainer.devices: a multirun cannot start {world} processes a job, since every process would run the "
            "whole sweep; use trainer.devices=1, or a launcher that gives each job its own processes (submitit, "
            "or torchrun for one job at a time)"
        )


def _steps_for(model: AdversarialModule, images: float) -> int:
    """The generator updates that show at least so many real images."""
    step, seen = 0, 0
    while seen < images:
        seen += model.plan(step).images
        step += 1
    return step


def _refuse_other_shapes(model: AdversarialModule, content: dict[str, Any], path: Path) -> None:
    theirs = content["state_dict"]
    mine = model.state_dict()
    for name in [*mine, *theirs]:
        here, there = mine.get(name), theirs.get(name)
        if name in mine and name in theirs and getattr(here, "shape", None) == getattr(there, "shape", None):
            continue
        sizes = [tuple(t.shape) if t is not None else "absent" for t in (there, here)]
        raise ValueError(
            f"resume={path}: model.{name} is {sizes[0]} in the checkpoint and {sizes[1]} here; a resumed run keeps "
            "its networks: leave out what changes model or data"
        )


def pick_device(name: str) -> torch.device:
    """The device that ``device=NAME`` means; ``auto`` is a GPU if there is one.

    Raises:
        ValueError: No such device here.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={name}: not available here ({str(error).splitlines()[0]})") from error
    return device


def announce(run: Run, cfg: DictConfig) -> None:
    """Write the resolved config into the run's folder and print it; process 0 only."""
    if not run.trainer.is_global_zero:
        return
    text = OmegaConf.to_yaml(cfg, resolve=True)
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "config.yaml").write_text(text)
    print(text, file=sys.stderr)
