"""Read pickles of strangers: plain containers, and the few names that a caller knows."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

Known = Mapping[tuple[str, str], Callable[..., Any]]  # what stands for a name, by module and name


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickle a file that may name nothing but what is known; any other name ends the reading.

    Args:
        stream: The file.
        known: What stands for each name.
        holds: What the file should hold, for the message.
        encoding: Of texts that Python 2 wrote.
    """

    def __init__(self, stream: BinaryIO, known: Known, holds: str, *, encoding: str = "ASCII") -> None:
        super().__init__(stream, encoding=encoding)
        self._known, self._holds = known, holds

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the file stands for here.

        Raises:
            pickle.UnpicklingError: It is not known.
        """
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"names {f'{module}.{name}'[:80]!r}, which is no part of {self._holds}")
        return self._known[module, name]
