"""Declare options of sampling, such as truncation: numbers given by name to everything that samples.

A family names those that it has, with type and meaning: ``sampling_options = {"truncation": TRUNCATION}``. Then
``module.sample(8, truncation=0.5)`` and the commands ``sample``, ``evaluate``, ``interpolate`` and ``demo`` take them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import torch
from annotated_types import Ge, Le
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.families import list_models, target_of
from lightning_gans.config.types import check_value
from lightning_gans.models.conditions import Conditions

Options = Mapping[str, float]  # by name
Given = Sequence[Any] | float | None  # values of a condition, or an option of sampling; None: left out


class SamplingOption(NamedTuple):
    """Describe one option of sampling, which a sample is a function of as it is of its seed.

    Attributes:
        type: Annotation with the range, e.g. ``Annotated[float, Gt(0)]``.
        meaning: One line.
    """

    type: Any
    meaning: str


class Sampled(Protocol):
    """Describe what samples: a module with conditions and options of sampling."""

    sampling_options: ClassVar[Mapping[str, SamplingOption]]
    conditioning: Conditions

    @property
    def latent(self) -> str:
        """Return the distribution of the latents."""


TRUNCATION = SamplingOption(
    Annotated[float, Ge(0.02)], "draw components of latents again until they are within +- this; less varied, cleaner"
)
STAGE = SamplingOption(Annotated[int, Ge(1), Le(2)], "whose images: 1, stage I's, enlarged, or 2, stage II's")


def split_given(module: Sampled, given: Mapping[str, Given]) -> tuple[dict[str, Sequence[Any]], dict[str, float]]:
    """Split what is given by name into values of conditions and the family's options of sampling.

    Args:
        module: The module.
        given: By name; ``None``: left out.

    Raises:
        ConfigError: An option that the family does not have, with the families that do, or a value out of range.
    """
    conditions: dict[str, Sequence[Any]] = {}
    options: dict[str, float] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in module.sampling_options:
            check_value(name, value, module.sampling_options[name].type)
            options[name] = value  # type: ignore[assignment]
        elif isinstance(value, int | float) and not module.conditioning.takes(name):
            raise refused(module, name, value)
        else:
            conditions[name] = value  # type: ignore[assignment]
    if "truncation" in options and module.latent != "normal":
        raise ConfigError("truncation", options["truncation"], f"needs latent=normal, not {module.latent}")
    return conditions, options


def refused(module: Sampled, name: str, value: object) -> ConfigError:
    """Make the error of an option of sampling that a family does not have."""
    having = families_with(name)
    rule = f"{type(module).__name__} has no such option of sampling; "
    return ConfigError(name, value, rule + (f"model={', '.join(having)} has it" if having else "no family has"))


def families_with(name: str) -> list[str]:
    """List the families that have an option of sampling."""
    found = []
    for family in list_models():
        home, _, owner = target_of(family).rpartition(".")
        if name in getattr(importlib.import_module(home), owner).sampling_options:
            found.append(family)
    return found


def resample_beyond(row: Tensor, threshold: float, rng: torch.Generator) -> None:
    """Draw those of standard normal numbers (Z,) that are beyond +- ``threshold`` again, until none is; in place.

    Brock et al. 2019, arXiv:1809.11096, section 3.1. Numbers within the threshold stay as they are.
    """
    while (beyond := row.abs() > threshold).any():
        row[beyond] = torch.empty(int(beyond.sum()), dtype=row.dtype).normal_(generator=rng)
