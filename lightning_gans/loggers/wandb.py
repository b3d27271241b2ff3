"""Weights & Biases; a resumed run continues its curves."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightning_gans.loggers.dashboards import Dashboard
from lightning_gans.runtime.atomic import set_aside, write_text


class WandB(WandbLogger, Dashboard):
    """Weights & Biases; a resumed run continues its curves under the same id.

    Everything is drawn over generator updates (``trainer/global_step``). All files go under ``wandb`` in the run's
    folder, the service's own log too unless ``WANDB_CACHE_DIR`` is set.

    Args:
        save_dir: The run's folder; keeps the id in ``wandb_id.txt``.
        project: Project on the dashboard.
        name: Name of the run; ``None``: the folder's name.
        group: Group of runs; ``None``: in a multirun the name of the sweep's folder.
        mode: ``online``, ``offline`` or ``disabled``.

    Raises:
        ValueError: Another mode; or, when the run is opened, no login or no connection.
    """

    def __init__(
        self,
        *,
        save_dir: str,
        project: str = "lightning_gans",
        name: str | None = None,
        group: str | None = None,
        mode: str = "online",
    ) -> None:
        if mode not in ("online", "offline", "disabled"):
            raise ValueError(f"logger.wandb.mode={mode}: must be online, offline or disabled")
        self.mode = mode
        kept = Path(save_dir, "wandb_id.txt")
        run_id = _kept_id(kept) if kept.is_file() else None
        super().__init__(
            name=name or Path(save_dir).name,
            save_dir=save_dir,
            project=project,
            group=group,
            mode=mode,
            id=run_id,
            resume="allow",
        )
        self._wandb_init.pop("anonymous", None)  # which Lightning passes on and W&B warns of

    @property
    @rank_zero_experiment
    def experiment(self) -> object:
        """The W&B run; its id is written down for a later session."""
        import wandb

        try:
            with _cache_in(Path(self.save_dir or ".", "wandb", "cache")):
                run = super().experiment
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"logger.wandb.mode={self.mode}: {reason} (or say logger.wandb.mode=offline and upload later by "
                "`wandb sync`)"
            ) from error
        kept = Path(self.save_dir or ".", "wandb_id.txt")
        if not kept.is_file() and self.mode != "disabled":
            write_text(kept, str(run.id))
            self._wandb_init["id"] = run.id  # of a second session of this process too
        return run

    def log_config(self, cfg: DictConfig) -> None:
        """Store the config as the run's."""
        self.experiment.config.update(_as_utf8(OmegaConf.to_container(cfg, resolve=True)), allow_val_change=True)

    def log_image(self, key: str, images: list[Tensor], step: int | None = None, **kwargs: Any) -> None:
        """Show images (C, H, W) uint8 under a key."""
        from PIL import Image

        pixels = [np.asarray(image.permute(1, 2, 0)).squeeze() for image in images]
        super().log_image(key, [Image.fromarray(image) for image in pixels], step=step, **kwargs)

    def close(self, *, failed: bool) -> None:
        """End the W&B run, or the next one of this process would go on with it."""
        import wandb

        wandb.finish(exit_code=int(failed))
        self._experiment = None  # a second ``fit`` opens it again


def _kept_id(path: Path) -> str | None:
    """The id of an earlier session; a file that holds none is set aside."""
    found = re.fullmatch(rb"[\w-]{1,128}", path.read_bytes().strip())
    if found is None:
        set_aside(path, "not the id of a W&B run")
    return found[0].decode() if found else None


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Let the service that W&B starts write its log here and not under the home, unless the user says where."""
    if "WANDB_CACHE_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WANDB_CACHE_DIR"]


def _as_utf8(node: Any) -> Any:
    """Replace what is no UTF-8 in a container's texts: bytes of file names that Python keeps as surrogates."""
    if isinstance(node, dict):
        return {key: _as_utf8(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_utf8(value) for value in node]
    return node.encode(errors="replace").decode() if isinstance(node, str) else node
