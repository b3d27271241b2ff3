"""A run: what a config describes, built, trained and summed up."""

from __future__ import annotations

import copy
import functools
import logging
import os
import re
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import WandbLogger
from omegaconf import DictConfig, OmegaConf

from lightning_gans import checkpoint, config
from lightning_gans.callbacks.checkpoint import Checkpoint
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.samples import SampleGrid
from lightning_gans.callbacks.stability import StabilityGuard
from lightning_gans.data.base import ImageData
from lightning_gans.models.base import AdversarialModule
from lightning_gans.strategy import AlternatingDDP

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tips and what the summary says anyway
logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp_find_unused_parameters_true")

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
        cfg: The config as it was built, ``auto`` values decided.
        seconds: Time spent in ``fit``.
    """

    data: ImageData
    model: AdversarialModule
    trainer: Trainer
    folder: Path
    cfg: DictConfig
    seconds: float = field(default=0.0)
    _before: dict[str, Any] = field(default_factory=dict)

    def prepare(self, resume: str | None = None) -> Path | None:
        """Find the checkpoint to resume, and refuse one that does not fit, before anything is written.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It does not fit the config.
        """
        if resume is None:
            return None
        path = checkpoint.find(resume)
        content = checkpoint.read(path)
        if self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise ValueError("trainer.fast_dev_run=true: not with resume")
        _refuse_other_networks(self.model, content, path)
        if 0 <= self.trainer.max_steps <= content["global_step"]:
            print(
                f"nothing to do: {path} stands at generator update {content['global_step']} of "
                f"{self.trainer.max_steps}; for more say trainer.max_steps=...",
                file=sys.stderr,
            )
        self._before = content["config"]["resolved"]["model"]
        return path

    def fit(self, resume: str | None = None) -> None:
        """Train, from the checkpoint ``resume`` on if given.

        Raises:
            ValueError: The checkpoint does not fit the config.
        """
        path = self.prepare(resume)
        if path is not None:
            self.trainer.callbacks.append(_Typed(self._before))  # type: ignore[attr-defined]
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
        return getattr(Checkpoint.of(self.trainer), "interrupted_by", None)

    def summary(self) -> str:
        """The table that a training ends with."""
        callbacks = {type(callback): callback for callback in self.trainer.callbacks}  # type: ignore[attr-defined]
        grids, evaluation = callbacks.get(SampleGrid), callbacks.get(Evaluation)
        rows = [
            ("generator updates", f"{self.model.iteration:,}"),
            ("real images shown", f"{self.model.images_seen:,}"),
            ("precision", str(self.cfg.trainer.precision)),
            ("time", f"{self.seconds:.1f} s, scores and pictures included"),
        ]
        throughput = getattr(callbacks.get(_Clock), "images_per_second", None)
        if throughput:
            rows.append(("images/s", f"{throughput:.0f} in training"))
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
    """Training speed for the summary.

    The median over windows between two logs, so that neither scores and grids nor the queue of a GPU count.
    """

    def __init__(self) -> None:
        self._speeds: list[float] = []

    @property
    def images_per_second(self) -> float | None:
        return statistics.median(self._speeds) if self._speeds else None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._since, self._images, self._speeds = time.perf_counter(), pl_module.images_seen, []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        every = min(trainer.log_every_n_steps, max(1, trainer.max_steps // 4))  # type: ignore[attr-defined]
        if trainer.global_step % every == 0:
            now = time.perf_counter()
            self._speeds.append((pl_module.images_seen - self._images) / (now - self._since))
            self._since, self._images = now, pl_module.images_seen


class _Typed(Callback):
    """Lays optimiser options that differ from the checkpoint's config over the restored optimisers.

    A learning rate is changed by its factor, so that a schedule goes on where it stands.
    """

    def __init__(self, before: dict[str, Any]) -> None:
        self._before = before

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        now = pl_module.config["resolved"]["model"]
        for player, optimizer in pl_module.player_optimizers().items():
            old, new = self._before[f"{player}_optimizer"], now[f"{player}_optimizer"]
            for key in new.keys() & optimizer.param_groups[0].keys():
                if new[key] != old.get(key):
                    for group in optimizer.param_groups:
                        _change(group, key, old.get(key), new[key])
                    for scheduler in trainer.strategy.lr_scheduler_configs:
                        if key == "lr" and scheduler.scheduler.optimizer is optimizer.optimizer:
                            scheduler.scheduler.base_lrs = [new[key]] * len(optimizer.param_groups)


def _change(group: dict[str, Any], key: str, old: Any, new: Any) -> None:
    if key == "lr" and old:
        group["lr"], group["initial_lr"] = group["lr"] * new / old, new
    else:
        group[key] = tuple(new) if isinstance(new, list) else new


def build(cfg: DictConfig, folder: str | os.PathLike[str] = "outputs/notebook") -> Run:
    """Check a composed config and build what it describes; no data is touched.

    Args:
        cfg: From ``compose`` or the command line.
        folder: Where the run writes.

    Raises:
        ValueError: A mistake in the config, by key.
    """
    config.check_keys(cfg)
    cfg = copy.deepcopy(cfg)
    cfg.trainer.precision = _precision(cfg.trainer)
    config.check(cfg)
    if cfg.seed < 0 or cfg.seed >= 2**32:
        raise ValueError(f"seed={cfg.seed}: must be from 0 to 2^32 - 1")
    if cfg.max_kimg is not None and not 0 < cfg.max_kimg < float("inf"):
        raise ValueError(f"max_kimg={cfg.max_kimg}: must be > 0 and finite, or null")
    world = _world_size(cfg.trainer)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data: ImageData = _instantiate(cfg.data, "data", ImageData)
    model: AdversarialModule = _instantiate(cfg.model, "model", AdversarialModule)
    if data.kind not in model.accepts:
        raise ValueError(
            f"data={type(data).__name__.lower()} is of kind {data.kind}; {type(model).__name__} takes "
            f"{', '.join(model.accepts)}"
        )
    model.check_data(data.image_size, data.channels)
    _check_optimizers(model)
    model.config = {"resolved": OmegaConf.to_container(cfg, resolve=True), "source": _portable(cfg)}
    return Run(data, model, _trainer(cfg, model, world, Path(folder)), Path(folder), cfg)


def _portable(cfg: DictConfig) -> Any:
    """The config with its interpolations, but with what resolvers such as ``oc.env`` said in their place."""

    def walk(raw: Any, resolved: Any) -> Any:
        if isinstance(raw, dict):
            return {key: walk(raw[key], resolved[key]) for key in raw}
        if isinstance(raw, list):
            return [walk(one, other) for one, other in zip(raw, resolved, strict=True)]
        return resolved if isinstance(raw, str) and re.search(r"\$\{[^}]*:", raw) else raw

    return walk(OmegaConf.to_container(cfg), OmegaConf.to_container(cfg, resolve=True))


def _check_optimizers(model: AdversarialModule) -> None:
    """Make both optimisers and schedules once on a dummy weight, so that a bad value is told before training."""
    for player in "gd":
        key = f"model.{player}_optimizer"
        try:
            optimizer = model.optimizer_factories[player]([torch.nn.Parameter(torch.zeros(1))])
            key = f"model.{player}_scheduler"
            factory = model.scheduler_factories[player]
            schedule = factory(optimizer) if factory else None
        except (ValueError, TypeError, AssertionError) as error:
            raise ValueError(f"{key}: {error}") from error
        if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ValueError(f"{key}=ReduceLROnPlateau: needs a score at every step; choose a schedule of the step")


def _instantiate(node: Any, key: str, kind: type, **extra: Any) -> Any:
    made = hydra.utils.instantiate(node, _convert_="all", **extra)
    if not isinstance(made, kind):
        raise ValueError(f"{key}: is a {type(made).__name__}; its _target_ must name a {kind.__name__}")
    return made


def _trainer(cfg: DictConfig, model: AdversarialModule, world: int, folder: Path) -> Trainer:
    nodes = {name: node for name, node in (cfg.callbacks or {}).items() if node is not None}
    callbacks = [_instantiate(node, f"callbacks.{name}", Callback) for name, node in nodes.items()]
    first = (ProgressBar, StabilityGuard, Checkpoint)  # losses are looked at, then saved, then drawn and scored
    callbacks.sort(key=lambda callback: next((i for i, kind in enumerate(first) if isinstance(callback, kind)), 9))
    nodes = {name: node for name, node in (cfg.logger or {}).items() if node is not None}
    loggers = [_instantiate(node, f"logger.{name}", functools.partial) for name, node in nodes.items()]
    options: dict[str, Any] = {}
    if model.batch_size % (world * model.accumulate):
        raise ValueError(
            f"model.batch_size={model.batch_size}: must divide by {world} processes x model.accumulate="
            f"{model.accumulate}"
        )
    if cfg.trainer.strategy not in STRATEGIES:
        raise ValueError(f"trainer.strategy={cfg.trainer.strategy}: must be one of {', '.join(STRATEGIES)}")
    if cfg.trainer.strategy == "auto" and world > 1:
        _refuse_multirun(world)
        options["strategy"] = AlternatingDDP()
    if cfg.max_kimg is not None:
        options["max_steps"] = _steps_for(model, cfg.max_kimg * 1000)
    if not cfg.trainer.enable_progress_bar:
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    return _instantiate(  # type: ignore[no-any-return]
        cfg.trainer,
        "trainer",
        Trainer,
        callbacks=[_Clock(), *callbacks],
        logger=[logger(save_dir=str(folder)) for logger in loggers] or False,
        default_root_dir=str(folder),
        plugins=[checkpoint.AtomicCheckpointIO()],
        enable_checkpointing=any(isinstance(callback, LightningCheckpoint) for callback in callbacks),
        use_distributed_sampler=False,
        max_epochs=-1,
        num_sanity_val_steps=0,
        **options,
    )


def _world_size(trainer: DictConfig) -> int:
    """How many processes the trainer's options ask for.

    Raises:
        ValueError: Not a number of devices, or another one than the processes that are running.
    """
    for key in ("num_nodes", "log_every_n_steps", "max_steps"):
        if trainer[key] < 1 and not (key == "max_steps" and trainer[key] == -1):
            raise ValueError(f"trainer.{key}={trainer[key]}: must be >= 1")
    given = trainer.devices
    devices = given.split(",") if isinstance(given, str) and "," in given else given
    if isinstance(devices, list) or OmegaConf.is_list(devices):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = max(1, torch.cuda.device_count()) if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    else:
        count = int(devices) if re.fullmatch(r"\d+", str(devices)) else 0
    if count < 1:
        raise ValueError(f"trainer.devices={given}: must be a number >= 1, a list such as [0,1], auto or -1")
    world = count * int(trainer.num_nodes)
    running = int(os.environ.get("WORLD_SIZE", world))
    if running != world:
        raise ValueError(
            f"trainer.devices={given}, trainer.num_nodes={trainer.num_nodes}: {running} processes were started; give "
            "the launcher and the trainer the same numbers"
        )
    return world


def _precision(trainer: DictConfig) -> str:
    """The precision that is asked for; ``auto`` is bf16-mixed where the hardware computes it fast."""
    given = str(trainer.precision)
    if given not in PRECISIONS:
        raise ValueError(f"trainer.precision={given}: must be one of {', '.join(PRECISIONS)}")
    if given != "auto":
        return given
    if torch.cuda.is_available() and trainer.accelerator in ("auto", "gpu", "cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        tests = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        fast = trainer.accelerator in ("auto", "cpu") and any(test() for test in tests if test)
    return "bf16-mixed" if fast else "32-true"


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


def _refuse_other_networks(model: AdversarialModule, content: dict[str, Any], path: Path) -> None:
    """Refuse what a resumed run cannot change: its networks and the kinds of its optimisers."""
    mine, theirs = model.state_dict(), content["state_dict"]
    for name in [*mine, *theirs]:
        sizes = [tuple(getattr(state[name], "shape", ())) if name in state else "absent" for state in (theirs, mine)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"resume={path}: model.{name} is {sizes[0]} in the checkpoint and {sizes[1]} here; a resumed run "
                "keeps its networks: leave out what changes model or data"
            )
    before, now = content["config"]["resolved"]["model"], (model.config or {}).get("resolved", {}).get("model", {})
    for key in ("g_optimizer", "d_optimizer"):
        targets = [config[key]["_target_"] for config in (before, now)]
        if targets[0] != targets[1]:
            raise ValueError(f"model.{key}._target_={targets[1]}: a resumed run keeps its optimiser, {targets[0]}")


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


def announce(run: Run) -> None:
    """Write the resolved config into the run's folder and print it; process 0 only."""
    if not run.trainer.is_global_zero:
        return
    text = OmegaConf.to_yaml(run.cfg, resolve=True)
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "config.yaml").write_text(text)
    print(text, file=sys.stderr)
