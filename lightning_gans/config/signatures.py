"""Read the options that a class takes, ``**options: Unpack[TypedDict]`` included: from source, or at run time.

The source is read before torch is imported, so that a wrong key is refused at once; the types are read once the class
can be imported.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from typing_extensions import Required, Unpack, get_type_hints, is_typeddict

from lightning_gans.config.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent
_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def read_names(target: str, key: str = "_target_") -> list[str] | None:
    """Read the names of a class's options from its source.

    Args:
        target: Dotted path of the class.
        key: Of the option that names it, for messages.

    Returns:
        Names in order; ``None`` for a class that is not of this package, or takes any further keyword.

    Raises:
        ConfigError: The package has no such class.
    """
    found = find_class(target, key)
    if found is None:
        return None
    owner, module = found
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            own = [argument.arg for argument in (method.args.args + method.args.kwonlyargs)[1:]]
            if method.args.kwarg is None:
                return own
            annotation = method.args.kwarg.annotation
            if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Unpack"):
                return [*own, *_read_fields(_absolute(ast.unparse(annotation.slice), module))]
            return None
    bases = (_absolute(base.id, module) for base in owner.bases if isinstance(base, ast.Name))
    return next(filter(None, (read_names(base) for base in bases)), [])


def find_class(target: str, key: str = "_target_") -> tuple[ast.ClassDef, str] | None:
    """Find a class of this package in its source, with its module's path; ``None``: of another package.

    Raises:
        ConfigError: The package has no such class.
    """
    module, _, name = target.rpartition(".")
    if not module.startswith("lightning_gans."):
        return None
    if _source_of(f"{module}.__init__").is_file():  # a package, which offers classes of its modules
        module = _origin(f"{module}.__init__", name) or module
    if not _source_of(module).is_file():
        raise ConfigError(key, target, f"there is no module {module}")
    owners = (item for item in _parsed(module).body if isinstance(item, ast.ClassDef) and item.name == name)
    owner = next(owners, None)
    if owner is None:
        raise ConfigError(key, target, f"{module} has no class {name}")
    return owner, module


def read_attribute(target: str, name: str) -> Any:
    """Read a constant of a class or of its bases from source; ``None`` where there is none."""
    found = find_class(target)
    if found is None:
        return None
    owner, module = found
    for item in owner.body:
        targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
        if any(isinstance(one, ast.Name) and one.id == name for one in targets) and getattr(item, "value", None):
            return ast.literal_eval(item.value)  # type: ignore[attr-defined]
    bases = (_absolute(base.id, module) for base in owner.bases if isinstance(base, ast.Name))
    return next(filter(None, (read_attribute(base, name) for base in bases)), None)


def types_of(target: Any) -> tuple[dict[str, Any], bool]:
    """Return the annotations of a callable's options by name, and True if it takes any further keyword."""
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(owner)["__init__"] for owner in target.__mro__ if "__init__" in vars(owner)]
    types: dict[str, Any] = {}
    for function in functions:
        try:
            hints = get_type_hints(function, include_extras=True)
        except Exception:  # names that exist for type checkers only
            hints = {}
        parameters = inspect.signature(function).parameters
        for name, parameter in parameters.items():
            if parameter.kind not in _VARIADIC and name != "self":
                types.setdefault(name, hints.get(name, Any))
        rest = next((one.name for one in parameters.values() if one.kind is inspect.Parameter.VAR_KEYWORD), None)
        if rest is None:
            return types, False
        if get_origin(hints.get(rest)) is Unpack:
            (fields,) = get_args(hints[rest])
            return {**types, **(fields_of(fields) or {})}, False
        if not str(getattr(function, "__module__", "")).startswith("lightning_gans"):
            return types, True
    return types, not inspect.isclass(target)


def fields_of(hint: Any) -> dict[str, Any] | None:
    """Return the annotations of a TypedDict's keys; ``None`` for any other annotation."""
    if not is_typeddict(hint):
        return None
    fields: dict[str, Any] = get_type_hints(hint, include_extras=True)
    required: Any = Required
    return {name: get_args(one)[0] if get_origin(one) is required else one for name, one in fields.items()}


def may_take(target: Any, path: str) -> bool:
    """Return whether ``+PATH=...`` would be taken: by what a class's source says, without importing it.

    Args:
        target: Dotted path of the class of the node; ``None``: it names none.
        path: The key that it has not.
    """
    if not isinstance(target, str) or target.startswith("lightning_gans."):
        return False  # a config of ours has every key that its class takes
    home, _, name = target.rpartition(".")
    for file in _files_of(home):
        text = file.read_text(encoding="utf-8", errors="replace")
        if f"class {name}" not in text:
            continue
        for owner in ast.walk(ast.parse(text)):
            if isinstance(owner, ast.ClassDef) and owner.name == name:
                method = next((m for m in owner.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
                if method is None:
                    return False
                names = [one.arg for one in method.args.args + method.args.kwonlyargs]
                return method.args.kwarg is not None or path.rpartition(".")[2] in names
    return False


def _files_of(home: str) -> list[Path]:
    """List the source files that may define what a module or package of any installed library offers."""
    for entry in sys.path:
        place = Path(entry or ".", *home.split("."))
        if place.with_suffix(".py").is_file():
            return [place.with_suffix(".py")]
        if place.is_dir():
            return sorted(place.rglob("*.py"))
    return []


def _read_fields(target: str) -> list[str]:
    """Read the keys of a TypedDict of this package from its source, inherited ones first."""
    found = find_class(target)
    if found is None:
        return []
    owner, module = found
    bases = [_absolute(base.id, module) for base in owner.bases if isinstance(base, ast.Name)]
    names = [name for base in bases for name in _read_fields(base)]
    fields = (item.target for item in owner.body if isinstance(item, ast.AnnAssign))
    return list(dict.fromkeys([*names, *(field.id for field in fields if isinstance(field, ast.Name))]))


def _absolute(name: str, module: str) -> str:
    """Return the dotted path of a class that a module's source calls by a name."""
    return _imported(module).get(name, f"{module}.{name}")


@functools.cache
def _imported(module: str) -> dict[str, str]:
    """Read what a module imports from others: dotted paths by the names that its source calls them."""
    imports = (item for item in ast.walk(_parsed(module)) if isinstance(item, ast.ImportFrom))
    return {alias.asname or alias.name: f"{item.module}.{alias.name}" for item in imports for alias in item.names}


def _source_of(module: str) -> Path:
    return _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _origin(package: str, name: str) -> str | None:
    """Return the module that a package imports a name from."""
    imports = (node for node in ast.walk(_parsed(package)) if isinstance(node, ast.ImportFrom))
    return next((node.module for node in imports if name in {alias.name for alias in node.names}), None)


@functools.cache
def _parsed(module: str) -> ast.Module:
    return ast.parse(_source_of(module).read_text(encoding="utf-8"))
