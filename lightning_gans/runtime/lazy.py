"""Import the public names of a package when they are asked for, so that importing the package is instant."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy_names(
    package: str, otherwise: Callable[[str], Any] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package from its imports under ``if TYPE_CHECKING:``.

    So type checkers and Python read the same names. Those of a package within it are found as well.

    Args:
        package: Full name of the package, from whose ``__init__`` it is called.
        otherwise: Finds any other name; raises AttributeError if there is none.
    """
    home = sys.modules[package]
    places = _deferred(inspect.getsource(home))

    def find(name: str) -> Any:
        if name in places:
            module, owned = places[name]
            found = getattr(importlib.import_module(module), owned)
        elif (Path(str(home.__file__)).parent / name / "__init__.py").is_file():
            found = importlib.import_module(f"{package}.{name}")
        elif otherwise is not None:
            return otherwise(name)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(home, name, found)
        return found

    return find, lambda: sorted({*vars(home), *places})


def _deferred(source: str) -> dict[str, tuple[str, str]]:
    """Return the module and the name there of everything that a source imports under ``if TYPE_CHECKING:``."""
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    return {
        alias.asname or alias.name: (str(statement.module), alias.name)
        for block in blocks
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
