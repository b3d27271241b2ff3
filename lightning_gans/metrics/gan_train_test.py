"""Compute GAN-train and GAN-test accuracies (Shmelkov, Schmid, Alahari 2018, arXiv:1807.09499)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.extractors.fitting import accuracy_on, classifier_size, cut_at, fit_classifier
from lightning_gans.metrics.labelled import LabelledBuffered
from lightning_gans.networks.classifier import Classifier


class GANTrainTest(LabelledBuffered):
    """Compute how well samples teach a classifier, and how well one of real images knows them.

    ``gan_train``: accuracy on real images of a classifier that was trained on samples; low if they lack quality or
    variety. ``gan_test``: accuracy on samples of one that was trained on real images; low if they lack quality. Real
    images are the last fifth, which the second classifier has not seen either: its accuracy on them,
    ``gan_train_real``, is what both compare with.

    Args:
        epochs: Passes of each training.
        width: Channels of the classifier's first convolution.
        limit: Number of images of a side that it looks at.
    """

    name = "gan_train_test"
    feed = "labelled_images"
    scores = ("gan_train", "gan_test")
    higher_is_better = True
    min_size = 8
    min_images = 10

    @checked
    def __init__(self, *, epochs: PositiveInt = 15, width: PositiveInt = 16, limit: PositiveInt = 20000) -> None:
        super().__init__()
        self.epochs, self.width, self.limit = epochs, width, limit

    def compute(self) -> dict[str, Tensor]:
        """Return ``gan_train``, ``gan_train_real`` and ``gan_test``, from 0 to 1."""
        (real, of_real), (fake, of_fake) = self.kept(True), self.kept(False)
        cut, size = cut_at(len(real)), classifier_size(real.shape[2:])
        make = functools.partial(
            Classifier,
            channels=real.shape[1],
            num_classes=1 + int(max(of_real.max(), of_fake.max())),
            image_size=size,
            width=self.width,
        )
        fit = functools.partial(
            fit_classifier, make=make, size=size, epochs=self.epochs, seed=self.seed, device=real.device
        )
        by_reals, by_fakes = fit(real[:cut].cpu(), of_real[:cut].cpu()), fit(fake.cpu(), of_fake.cpu())
        held_out = real[cut:], of_real[cut:]
        return {
            "gan_train": torch.tensor(accuracy_on(by_fakes, *held_out, size=size)),
            "gan_train_real": torch.tensor(accuracy_on(by_reals, *held_out, size=size)),
            "gan_test": torch.tensor(accuracy_on(by_reals, fake, of_fake, size=size)),
        }

    def settings(self) -> dict[str, object]:
        """Return the number of samples that taught."""
        return {"gan_train_n": self.n if self.limit is None else min(self.limit, self.n)}
