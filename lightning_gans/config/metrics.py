"""Find metrics by the names of their files: ``conf/metric/NAME.yaml``, here or in a folder of your own.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.schemas import CONF_DIR

LISTS = ("metrics", "callbacks.evaluation.metrics")  # where commands and runs name metrics


def metric_names(folders: Sequence[Path] = ()) -> list[str]:
    """Return the names of all metrics, those of the given config folders included."""
    return sorted({path.stem for folder in (CONF_DIR, *folders) for path in (folder / "metric").glob("*.yaml")})


def read_metric(name: str, folders: Sequence[Path] = (), key: str = "metrics") -> dict[str, Any]:
    """Read a metric's node; a file of this package goes before one of the same name elsewhere.

    Args:
        name: Of the file, without its ending.
        folders: Config folders beside this package's.
        key: What the list of metrics is called, for messages.

    Raises:
        ValueError: There is no such file, or it names no class.
    """
    names = metric_names(folders)
    if name not in names:
        raise ConfigError(key, name, f"must be among {', '.join(names)}")
    path = next(path for folder in (CONF_DIR, *folders) if (path := folder / "metric" / f"{name}.yaml").is_file())
    node = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise ConfigError(key, name, f"{path} must have a _target_, the class of the metric")
    return node  # type: ignore[return-value]


def name_own_metrics(cfg: DictConfig, hydra_config: Any) -> None:
    """Put the nodes of a user's own metrics in the place of their names, so that a checkpoint names their classes.

    Args:
        cfg: A composed config; changed in place.
        hydra_config: Hydra's own node, which knows the search path.

    Raises:
        ValueError: A name without a file.
    """
    folders = [Path(source.path) for source in hydra_config.runtime.config_sources if source.schema == "file"]
    for key in LISTS:
        metrics = OmegaConf.select(cfg, key)
        if not OmegaConf.is_list(metrics):
            continue
        given: Any = OmegaConf.to_container(metrics, resolve=False)
        nodes: list[Any] = []
        for metric in given:
            is_own = isinstance(metric, str) and "${" not in metric and metric not in metric_names()
            nodes.append(read_metric(metric, folders, key) if is_own else metric)
        OmegaConf.update(cfg, key, nodes)
