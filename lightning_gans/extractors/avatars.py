"""Features of a classifier of avatars' attributes that is embedded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.avatars.parts import EXPRESSION, NAMED, Expressions, Label, Parts, class_count, kinds
from lightning_gans.config.errors import ConfigError
from lightning_gans.extractors.base import Extractor, Features, file_hash, prepared
from lightning_gans.extractors.classifier import read_classifier

AVATARS_WEIGHTS = Path(__file__).with_name("avatars.pt")
ATTRIBUTES_WEIGHTS = Path(__file__).with_name("avatar_attributes.pt")  # judge of samples, of eight times the identities


class AvatarsExtractor(Extractor):
    """Extract features by a small network that tells all attributes of avatars at once.

    Its weights ship with the package (CONTRIBUTING.md has the command); scores are named ``fd_avatars``,
    ``is_avatars``, ``kd_avatars``. The artwork that it was trained on is Avataaars by Pablo Stanley. The logits are
    those of one attribute; those of an expression are the sums of the log-probabilities of brows, eyes and mouth.

    Args:
        label: Attribute, or ``expression``, whose classes the logits are; ``None``: ``mouth``.
        expressions: Whose classes are ``all`` or the eight ``named`` ones.
        weights: File of that command; ``None``: the one that ships.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not of avatars' attributes.
    """

    def __init__(
        self, label: Label | None = None, expressions: Expressions = "all", weights: str | None = None
    ) -> None:
        super().__init__()
        path = AVATARS_WEIGHTS if weights is None else Path(weights).expanduser()
        self.network, content = read_classifier(path)
        if "heads" not in content:
            raise ConfigError("extractor.weights", weights, "is of a labelled set; say extractor=classifier")
        self.heads: dict[str, int] = content["heads"]
        self.parts: Parts = "all" if self.heads["mouth"] == len(kinds("mouth", "all")) else "avataaars"
        self.label: Label = label or "mouth"
        self.expressions = expressions
        self.name = "avatars" if weights is None else f"avatars_{content['name']}"
        self.accuracy = float(content["accuracy"])  # mean over attributes, on identities that it has not seen
        self.channels, self.image_size = content["network"]["channels"], content["network"]["image_size"]
        self.num_features = self.network.num_features
        self.num_classes = class_count(self.label, self.parts, expressions) or 0
        self.resize = f"bilinear to {self.image_size}x{self.image_size} with antialiasing, grey repeated"
        self.weights_hash = file_hash(path)

    def extract(self, images: Tensor) -> Features:
        """Compute features (N, F) and logits (N, K)."""
        features, logits = self.network(prepared(images, self.channels, self.image_size))
        parts = dict(zip(self.heads, torch.split(logits, list(self.heads.values()), 1), strict=True))
        return Features(features, self._expression(parts) if self.label == "expression" else parts[self.label])

    def _expression(self, parts: dict[str, Tensor]) -> Tensor:
        """Return the log-probabilities (N, K) of expressions, whose parts are independent given the image."""
        brows, eyes, mouth = (parts[name].log_softmax(1) for name in EXPRESSION)
        whole = brows[:, :, None, None] + eyes[:, None, :, None] + mouth[:, None, None, :]  # (N, brows, eyes, mouths)
        if self.expressions == "all":
            return whole.flatten(1)
        places = [[kinds(name, self.parts).index(part) for part in made] for name, made in _by_part()]
        return whole[:, places[0], places[1], places[2]]


def _by_part() -> list[tuple[str, tuple[str, ...]]]:
    """Return the brows, the eyes and the mouths of the named expressions, in their order."""
    return list(zip(EXPRESSION, zip(*NAMED.values(), strict=True), strict=True))
