"""Build a run from a config, train it and sum it up."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf

from lightning_gans.callbacks.checkpoint import Checkpoint, processes_of
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.progress import Clock
from lightning_gans.callbacks.resume import OptimizerOverrides
from lightning_gans.callbacks.samples import SampleGrid
from lightning_gans.callbacks.stability import StabilityGuard
from lightning_gans.checkpoints import files, fine_tuning, integrity, load, roles
from lightning_gans.config import claims, explain, validation
from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.loggers.dashboards import dashboard
from lightning_gans.models.base import GenerativeModule
from lightning_gans.runtime.atomic import set_aside, write_text
from lightning_gans.runtime.distributed import is_lost_process
from lightning_gans.training import sweep
from lightning_gans.training.checks import check_memory, check_optimizers, refuse_other_networks
from lightning_gans.training.decisions import decided, learn, with_data
from lightning_gans.training.trainer import instantiate, make_trainer, world_size

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tips and what the summary says anyway
logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)

# What Lightning warns of and this design intends: an averaged generator in evaluation mode, sets held in memory.
_INTENDED = (
    r"Found \d+ module\(s\) in eval mode",
    r".*does not have many workers",
    r".*isinstance\(treespec",
    r"Detected call of `lr_scheduler\.step\(\)` before",  # a scaler that starts too high skips a step
    r"Precision bf16-mixed is not supported by the model summary",
)


@dataclass
class Run:
    """Hold everything that a training needs.

    Attributes:
        data: The images.
        model: The family.
        trainer: Lightning's trainer, with callbacks and loggers.
        folder: Where everything is written.
        cfg: The config as it was built, ``auto`` values decided.
        seconds: Time spent in ``fit``.
    """

    data: ImageDataModule
    model: GenerativeModule
    trainer: Trainer
    folder: Path
    cfg: DictConfig
    seconds: float = field(default=0.0)
    _resumed: Path | None = None
    _wrote: bool = False  # whether what the folder holds is this run's

    def prepare(self, resume: str) -> None:
        """Find the checkpoint to resume, and refuse one that does not fit, before anything is written.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It does not fit the config.
        """
        path = files.find(resume)
        content = files.read(path, to_resume=True)
        integrity.refuse_not_finite(content["state_dict"])
        if self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise ConfigError("trainer.fast_dev_run", True, "not with resume")
        with integrity.malformed(path):
            refuse_other_networks(self.model, content, path)
            before, now = content["config"]["resolved"]["model"], (self.model.config or {})["resolved"]["model"]
            self.model.schedule.check_resumed(content["global_step"], before, now)
            load.check_training(content, self.model)
        if 0 <= self.trainer.max_steps < content["global_step"]:
            rule = f"{path} stands at generator update {content['global_step']} already; say a larger one"
            raise ConfigError("trainer.max_steps", self.trainer.max_steps, rule)
        if self.trainer.max_steps == content["global_step"]:
            print(
                f"nothing to do but a score or picture that is missing: {path} stands at generator update "
                f"{content['global_step']} of {self.trainer.max_steps}; for more say trainer.max_steps=...",
                file=sys.stderr,
            )
        before = processes_of(content)
        if before not in (None, self.trainer.world_size) and claims.is_first_process():
            print(
                f"trainer.devices: {path} was saved by {before} process{'es' if before != 1 else ''}, and "
                f"{self.trainer.world_size} go on: batches and noise stay the same, batch norm and rounding differ",
                file=sys.stderr,
            )
        typed = OptimizerOverrides(content["config"]["resolved"]["model"])
        self.trainer.callbacks.append(typed)  # type: ignore[attr-defined]
        self._resumed = path

    def fit(self, resume: str | None = None, *, show: bool = False) -> None:
        """Train, from the checkpoint ``resume`` on if given.

        Args:
            resume: A run's folder or a checkpoint; ``None``: what the config's ``resume`` says.
            show: Print the resolved config once everything is ready.

        Raises:
            ValueError: The checkpoint does not fit the config, the folder holds something else, or another run is
                writing there.
            ConnectionError: Another process of the training was lost.
            KeyboardInterrupt: Ctrl-C before the training began, or twice.
        """
        resume = resume or self.cfg.resume
        if resume is not None and self._resumed is None:
            self.prepare(resume)
        path, self._resumed = self._resumed, None
        claimed = self._claim(path)
        if self.trainer.world_size > 1 and "LOCAL_RANK" not in os.environ:
            self.data.prepare_data()  # what cannot be downloaded is told before there are other processes to wait
        ready = _Ready(self, show)
        self.trainer.callbacks.append(ready)  # type: ignore[attr-defined]
        listening = signal.getsignal(signal.SIGINT)
        started, parent = time.perf_counter(), os.getppid()
        failed = True
        try:
            with warnings.catch_warnings(), _restoring(path):
                for message in _INTENDED:
                    warnings.filterwarnings("ignore", message)
                self.trainer.fit(self.model, datamodule=self.data, ckpt_path=path, weights_only=True)
            failed = False
        except SystemExit as end:  # what Lightning makes of Ctrl-C
            if not isinstance(end.__context__, KeyboardInterrupt):
                raise
            signal.signal(signal.SIGINT, listening)
            raise KeyboardInterrupt(self._go_on()) from None
        except RuntimeError as error:
            if not is_lost_process(error):
                raise
            message = f"another process of this training was lost, so this one ends; {self._go_on()}"
            if os.environ.get("LOCAL_RANK") == "1" and os.getppid() != parent:  # it was the first that would tell
                print(f"error: {message}", file=sys.stderr)
            raise ConnectionError(message) from error
        finally:
            self.trainer.callbacks.remove(ready)  # type: ignore[attr-defined]
            if claimed:
                claims.release(self.folder)
            self.seconds = time.perf_counter() - started
            saved = [self.folder / files.FOLDER / name for name in (files.LAST, files.BEST)]
            for logger in self.trainer.loggers:
                dashboard(logger).close(failed=failed, checkpoints=[path for path in saved if path.is_file()])

    def _claim(self, resumed: Path | None) -> bool:
        """Claim the folder, in which nothing of another run is replaced or taken for this one's.

        Returns whether it was claimed here, and not for this process as a whole.
        """
        own = resumed is not None and resumed.resolve().parent == (self.folder / files.FOLDER).resolve()
        mine = own or self._wrote
        claimed = claims.claim(self.folder) if mine else claims.claim_for_new(self.folder)
        self._wrote = True
        return claimed

    def _go_on(self) -> str:
        """Return how to resume this run, if it saved a checkpoint."""
        saved = (self.folder / files.FOLDER / files.LAST).is_file()
        return f"go on with: resume={self.folder}" if saved else "nothing was saved"

    def write_config(self) -> None:
        """Write the resolved config to the run's folder and the loggers; process 0 only."""
        if not self.trainer.is_global_zero:
            return
        path = self.folder / "config.yaml"
        if os.path.lexists(path) and not _is_config(path):
            set_aside(path, "not the config of a run")
        write_text(path, OmegaConf.to_yaml(self.cfg, resolve=True))
        if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            for logger in self.trainer.loggers:
                dashboard(logger).log_config(self.cfg)

    @property
    def interrupted_by(self) -> int | None:
        """Return the signal that ended the training early."""
        return getattr(Checkpoint.of(self.trainer), "interrupted_by", None)

    @property
    def score(self) -> float | None:
        """Return the best score of the run, which picks ``best.ckpt``; negated where higher is better."""
        return getattr(Checkpoint.of(self.trainer), "best", None)

    def summary(self) -> str:
        """Return the table that a training ends with."""
        callbacks = {type(callback): callback for callback in self.trainer.callbacks}  # type: ignore[attr-defined]
        grids, evaluation = callbacks.get(SampleGrid), callbacks.get(Evaluation)
        rows = [
            ("generator updates", f"{self.model.iteration:,}"),
            ("real images shown", f"{self.model.images_seen:,}"),
            ("precision", str(self.cfg.trainer.precision)),
            ("time", f"{self.seconds:.1f} s, scores and pictures included"),
        ]
        throughput = getattr(callbacks.get(Clock), "images_per_second", None)
        if throughput:
            rows.append(("images/s", f"{throughput:.0f} in training"))
        card = getattr(evaluation, "card", None)
        if card:
            rows += [(key, f"{value:.4g}") for key, value in card["scores"].items()]
            real = f", {card['n_real']:,} real images" if card["n_real"] else ", against their targets"
            rows.append(("scored on", f"{card['n']:,} samples{real}"))
        folder = self.folder / files.FOLDER
        rows += [(name, str(folder / name)) for name in (files.LAST, files.BEST) if (folder / name).is_file()]
        if getattr(grids, "newest", None):
            rows.append(("sample grid", str(grids.newest)))  # type: ignore[union-attr]
        guard = StabilityGuard.of(self.trainer)
        rows += [("alarm", f"at update {alarm.step:,}: {alarm.text}") for alarm in (guard.alarms if guard else [])]
        rows.append(("config", str(self.folder / "config.yaml")))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


