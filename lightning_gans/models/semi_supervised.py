"""Train a classifier on few labels and many images, as the discriminator of a GAN."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.labelled import balanced_indices
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.accuracy import Accuracy
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.runtime.distributed import mean_over_processes
from lightning_gans.runtime.precision import full_precision

UNLABELLED = -1  # in a batch's labels


class Classifying(Protocol):
    """Describe a discriminator that classifies too."""

    def classes_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, C, H, W) to raw logits of the classes (N, K) and features (N, F)."""


class SemiSupervisedGAN(AdversarialModule):
    """Train the semi-supervised GAN. Salimans et al. 2016, arXiv:1606.03498, section 5.

    The discriminator has a raw logit l_k for each of the K classes; generated images are one more, whose logit is 0.
    With Z(x) = sum_k exp l_k(x), an image is real with probability Z / (Z + 1), so that log Z is the usual logit:

        D: -E[log P(y | x)] over labelled images - w (E[log s(log Z(x))] + E[log(1 - s(log Z(G(z))))]) / 2
        G: |E[f(x)] - E[f(G(z))]|^2 / F, the mean over the F features f of the last hidden layer

    P is the softmax of the l_k. The half is ``model.objective.d_weight``. Each discriminator update takes
    ``labelled_batch_size`` of the ``labels`` labelled training images beside its batch, whose own labels it does not
    read. With loaders in the place of an image set of this package, the labels from 0 of a batch are used instead, and
    -1 is an image without one. ``accuracy`` in the logs is that of the argmax on the test images, or on the held-out
    ones (``data.val_fraction``). Samples come from an average of the generator, which the paper has not:
    ``model.ema=null``.

    Args:
        generator: Player.
        discriminator: Player, classifies; has ``classes_and_features``, see ``networks/semi_supervised.py``.
        labels: Labelled training images, drawn by ``seed``, equally many of each class; ``None``: all.
        labelled_batch_size: Labelled images of a discriminator update, over all processes and micro-batches.
        unsupervised_weight: Weight w of the discriminator's other terms, >= 0; 0: a classifier of the labelled images
            alone.
        feature_matching: Let the generator match features; ``False``: minimise its objective.
        test_every_n_train_steps: Generator updates between measurements of the accuracy; ``None``: there are none.
        **options: See ``AdversarialModule``.
    """

    data_kinds = ("labelled",)

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        labels: PositiveInt | None = 100,
        labelled_batch_size: PositiveInt = 100,
        unsupervised_weight: NonNegative = 1.0,
        feature_matching: bool = True,
        test_every_n_train_steps: PositiveInt | None = 500,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(d_weight=0.5),
            "batch_size": 100,
            "latent": "unit_uniform",
            "g_optimizer": adam(3e-3),
            "d_optimizer": adam(3e-3),
        }
        super().__init__(generator, discriminator, **(paper | options))
        if not hasattr(discriminator, "classes_and_features"):
            name = f"{type(discriminator).__module__.rpartition('.')[2]}.{type(discriminator).__name__}"
            raise ConfigError("model.discriminator", name, "does not classify; use model/network=semi_supervised")
        if labelled_batch_size % self.accumulate:
            rule = f"must be a multiple of model.accumulate={self.accumulate}"
            raise ConfigError("labelled_batch_size", labelled_batch_size, rule)
        if feature_matching and self.g_batch_size is not None:
            raise ConfigError("g_batch_size", self.g_batch_size, "must be null with model.feature_matching=true")
        self.labels, self.labelled_batch_size = labels, labelled_batch_size
        self.unsupervised_weight, self.feature_matching = unsupervised_weight, feature_matching
        every = test_every_n_train_steps
        self.test = None if every is None else Accuracy(every_n_train_steps=every)
        self._labelled: tuple[Tensor, Tensor] | None = None  # images and labels, a function of the set and the seed

    @property
    def classifier(self) -> Classifying:
        """Return the discriminator, which classifies too."""
        return self.discriminator  # type: ignore[return-value]

    def configure_callbacks(self) -> list[Callback]:
        """Return the callback that measures the accuracy, for any Trainer."""
        return [] if self.test is None else [self.test]

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Return the batch sizes to divide among processes, that of labelled images too."""
        return {**super().batch_sizes, "labelled_batch_size": self.labelled_batch_size}

    def on_fit_start(self) -> None:
        """Read the labelled images, and compile the networks if asked for."""
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            labels = data.train_images.entries("label")
            if labels is None:
                raise ValueError("data: has no 'label' to learn from")
            n = len(labels) if self.labels is None else self.labels
            batch = data.training_examples(balanced_indices(labels, n, self.seed).tolist())
            self._labelled = batch["image"].to(self.device).to(self.dtype), batch["label"].to(self.device)

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the cross entropy of labelled images and the base's weighted terms."""
        terms = {"supervised": self.supervised_loss(batch)}
        if self.unsupervised_weight:
            other = super().discriminator_loss(batch)
            terms |= {name: self.unsupervised_weight * term for name, term in other.items()}
        return terms

    def supervised_loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy of the classes of labelled images: drawn ones, else those of the batch."""
        if self._labelled is None:
            if "label" not in batch:
                raise ValueError(f"data: batches have {', '.join(batch)}, and no 'label' to learn from")
            images, labels = batch["image"], batch["label"]
        else:
            n = self.labelled_batch_size // (self.world_size * self.accumulate)
            drawn = (self.uniform(n, dtype=torch.float32) * len(self._labelled[1])).long()
            images, labels = (rows[drawn.clamp(max=len(self._labelled[1]) - 1)] for rows in self._labelled)
        logits = full_precision(self.classifier.classes_and_features(self.augmented(images))[0])
        losses = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
        return losses / (labels != UNLABELLED).sum().clamp(min=1)

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the squared distance of mean features, or the base's terms."""
        if not self.feature_matching:
            return super().generator_loss(batch)
        if not self.reuse_fakes:
            self.make_fakes(len(batch["image"]))
        with torch.no_grad():
            real = self.mean_features(batch["image"])
        return {"matching": (self.mean_features(self._fake) - real).square().mean()}

    def mean_features(self, images: Tensor) -> Tensor:
        """Return the mean features (F,) of augmented images, over all processes."""
        features = self.classifier.classes_and_features(self.augmented(images))[1]
        return mean_over_processes(full_precision(features).mean(0), self.reader.weight)

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Return raw logits of the classes (N, K) of images (N, C, H, W) in [-1, 1], on the module's device."""
        with evaluating(self.discriminator):
            return full_precision(self.classifier.classes_and_features(images)[0])
