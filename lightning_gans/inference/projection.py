"""Project pictures into the styles of a generator (Karras et al. 2020, arXiv:1912.04958, section 5 and appendix D)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.losses.perceptual import Perceptual
from lightning_gans.models.ema import evaluating
from lightning_gans.models.styled import StyleModule
from lightning_gans.runtime.seeding import derive_seed

Distance = Callable[[Tensor, Tensor], Tensor]
LAYERS = ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4")
AMONG = 10000  # styles that the first one and the noise on it are measured from
SMALLEST = 8  # side of noise maps that are not halved further


class Projection(NamedTuple):
    """Hold what a picture was projected to.

    Attributes:
        styles: (L, style_dim); of ``w`` all alike.
        noise: Of every layer, (1, 1, H, W).
        image: The generator's picture of both, (C, H, W) in [-1, 1].
        distance: Of that to the target.
    """

    styles: Tensor
    noise: list[Tensor]
    image: Tensor
    distance: float


def read_target(path: str, channels: int, size: int) -> Tensor:
    """Read a picture, its middle square reduced or enlarged to ``size``; (C, H, W) in [-1, 1].

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        with Image.open(Path(path).expanduser()) as file:
            picture = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise ConfigError("input", path, f"cannot be read as a picture ({type(error).__name__})") from error
    picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(size, size, -1)
    return values.permute(2, 0, 1).float() / 127.5 - 1


def pyramid_distance(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of pixels, averaged over scales halved down to 8 pixels a side, a scalar.

    What stands in for a perceptual distance where no network's weights are given.
    """
    differences = []
    while True:
        differences.append((image - target).square().mean())
        if min(image.shape[-2:]) <= SMALLEST:
            return torch.stack(differences).mean()
        image, target = F.avg_pool2d(image, 2), F.avg_pool2d(target, 2)


def vgg_distance(weights: str) -> Distance:
    """Return the distance of features in VGG19, normalised over channels as LPIPS does, all layers and maps alike.

    Args:
        weights: Path of torchvision's weights.

    Raises:
        ConfigError: They cannot be used.
    """
    network = Perceptual(weights, LAYERS, instead="")
    try:
        network.load_weights(None)  # type: ignore[arg-type]
    except ConfigError as error:
        raise ConfigError("perceptual_weights", weights, error.rule) from error

    def distance(image: Tensor, target: Tensor) -> Tensor:
        pairs = zip(network(image), network(target), strict=True)
        return torch.stack([(F.normalize(a) - F.normalize(b)).square().sum(1).mean() for a, b in pairs]).mean()

    return distance


def noise_correlation(maps: Sequence[Tensor]) -> Tensor:
    """Return how much noise (1, 1, H, W) goes together with itself a pixel further, on all scales; a scalar.

    Squared mean products with the neighbour on either side, of the maps and of their halves down to 8x8, so that the
    noise cannot carry the picture.
    """
    total = maps[0].new_zeros(())
    for noise in maps:
        while True:
            total = total + sum((noise * noise.roll(1, axis)).mean().square() for axis in (2, 3))
            if noise.shape[-1] <= SMALLEST:
                break
            noise = F.avg_pool2d(noise, 2) * 2  # of unit variance again
    return total


class Projector:
    """Search styles and noise whose picture is like a target.

    Adam moves the style, first with noise on it that fades over three quarters of the steps, and the maps of noise,
    which are kept at mean 0 and variance 1; the rate rises over a twentieth and falls over the last quarter.

    Args:
        module: Whose sampling network is used.
        distance: Of two batches of images (N, C, H, W), a scalar.
        steps: Steps of Adam.
        lr: Its largest rate.
        noise_weight: Factor of ``noise_correlation``.
        seed: Of all that is drawn.
    """

    def __init__(
        self,
        module: StyleModule,
        distance: Distance,
        *,
        steps: int = 1000,
        lr: float = 0.1,
        noise_weight: float = 1e5,
        seed: int = 0,
    ) -> None:
        self.module, self.distance = module, distance
        self.steps, self.lr, self.noise_weight, self.seed = steps, lr, noise_weight, seed
        pieces = [module.to_styles(*module.sampling_inputs(range(i, i + 1000), seed)) for i in range(0, AMONG, 1000)]
        styles = torch.cat(pieces)
        self.mean = styles.mean(0)
        self.deviation = float((styles - self.mean).square().sum(1).mean().sqrt())

    def project(self, target: Tensor, *, plus: bool = False, start: Projection | None = None) -> Projection:
        """Project a picture (C, H, W) in [-1, 1].

        Args:
            target: Of the generator's size.
            plus: Search a style for every layer, the space w+.
            start: Where to begin; ``None``: at the mean style, with new noise.
        """
        network, rng = self.module.sampler, torch.Generator().manual_seed(derive_seed("project", self.seed))
        layers = int(network.style_layers)  # type: ignore[arg-type]
        target = target[None].to(self.mean)
        styles = self.mean.expand(layers if plus else 1, -1).clone() if start is None else start.styles.clone()
        if start is None:
            shapes = network.noise_shapes
            noise = [torch.randn(1, *shape, generator=rng).to(self.mean) for shape in shapes]  # type: ignore
        else:
            noise = [own.clone() for own in start.noise]
        weights = [styles.requires_grad_(True), *(own.requires_grad_(True) for own in noise)]
        optimizer = torch.optim.Adam(weights, lr=self.lr)
        with evaluating(network), torch.enable_grad():
            for step in range(self.steps):
                at = step / self.steps
                for group in optimizer.param_groups:
                    group["lr"] = self.lr * _ramp(at)
                blur = 0.0 if start is not None else 0.05 * self.deviation * max(0.0, 1 - at / 0.75) ** 2
                shaken = styles + blur * torch.randn(styles.shape, generator=rng).to(styles)
                images = network.synthesis(shaken.expand(layers, -1)[None], noise)  # type: ignore[operator]
                loss = self.distance(images, target) + self.noise_weight * noise_correlation(noise)
                gradients = torch.autograd.grad(loss, weights)
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
                optimizer.step()
                with torch.no_grad():
                    for own in noise:
                        own.sub_(own.mean()).mul_(own.square().mean().rsqrt())
            with torch.no_grad():
                found = styles.detach().expand(layers, -1).clone()
                images = network.synthesis(found[None], noise)  # type: ignore[operator]
                distance = float(self.distance(images, target))
        made = [own.detach() for own in noise]
        return Projection(found, made, images[0].clamp(-1, 1), distance)


def _ramp(at: float) -> float:
    """Return the factor of the rate after a share ``at`` of the steps."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - at) / 0.25))
    return down * min(1.0, at / 0.05 + 1e-3)
