"""Log to Weights & Biases; a resumed run continues its curves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger

from lightning_gans.runtime.atomic import kept_id, write_text


class WandB(WandbLogger):
    """Log to Weights & Biases; a resumed run continues its curves under the same id.

    The horizontal axis is generator updates (``trainer/global_step``). All files go under ``wandb`` in the run's
    folder, including the log of W&B's service unless ``WANDB_CACHE_DIR`` is set.

    Args:
        save_dir: The run's folder; the id is kept there in ``wandb_id.txt``.
        project: Project on the dashboard.
        name: Name of the run; ``None``: the folder's name.
        group: Group of runs; ``None``: in a multirun the name of the sweep's folder.
        entity: Team or user that the project belongs to; ``None``: that of the login.
        tags: Tags of the run.
        log_model: Upload ``last.ckpt`` and ``best.ckpt`` as an artifact when the training ends.
        mode: ``online``, ``offline`` or ``disabled``.

    Raises:
        ValueError: ``mode`` is another one; or, when the run is opened, there is no login or no connection.
    """

    def __init__(
        self,
        *,
        save_dir: str,
        project: str = "lightning_gans",
        name: str | None = None,
        group: str | None = None,
        entity: str | None = None,
        tags: Sequence[str] | None = None,
        log_model: bool = False,
        mode: str = "online",
    ) -> None:
        if mode not in ("online", "offline", "disabled"):
            raise ValueError(f"logger.wandb.mode={mode}: must be online, offline or disabled")
        self.mode, self.uploads = mode, log_model
        kept = Path(save_dir, "wandb_id.txt")
        run_id = kept_id(kept, "a W&B run") if kept.is_file() else None
        super().__init__(
            name=name or Path(save_dir).name,
            save_dir=save_dir,
            project=project,
            group=group,
            entity=entity,
            tags=None if tags is None else list(tags),
            mode=mode,
            id=run_id,
            resume="allow",
        )
        self._wandb_init.pop("anonymous", None)  # which Lightning passes on and W&B warns of

    @property
    @rank_zero_experiment
    def experiment(self) -> object:
        """Return the W&B run, and store its id for a later session."""
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


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Let W&B's service write its log here instead of under the home, unless ``WANDB_CACHE_DIR`` is set."""
    if "WANDB_CACHE_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WANDB_CACHE_DIR"]
