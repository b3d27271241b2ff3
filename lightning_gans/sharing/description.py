"""Describe a shared generator: the sections of its config, its counters, its scores and its licence."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_gans.config.local import READ_FROM
from lightning_gans.sharing.pretrained import FORMAT_VERSION, LIBRARY

SECTIONS = ("model", "data", "extractor")  # of a run's config; what else it says is the run's


def describe(
    config: Mapping[str, Any] | None, state: Mapping[str, Any], card: Mapping[str, Any] | None, licence: str
) -> dict[str, Any]:
    """Return the content of ``config.json``, of plain values.

    Args:
        config: What checkpoints carry, with the resolved config under ``resolved``.
        state: Counters, ``module.get_extra_state()``.
        card: Score card; ``None``: not scored.
        licence: Of the weights.

    Raises:
        ValueError: There is no config to rebuild the module by.
    """
    resolved = (config or {}).get("resolved") or {}
    if "_target_" not in (resolved.get("model") or {}):
        raise ValueError(
            "module.config: there is none, so that nobody could rebuild the module; make it by "
            "lightning_gans.build or load"
        )
    return {
        "library_name": LIBRARY,
        "version": _version(),
        "format": FORMAT_VERSION,
        "license": licence,
        "config": {name: _without_places(resolved[name]) for name in SECTIONS if resolved.get(name)},
        "state": dict(state),
        "card": None if card is None else dict(card),
    }


def find_card(file: Path, step: int) -> dict[str, Any] | None:
    """Return the newest score card of a checkpoint at a generator update, beside it or in its run's folder.

    Args:
        file: The checkpoint.
        step: Its generator update; cards of others are left out.
    """
    for path in (file.with_name(f"{file.stem}.scores.json"), file.parent.parent / "scores" / f"step-{step:06d}.json"):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(card, dict) and card.get("step") == step and isinstance(card.get("scores"), dict):
            return card
    return None


def _without_places(node: Any) -> Any:
    """Copy a config with the places of files reduced to their last part, which tells nothing of a machine."""
    if isinstance(node, Mapping):
        return {
            key: re.split(r"[\\/]", value.rstrip("\\/"))[-1]
            if key in READ_FROM and isinstance(value, str)
            else _without_places(value)
            for key, value in node.items()
        }
    return [_without_places(one) for one in node] if isinstance(node, list | tuple) else node


def _version() -> str:
    try:
        return importlib.metadata.version(LIBRARY)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
