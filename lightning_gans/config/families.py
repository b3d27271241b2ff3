"""List the families and read what they take, from their configs and sources. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import yaml

from lightning_gans.config.errors import unknown
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.config.signatures import read_attribute

_FOLDER = Path(CONF_DIR) / "model"


def list_models(kind: str | None = None) -> list[str]:
    """List the families by the names of their configs, which ``create_model`` and ``model=`` take.

    Args:
        kind: Only those that take data of this kind: ``image``, ``labelled``, ``points``, ``paired``, ``unpaired``,
            ``super_resolution`` or ``heads``; ``None``: all.

    Raises:
        ValueError: There is no such kind.
    """
    names = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
    if kind is None:
        return names
    kinds = {name: read_attribute(target_of(name), "data_kinds") for name in names}
    if kind not in (known := {one for some in kinds.values() for one in some}):
        raise unknown("kind", kind, known, value=kind)
    return [name for name in names if kind in kinds[name]]


def target_of(name: str) -> str:
    """Return the dotted path of a family's class.

    Raises:
        ValueError: There is no such family, with those that there are.
    """
    if name not in (known := list_models()):
        raise unknown("model", name, known, value=name)
    target: str = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["_target_"]
    return target


def parts_of(name: str) -> dict[str, list[str]]:
    """List the choices of every part that a family has (``objective``, ``network``, ...), by part."""
    node = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    parts = [key for entry in node["defaults"] if isinstance(entry, dict) for key in entry if (_FOLDER / key).is_dir()]
    return {part: sorted(path.stem for path in (_FOLDER / part).glob("*.yaml")) for part in parts}
