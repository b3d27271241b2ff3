"""Make metrics by the names of their files in ``conf/metric``."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from lightning_gans.config.errors import MISSING, ConfigError, prefix
from lightning_gans.config.metrics import metric_names, read_metric
from lightning_gans.metrics.base import GenerativeMetric
from lightning_gans.runtime.instantiation import OURS, instantiate


def make_metric(name: str, where: str = "") -> GenerativeMetric:
    """Return a new metric of this package.

    Args:
        name: Of its file in ``conf/metric``.
        where: Key of the config node that names it, for messages.

    Raises:
        ValueError: There is no such file.
    """
    metric: GenerativeMetric = instantiate(read_metric(name, key=f"{prefix(where)}metrics"), allowed=OURS)
    return metric


@functools.cache
def package_metrics() -> tuple[GenerativeMetric, ...]:
    """Return one of each metric of this package, to be asked for its declarations."""
    return tuple(make_metric(name) for name in metric_names())


def as_metrics(metrics: Sequence[str | GenerativeMetric], where: str = "") -> list[GenerativeMetric]:
    """Make the metrics that are given by name; each name counts once.

    Args:
        metrics: Names and metrics.
        where: Key of the config node that they stand in, for messages.

    Raises:
        ValueError: A name without a file, something that is no metric, or two metrics of one name.
    """
    made: dict[str, GenerativeMetric] = {}
    for given in dict.fromkeys(metrics):
        metric: object = make_metric(given, where) if isinstance(given, str) else given
        if not isinstance(metric, GenerativeMetric):
            kind = f"{GenerativeMetric.__module__}.{GenerativeMetric.__name__}"
            rule = f"holds a {type(metric).__name__}; its _target_ must name a {kind}"
            raise ConfigError(f"{prefix(where)}metrics", MISSING, rule)
        if metric.name in made:
            raise ConfigError(f"{prefix(where)}metrics", metric.name, "must be named once")
        made[metric.name] = metric
    return list(made.values())
