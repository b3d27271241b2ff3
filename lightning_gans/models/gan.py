"""Train the first GAN."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import SGD
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Positive, checked
from lightning_gans.data.base import data_of
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch
from lightning_gans.models.options import AdversarialOptions
from lightning_gans.networks import mlp
from lightning_gans.schedules.learning_rate import ExponentialDecay


class GAN(AdversarialModule):
    """Train the first GAN. Goodfellow et al. 2014, arXiv:1406.2661.

    With z uniform in [-1, 1) and s the logistic function,

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))]

    G minimises -E[log s(D(G(z)))], or E[log(1 - s(D(G(z))))] with ``model/objective=saturating``, the minimax game of
    equation 1, after ``n_critic`` (k in the paper) updates of D. Dense networks, D of maxout units with dropout; SGD
    whose rate decays by 1.000004 per update while its momentum rises. Samples come from an average of the generator,
    which the paper has not: ``model.ema=null``. ``experiment=gan_mnist`` is the authors' released
    configuration for MNIST.

    Args:
        generator: Player.
        discriminator: Player.
        max_norm: Largest norm of the weights into a unit of D's dense layers, kept after each of its updates; spectral
            norm has a bound of its own. ``None``: no bound, as in the authors' released configuration for MNIST.
        marginal_bias: Start the biases of G's last layer where images are the mean of the training images, as in the
            same configuration; needs ``lightning_gans.networks.mlp.Generator`` and images.
        **options: See ``AdversarialModule``.
    """

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        max_norm: Positive | None = 1.9365,
        marginal_bias: bool = False,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        decay = partial(ExponentialDecay, gamma=0.999996, floor=1e-6, momentum=0.7, momentum_updates=150_000)
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "batch_size": 100,
            "latent": "uniform",
            "g_optimizer": partial(SGD, lr=0.1, momentum=0.5),
            "d_optimizer": partial(SGD, lr=0.1, momentum=0.5),
            "g_scheduler": decay,
            "d_scheduler": decay,
        }
        super().__init__(generator, discriminator, **(paper | options))
        if marginal_bias and not (isinstance(generator, mlp.Generator) and len(generator.shape) == 3):
            rule = f"{type(generator).__module__.rpartition('.')[2]}.Generator has no bias per value of an image"
            raise ConfigError("marginal_bias", True, f"{rule}; use model/network=mlp on images, or set it to false")
        self.max_norm, self.marginal_bias = max_norm, marginal_bias
        layers = [layer for layer in discriminator.modules() if isinstance(layer, nn.Linear)]
        self._bounded = [layer.weight for layer in layers if not hasattr(layer, "parametrizations")]

    def on_fit_start(self) -> None:
        """Compile as the base does; before the first step set the generator's last biases, if asked for."""
        super().on_fit_start()
        if self.marginal_bias and self.iteration == 0:
            mean = mean_image(data_of(self.trainer, "model.marginal_bias=true").train_images)
            for network in (self.generator, self.generator_ema):
                if network is not None:
                    network.start_at(mean)  # type: ignore[operator]

    def update(self, player: str, batch: Batch) -> None:
        """Update ``player`` once; the discriminator's weights are bounded after its own update."""
        super().update(player, batch)
        if player == "d" and self.max_norm is not None:
            with torch.no_grad():
                for weight in filter(lambda weight: weight.requires_grad, self._bounded):  # not of frozen layers
                    weight.copy_(weight.renorm(2, 0, self.max_norm))


def mean_image(images: ImageDataset) -> Tensor:
    """Return the mean of an image set's uint8 images, (C, H, W) float64 in [-1, 1]; sums of integers, so exact."""
    total = sum(
        images.fetch(torch.arange(start, min(start + 1000, len(images))))["image"].sum(0, dtype=torch.int64)
        for start in range(0, len(images), 1000)
    )
    return torch.as_tensor(total).double() / (127.5 * len(images)) - 1
