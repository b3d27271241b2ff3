"""Import packages without what they would import and no command uses, which takes up to half of a start's time."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.metadata import DistributionFinder, PackageNotFoundError
from types import ModuleType
from typing import Any

EXTRAS = {"matplotlib", "scipy", "torch_fidelity", "torchvision", "transformers"}
COMPILER = "torch._dynamo"


def import_lightning(*, trains: bool = False) -> None:
    """Import Lightning for a command, unless it is imported already.

    torchmetrics, which Lightning needs, finds none of its optional packages (plots, sound, networks that extract
    features) and does without them to the end of the process. Nothing else does: they are hidden for this import alone.
    The compiler, of which Lightning names a class and a decorator, is imported when something compiles.

    Args:
        trains: The command trains, and optimisers import the compiler anyway.
    """
    if not sys.modules.keys() & {"lightning", "torchmetrics", COMPILER}:
        with hidden(EXTRAS), contextlib.nullcontext() if trains else _compiler_later():
            importlib.import_module("lightning.pytorch")


class _Hidden(MetaPathFinder):
    """Say of packages that they are not installed, to ``import`` as to ``importlib.metadata``."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Refuse a hidden package; leave any other to the finders behind."""
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Any]:
        """Refuse the metadata of a hidden package."""
        if (context.name or "").replace("-", "_") in self.names:
            raise PackageNotFoundError(context.name)
        return iter(())


@contextmanager
def hidden(names: set[str]) -> Iterator[None]:
    """Hide packages that are not imported yet."""
    finder = _Hidden({name for name in names if name not in sys.modules})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        utilities = sys.modules.get("lightning_utilities.core.imports")
        if utilities is not None:  # what it has found hidden is there again
            utilities.package_available.cache_clear()


class _Later(ModuleType):
    """Stand for the compiler while only its decorator and a class for ``isinstance`` are asked for."""

    OptimizedModule = type("OptimizedModule", (), {})

    @staticmethod
    def disable(function: Any = None, *_: Any, **__: Any) -> Any:
        """Return the function as it is: what never compiles needs no exception from it."""
        return function or (lambda function: function)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(COMPILER, None)
        return getattr(importlib.import_module(COMPILER), name)


@contextmanager
def _compiler_later() -> Iterator[None]:
    """Let a module stand for the compiler."""
    import torch  # before there is a module within it

    stand_in = sys.modules[COMPILER] = _Later(COMPILER)
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]
        if vars(torch).get("_dynamo") is stand_in:
            del torch._dynamo