@explain.as_value_error()
def build(
    cfg: DictConfig, folder: str | os.PathLike[str] = "outputs/notebook", *, trust: Sequence[str] | None = None
) -> Run:
    """Check a composed config and build its run; no data is read.

    Args:
        cfg: From ``compose`` or the command line.
        folder: Where the run writes.
        trust: Of a config that came out of a checkpoint: packages that it may name beside this one; ``None``: the
            config is the caller's own, and may name anything.

    Raises:
        ValueError: A mistake in the config, by key, in the words of the command line.
    """
    if trust is None:
        validation.check_names(cfg)
    return assemble(cfg, folder, trust=trust)


def assemble(cfg: DictConfig, folder: str | os.PathLike[str], *, trust: Sequence[str] | None) -> Run:
    """Decide what says ``auto`` or null, validate and instantiate a config whose names are checked; as ``build``.

    The names of a config out of a checkpoint are checked here, once it is known that it may name them.
    """
    given = cfg
    cfg, carried = decided(given, trust)
    if trust is not None:
        validation.check_names(cfg)
    validation.check_types(cfg, given)
    if (learned := learn(cfg.data)) is not None:
        given = with_data(given, learned)
        cfg, carried = decided(given, trust)
    world = world_size(cfg.trainer)
    if OmegaConf.select(given, "model.batch_size", default=0) is None:
        cfg, carried = decided(given, trust, batch_size=world * cfg.model.get("accumulate", 1))
    if cfg.max_kimg is not None and cfg.max_epochs is not None:
        raise ValueError(f"max_kimg={cfg.max_kimg}, max_epochs={cfg.max_epochs}: one of the two must be null")
    allowed = None if trust is None else roles.whitelist(trust)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data: ImageDataModule = instantiate(cfg.data, "data", ImageDataModule, allowed)
    model: GenerativeModule = instantiate(cfg.model, "model", GenerativeModule, allowed)
    if data.kind not in model.data_kinds:
        raise validation.wrong_data(cfg, f"is of kind {data.kind}", type(model).__name__, model.data_kinds)
    model.check_data(data.shapes)
    check_memory(model, data.shapes, cfg.trainer.num_nodes)
    if trust is None and cfg.get("init") is not None:  # of a resumed run it is history
        _initialise(cfg, model)
    check_optimizers(model)
    model.config = carried
    trainer = make_trainer(cfg, model, world, Path(folder), allowed)
    if trainer.max_steps > 0 and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        model.schedule.check_budget(trainer.max_steps)
    return Run(data, model, trainer, Path(folder), cfg)


