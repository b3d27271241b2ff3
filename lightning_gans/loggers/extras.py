"""Name the extra that installs a logger's library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_gans.config.errors import ConfigError


@contextmanager
def needed_extra(name: str) -> Iterator[None]:
    """Turn the absence of a logger's library into one line with the command that installs it.

    Args:
        name: Of the logger's file in ``conf/logger`` and of the extra.

    Raises:
        ConfigError: The library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError("logger", name, f"is not installed; pip install 'lightning_gans[{name}]'") from error
