"""Show images and a run's config on TensorBoard, W&B and MLflow, through this package's loggers or Lightning's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch import Tensor


def dashboard(logger: Logger) -> Dashboard:
    """Return what shows images and configs through a logger, chosen by the logger's class.

    Args:
        logger: Any of Lightning's; one that is none of TensorBoard's, W&B's and MLflow's shows nothing.
    """
    if isinstance(logger, TensorBoardLogger):
        return TensorBoardDashboard(logger)
    if isinstance(logger, MLFlowLogger):
        return MLflowDashboard(logger)
    return WandbDashboard(logger) if isinstance(logger, WandbLogger) else Dashboard()


class Dashboard:
    """Show nothing: for loggers of numbers alone, such as CSV."""

    def log_config(self, cfg: DictConfig) -> None:
        """Show a run's resolved config beside its curves."""

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image.

        Args:
            key: Name on the dashboard.
            image: (C, H, W) uint8.
            step: Generator updates.
        """

    def log_alarm(self, kind: str, text: str, step: int) -> None:
        """Show an alarm of the stability guard.

        Args:
            kind: Its kind, one word or two.
            text: What happened.
            step: Generator updates.
        """

    def close(self, *, failed: bool, checkpoints: Sequence[Path] = ()) -> None:
        """End the session once the training has ended, or has failed.

        Args:
            failed: Whether it has.
            checkpoints: Files to upload, if the logger is to.
        """


class TensorBoardDashboard(Dashboard):
    """Show images and the config, as text, in TensorBoard's event files."""

    def __init__(self, logger: TensorBoardLogger) -> None:
        self.logger = logger

    def log_config(self, cfg: DictConfig) -> None:
        """Show the config as a block of YAML."""
        self.logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(cfg, resolve=True)}```")

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image (C, H, W) uint8 under a key."""
        self.logger.experiment.add_image(key, torch.as_tensor(image), step)

    def log_alarm(self, kind: str, text: str, step: int) -> None:
        """Show an alarm as text under ``alarm/kind``."""
        self.logger.experiment.add_text(f"alarm/{kind}", text, step)


class WandbDashboard(Dashboard):
    """Show images in a W&B run and store the config as the run's."""

    def __init__(self, logger: WandbLogger) -> None:
        self.logger = logger

    def log_config(self, cfg: DictConfig) -> None:
        """Store the config as the W&B run's config."""
        config = _as_utf8(OmegaConf.to_container(cfg, resolve=True))
        self.logger.experiment.config.update(config, allow_val_change=True)

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image (C, H, W) uint8 under a key."""
        from PIL import Image

        self.logger.log_image(key, [Image.fromarray(np.asarray(image.permute(1, 2, 0)).squeeze())], step=step)

    def log_alarm(self, kind: str, text: str, step: int) -> None:
        """Send an alert, which W&B shows and mails as the user has set it, and keep it in the run's summary."""
        told = f"at generator update {step} {text}"
        self.logger.experiment.alert(title=f"alarm: {kind}", text=told)
        self.logger.experiment.summary[f"alarm/{kind}"] = told

    def close(self, *, failed: bool, checkpoints: Sequence[Path] = ()) -> None:
        """Finish the W&B run, or the next training of this process would go on with it."""
        import wandb

        if getattr(self.logger, "uploads", False) and not failed and _is_first_process():
            artifact = wandb.Artifact(f"model-{self.logger.experiment.id}", type="model")
            for path in checkpoints:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            self.logger.experiment.log_artifact(artifact)
        wandb.finish(exit_code=int(failed))
        self.logger._experiment = None  # a second ``fit`` opens it again


class MLflowDashboard(Dashboard):
    """Show images and the config in an MLflow run."""

    def __init__(self, logger: MLFlowLogger) -> None:
        self.logger = logger

    def log_config(self, cfg: DictConfig) -> None:
        """Store the config as ``config.yaml``, and as parameters of a run that has none yet."""
        client, run = self.logger.experiment, self.logger.run_id
        client.log_text(run, OmegaConf.to_yaml(cfg, resolve=True), "config.yaml")
        if not client.get_run(run).data.params:  # MLflow refuses other values later
            self.logger.log_hyperparams(_as_utf8(OmegaConf.to_container(cfg, resolve=True)))

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image (C, H, W) uint8 under a key."""
        picture = np.asarray(image.permute(1, 2, 0))
        self.logger.experiment.log_image(self.logger.run_id, picture, key=key, step=step)

    def log_alarm(self, kind: str, text: str, step: int) -> None:
        """Set a tag of the run."""
        self.logger.experiment.set_tag(self.logger.run_id, f"alarm {kind}", f"at generator update {step} {text}")

    def close(self, *, failed: bool, checkpoints: Sequence[Path] = ()) -> None:
        """Upload the checkpoints if asked to, and end the run."""
        if not _is_first_process():
            return
        if getattr(self.logger, "uploads", False) and not failed:
            for path in checkpoints:
                self.logger.experiment.log_artifact(self.logger.run_id, str(path), "checkpoints")
        self.logger.finalize("failed" if failed else "success")


def _is_first_process() -> bool:
    """Return whether this is rank 0, also when the process group is gone already."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _as_utf8(node: Any) -> Any:
    """Replace what is no UTF-8 in a container's texts: bytes of file names that Python keeps as surrogates."""
    if isinstance(node, dict):
        return {key: _as_utf8(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_utf8(value) for value in node]
    return node.encode(errors="replace").decode() if isinstance(node, str) else node