def _initialise(cfg: DictConfig, model: GenerativeModule) -> None:
    """Load the networks that a training starts from, and print which layers were loaded."""
    if cfg.resume is not None:
        raise ConfigError("init", cfg.init, "not with resume, which loads its own networks")
    told = fine_tuning.load_networks(model, files.read(cfg.init)["state_dict"], cfg.init)
    if claims.is_first_process():
        print(told, file=sys.stderr)


def _is_config(path: Path) -> bool:
    """Return whether a file is the config of a run, as written by ``write_config``."""
    try:
        nodes = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(nodes, dict) and {"model", "data", "trainer"} <= nodes.keys()


@contextlib.contextmanager
def _restoring(path: Path | None) -> Iterator[None]:
    """Name the file where Lightning fails at restoring what a checkpoint's sections hold."""
    try:
        yield
    except Exception as error:
        codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        if path is None or not any("restore" in c.co_name and "checkpoint_connector" in c.co_filename for c in codes):
            raise
        with integrity.malformed(path):
            raise


class _Ready(Callback):
    """Write the config once everything is read and checked, and print it unless it is a job of a sweep."""

    def __init__(self, run: Run, show: bool) -> None:
        self.run, self.show = run, show

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Write and print the config, as the last callback to start."""
        self.run.write_config()
        if self.show and trainer.is_global_zero and not sweep.is_multirun():
            print(OmegaConf.to_yaml(self.run.cfg, resolve=True), file=sys.stderr)
