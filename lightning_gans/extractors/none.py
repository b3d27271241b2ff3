"""Stand for no extractor: ``extractor=none``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.extractors.base import Extractor, Features


class NoExtractor(Extractor):
    """Refuse to be made: there are no features, and what compares them is left out.

    Raises:
        ConfigError: It is made, since something needs features after all.
    """

    name = "none"

    def __init__(self) -> None:
        raise _refusal()

    def extract(self, images: Tensor) -> Features:
        """Refuse to compute features."""
        raise _refusal()


def _refusal() -> ConfigError:
    return ConfigError("extractor", "none", "this needs the features of one; say extractor=NAME")


def is_none(make: Callable[[], Any] | None) -> bool:
    """Return whether a factory of extractors is that of ``extractor=none``."""
    return getattr(make, "func", make) is NoExtractor
