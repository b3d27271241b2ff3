"""Comparisons of ``evaluate``: a checkpoint or a folder with real images."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lightning_gans.checkpoints import files, load
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.image_files import OnError
from lightning_gans.evaluation.sources import folder
from lightning_gans.extractors.base import Extractor
from lightning_gans.extractors.inception import Inception
from lightning_gans.images.size import Size
from lightning_gans.models.base import GenerativeModule


class Comparison(NamedTuple):
    """Hold the candidate and the reference of an evaluation, and the extractor of their features.

    Attributes:
        candidate: Module or images to score.
        reference: The real images.
        examples: Set whose examples the candidate translates; ``None``: it does not translate.
        make: Makes the extractor.
        path: File of the candidate's checkpoint; ``None``: it is a folder.
        place: The checkpoint as it was named, where it lies in this package or in the hub's cache.
    """

    candidate: GenerativeModule | ImageDataModule
    reference: ImageDataModule
    examples: ImageDataModule | None
    make: Callable[[], Extractor]
    path: Path | None = None
    place: str | None = None

    @property
    def card_name(self) -> str:
        """Return the name of the card's file."""
        if self.place is not None:
            return f"{re.split('[:/]', self.place.partition('@')[0])[-1]}.scores.json"
        return f"{self.path.stem if self.path else 'candidate'}.scores.json"

    @property
    def folder(self) -> Path | None:
        """Return the folder of the checkpoint, unless nothing is to be written there."""
        return self.path.parent if self.path and self.place is None else None

    def summary(self, card: dict[str, Any]) -> str:
        """Return the scores, line by line, and last what was compared with what."""
        scores = "".join(f"{name:<16} {value:.5g}\n" for name, value in card["scores"].items())
        kind = "images" if self.path is None else "samples"
        if self.examples is not None:
            kind = f"translations ({card['translated']})"
        against = f"{card['n_real']:,} real images" if card["n_real"] else "their targets"
        return f"{scores}{card['n']:,} {kind} against {against}"


def of_folders(
    candidate: str,
    reference: str,
    *,
    image_size: Size | None,
    channels: int,
    make: Callable[[], Extractor] | None,
    on_error: OnError = "stop",
) -> Comparison:
    """Compare two folders or zips.

    Args:
        candidate: Images to score.
        reference: Real images.
        image_size: See ``sources.folder``.
        channels: Of both, 1 to 4.
        make: Makes the extractor; ``None``: Inception.
        on_error: See ``FileReader``.

    Raises:
        FileNotFoundError, ValueError: See ``sources.folder``.
    """
    how: dict[str, Any] = {"image_size": image_size, "channels": channels, "on_error": on_error}
    images, real = folder(candidate, "candidate", **how), folder(reference, "reference", **how)
    return Comparison(images, real, None, make or Inception)


def of_checkpoint(
    place: str,
    reference: str | None,
    *,
    data: dict[str, Any],
    direction: str,
    make: Callable[[], Extractor] | None,
    device: torch.device,
    trust: Sequence[str],
    on_error: OnError = "stop",
) -> Comparison:
    """Compare a trained module with the images that it was trained on, or with a folder of others.

    Args:
        place: See ``files.find``.
        reference: Folder or zip of real images; ``None``: those that it was trained on.
        data: What is said of these: ``root``, ``held_out``; see ``checkpoint.real_data``.
        direction: Of a module that translates.
        make: Makes the extractor; ``None``: as in training.
        device: Where the module goes.
        trust: Packages of your own that the checkpoint may name.
        on_error: Of ``reference``; see ``FileReader``.

    Raises:
        FileNotFoundError, ValueError: See ``checkpoint`` and ``sources.folder``.
    """
    path = files.find(place)
    named = place if files.is_ours(place, path) else None
    content = files.read(path)
    module = load.rebuild(content, trust=trust).to(device)
    trained_on: ImageDataModule = load.real_data(content, **data, trust=trust)
    made_by = make or (lambda: load.extractor_of(content, trained_on, trust=trust)())
    examples = trained_on if trained_on.translates else None
    if not reference:
        return Comparison(module, trained_on, examples, made_by, path, named)
    channels = examples.source_channels if examples and direction == "b2a" else trained_on.channels
    how: dict[str, Any] = {"image_size": trained_on.image_size, "channels": channels, "on_error": on_error}
    reader = trained_on.source.reader
    if reader is not None:  # read as in training
        how |= {"background": reader.background, "bits": reader.bits}
    others = folder(reference, "reference", **how)
    return Comparison(module, others, examples, made_by, path, named)
