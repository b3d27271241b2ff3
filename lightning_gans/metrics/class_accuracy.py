"""Compute the accuracy of a classifier on samples of known classes."""

from __future__ import annotations

import torch

from lightning_gans.metrics.labelled import LabelledBuffered


class ClassAccuracy(LabelledBuffered):
    """Compute the share of samples that the extractor takes for the class that they were made for.

    Beside it is its accuracy on the real images, most of which it was trained on; the card has ``extractor_accuracy``,
    that on images that it has not seen. A generator with one good image a class has 1: look at ``class_ms_ssim`` too.
    """

    name = "class_accuracy"
    feed = "labelled_logits"
    scores = ("class_accuracy",)
    higher_is_better = True
    classifies = True

    def compute(self) -> dict[str, torch.Tensor]:
        """Return ``class_accuracy`` and ``class_accuracy_real``, from 0 to 1."""
        for c, (_, logits) in self.classes(1).items():
            self.note(c, logits.argmax(1).eq(c).double().mean())
        sides = {"class_accuracy": self.kept(False), "class_accuracy_real": self.kept(True)}
        return {name: logits.argmax(1).eq(labels).double().mean() for name, (logits, labels) in sides.items()}
