"""Log to MLflow, in a store in the run's folder or on a server; a resumed run continues its curves."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import MLFlowLogger

from lightning_gans.loggers.extras import needed_extra
from lightning_gans.runtime.atomic import kept_id, write_text


class MLflow(MLFlowLogger):
    """Log to MLflow; a resumed run continues its curves under the same id.

    The horizontal axis is generator updates. Without a server everything lies in the run's folder: the store in
    ``mlflow.db``, pictures, config and checkpoints in ``mlflow``.

    Args:
        save_dir: The run's folder; the id is kept there in ``mlflow_id.txt``.
        experiment: Name of the experiment that holds the run.
        name: Name of the run; ``None``: the folder's name.
        tags: Tags of the run by name.
        log_model: Upload ``last.ckpt`` and ``best.ckpt`` when the training ends.
        tracking_uri: Address of a server, or of a store such as ``sqlite:///FILE``; ``None``: what
            ``MLFLOW_TRACKING_URI`` says, or a store in the run's folder.

    Raises:
        ConfigError: MLflow is not installed.
    """

    def __init__(
        self,
        *,
        save_dir: str,
        experiment: str = "lightning_gans",
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        log_model: bool = False,
        tracking_uri: str | None = None,
    ) -> None:
        with needed_extra("mlflow"):
            importlib.import_module("mlflow")
        self.folder, self.uploads = Path(save_dir).absolute(), log_model
        self._run = {"experiment_name": experiment, "run_name": name or self.folder.name, "tags": dict(tags or {})}
        self._uri, self._opened = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"), False
        self._initialized, self._prefix = False, ""

    @property
    def save_dir(self) -> str:
        """Return the run's folder."""
        return str(self.folder)

    @property
    @rank_zero_experiment
    def experiment(self) -> object:
        """Return MLflow's client. The first time it opens the run, which writes to the run's folder."""
        kept = self.folder / "mlflow_id.txt"
        if not self._opened:
            self.folder.mkdir(parents=True, exist_ok=True)
            options: dict[str, Any] = {"tracking_uri": self._uri, "artifact_location": None, **self._run}
            if self._uri is None:
                options["tracking_uri"] = f"sqlite:///{self.folder / 'mlflow.db'}"
                options["artifact_location"] = (self.folder / "mlflow").as_uri()
            super().__init__(**options, run_id=kept_id(kept, "an MLflow run") if kept.is_file() else None)
            self._opened = True
        client = super().experiment
        if not kept.is_file():
            write_text(kept, str(self._run_id))
        return client
