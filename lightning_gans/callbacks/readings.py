"""Read how a training fares: what the discriminator tells apart, how samples vary, how near they are to its images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.data.base import ImageDataModule
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.ema import evaluating
from lightning_gans.networks.layers import BATCH_NORMS

SAMPLES = 128  # compared with as many images
SMALL_SET = 5000  # images, up to which samples are compared with all of them
_SIDE = 16  # to which larger images are shrunk
_SIGNIFICANT = 4.0  # standard errors by which training and held-out logits have to differ


class LogitRecorder:
    """Record the logits that a module's objective is given in the steps between ``start`` and ``stop``.

    Args:
        module: A family; one without logits of a discriminator has nothing to record.
    """

    def __init__(self, module: Any) -> None:
        judges = getattr(module, "judges_by_logits", False)
        self.objective = getattr(module, "objective", None) if judges else None
        self._logits: list[tuple[Tensor, Tensor]] = []

    def start(self) -> None:
        """Listen to the objective."""
        self.stop()
        self._logits = []
        if self.objective is None:
            return
        compute = self.objective.discriminator

        def recorded(real: Tensor, fake: Tensor, *others: Any, **options: Any) -> dict[str, Tensor]:
            self._logits.append((real.detach().flatten(), fake.detach().flatten()))
            terms: dict[str, Tensor] = compute(real, fake, *others, **options)
            return terms

        object.__setattr__(self.objective, "discriminator", recorded)

    def stop(self) -> None:
        """Leave the objective as it was."""
        if self.objective is not None:
            self.objective.__dict__.pop("discriminator", None)

    def readings(self) -> dict[str, Tensor]:
        """Return ``logit_gap``, and ``real_accuracy`` and ``fake_accuracy`` where logits have a midpoint.

        The gap is E[D(x)] - E[D(G(z))]; the accuracies are the shares of logits on the right side of the midpoint.
        """
        if not self._logits:
            return {}
        real, fake = (torch.cat(logits).float() for logits in zip(*self._logits, strict=True))
        found, middle = {"logit_gap": real.mean() - fake.mean()}, self.objective.midpoint  # type: ignore[union-attr]
        if middle is not None:
            found |= {"real_accuracy": (real > middle).float().mean(), "fake_accuracy": (fake < middle).float().mean()}
        return found


def sample_readings(samples: Tensor, train: Tensor, held_out: Tensor | None = None) -> dict[str, float]:
    """Compare samples with training images.

    Args:
        samples: (N, values), N >= 2.
        train: Training images (M, values), M >= 2.
        held_out: Other real images (K, values), to judge memorisation by; ``None``: training images, each of which is
            compared with all but itself.

    Returns:
        ``diversity``, the mean distance between two samples as a multiple of that between two training images, and
        ``novelty``, the median distance from a sample to the nearest training image as a multiple of the same from
        other real images; without those whose denominator is 0.
    """
    found = {}
    chosen = train[_spread(len(train), SAMPLES)]
    spread = float(F.pdist(chosen).mean())
    if spread > 0:
        found["diversity"] = float(F.pdist(samples).mean()) / spread
    if held_out is not None:
        usual = torch.cdist(held_out, train).amin(1)
    else:
        usual = torch.cdist(chosen, train).topk(2, largest=False).values[:, 1]
    if (distance := float(usual.median())) > 0:
        found["novelty"] = float(torch.cdist(samples, train).amin(1).median()) / distance
    return found


def overfitting(train: Tensor, held_out: Tensor, gap: float) -> float:
    """Return how far held-out logits lie on the way from those of training images to those of generated ones.

    This is r_v of Karras et al. 2020 (arXiv:2006.06676), 0 without overfitting and 1 where held-out images are taken
    for generated ones; 0 too where the difference may be chance.

    Args:
        train: Logits of training images (N,).
        held_out: Logits of held-out images (M,).
        gap: E[D(x)] - E[D(G(z))].
    """
    difference = float(train.mean() - held_out.mean())
    error = float((train.var() / len(train) + held_out.var() / len(held_out)).sqrt())
    if gap <= 0 or difference < _SIGNIFICANT * error:
        return 0.0
    return difference / gap


class RealImages:
    """Hold the training images, and held-out ones if there are any, that samples are compared with.

    Args:
        data: Images or points, none of which is translated.
    """

    def __init__(self, data: ImageDataModule) -> None:
        n = len(data.train_images)
        self.are_all = n <= SMALL_SET
        chosen = _spread(n, n if self.are_all else 4 * SAMPLES)
        parts = [chosen[start : start + SAMPLES] for start in range(0, len(chosen), SAMPLES)]
        self.train = torch.cat([_flat(data.training_examples(part)["image"]) for part in parts])  # (M, values)
        self.held_out: Tensor | None = None
        if data.val_fraction:
            self.held_out = _flat(data.held_out_examples(_spread(len(data.val_images), SAMPLES))["image"])

    def readings(self, samples: Tensor) -> dict[str, float]:
        """Compare samples (N, ...) with them; ``novelty`` only where they are a small set."""
        found = sample_readings(_flat(samples.cpu().float()), self.train, self.held_out)
        return found if self.are_all else {key: value for key, value in found.items() if key != "novelty"}


def logits_of_real(module: AdversarialModule, data: ImageDataModule) -> tuple[Tensor, Tensor]:
    """Return the discriminator's logits of training and of held-out images, (N,) each, and change nothing.

    Dropout is off, and batch norm uses the statistics of each batch, as in training.
    """
    n = min(SAMPLES, len(data.train_images), len(data.val_images))
    found = []
    with torch.no_grad(), judging(module.discriminator):
        for examples, count in (
            (data.training_examples, len(data.train_images)),
            (data.held_out_examples, len(data.val_images)),
        ):
            batch = {key: values.to(module.device) for key, values in examples(_spread(count, n)).items()}
            found.append(module.logits(batch["image"].to(module.dtype), *module.conditioning.of(batch)))
    return found[0], found[1]


@contextmanager
def judging(network: nn.Module) -> Iterator[nn.Module]:
    """Put a network in evaluation mode, but batch norm by the statistics of its batch; restore it afterwards."""
    norms = [layer for layer in network.modules() if isinstance(layer, BATCH_NORMS) and layer.track_running_stats]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    with evaluating(network):
        try:
            for norm in norms:
                norm.training, norm.momentum, norm.num_batches_tracked = True, 0.0, None
            yield network
        finally:
            for norm, momentum, batches in before:
                norm.momentum, norm.num_batches_tracked = momentum, batches


def _spread(n: int, count: int) -> list[int]:
    """Return ``count`` numbers, or as many as there are, spread evenly over those below ``n``."""
    return torch.linspace(0, n - 1, min(n, count)).round().long().tolist()


def _flat(images: Tensor) -> Tensor:
    """Return images as rows of values, (N, values), larger ones shrunk."""
    if images.dim() == 4 and max(images.shape[2:]) > _SIDE:
        height, width = (min(side, _SIDE) for side in images.shape[2:])
        images = F.adaptive_avg_pool2d(images, (height, width))
    return images.flatten(1)
