"""Show paths, arithmetic and neighbours in a generator's latent space as rows of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.evaluation.sources import RealImages
from lightning_gans.extractors.base import Extractor
from lightning_gans.images.files import animate, save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import grid
from lightning_gans.metrics.path_length import lerp, path_for
from lightning_gans.metrics.prdc import NearestNeighbours
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.sampling_options import Given, split_given
from lightning_gans.models.styled import StyleModule, of_styles
from lightning_gans.runtime.seeding import derive_seed

MOVING = ("lerp", "slerp", "loop", "text")  # modes that are animated too
Between = Callable[[Tensor, Tensor, float], Tensor]


class Walker:
    """Walk through the latents of a module's samples.

    The first of ``module.sampling_inputs`` is walked through; the others, conditions, are those of the sample that a
    path starts from.

    Args:
        module: Module whose sampling network makes the images.
        seed: Seed of the samples.
        batch_size: Images at once, >= 1.
        **given: Values of conditions that rows of pictures have in turn, e.g. ``classes=[3, 7]``; left out or
            ``None``: drawn from the training set's. Options of sampling, e.g. ``truncation=0.5``.

    Raises:
        ValueError: A condition or option that the module does not take, or a value that is not allowed.
    """

    def __init__(self, module: GenerativeModule, *, seed: int = 0, batch_size: int = 64, **given: Given) -> None:
        self.module, self.seed, self.batch_size = module, seed, batch_size
        self.conditions, self.options = split_given(module, given)
        module.conditioning.check(self.conditions)
        module.prepare_sampling()
        self.network, self.styled = module.sampling_network(self.options), False
        self.between = path_for(module.latent)

    def use_styles(self, key: str = "space", value: str = "w") -> None:
        """Walk through styles from now on, on straight lines; ``key`` and ``value`` are for the message.

        Raises:
            ConfigError: The module has no styles.
        """
        styled = of_styles(self.module, key, value)
        self.network, self.styled = styled.sampling_network(self.options, from_styles=True), True
        self.between = lerp

    def inputs(self, indices: Sequence[int], **conditions: Sequence[Any]) -> tuple[Tensor, ...]:
        """Draw the network's inputs for samples number ``indices``; ``conditions`` in the place of the walker's.

        Latents and conditions, or styles alone.
        """
        given: dict[str, Given] = {**self.conditions, **self.options, **conditions}
        drawn = self.module.sampling_inputs(indices, self.seed, **given)
        return (of_styles(self.module, "space", "w").to_styles(*drawn),) if self.styled else drawn

    def images(self, latents: Tensor, others: Sequence[Tensor] = ()) -> Tensor:
        """Generate images (N, C, H, W) uint8 of latents (N, Z) and the other inputs."""
        batches = zip(*(torch.split(rows, self.batch_size) for rows in (latents, *others)), strict=True)
        return torch.cat([to_uint8(images) for images in self.module.generate(batches, self.network)])

    def paths(self, indices: Sequence[int], steps: int, path: Between) -> Tensor:
        """Walk from every even one of the samples to the odd one after it: (N / 2, steps, C, H, W) uint8."""
        (starts, *others), (ends, *_) = self.inputs(indices[0::2]), self.inputs(indices[1::2])
        stops = [path(starts, ends, at) for at in torch.linspace(0, 1, steps).tolist()]
        return self._rows(torch.stack(stops, 1), others)

    def loop(self, indices: Sequence[int], steps: int) -> Tensor:
        """Walk from each sample to the next, and from the last to the first: (N, steps, C, H, W) uint8."""
        latents, *others = self.inputs(indices)
        after = latents.roll(-1, 0)
        return self._rows(torch.stack([self.between(latents, after, i / steps) for i in range(steps)], 1), others)

    def grid(self, indices: Sequence[int], steps: int) -> Tensor:
        """Interpolate between four samples at the corners: (steps, steps, C, H, W) uint8."""
        latents, *others = self.inputs(indices)
        at, between = torch.linspace(0, 1, steps).tolist(), self.between
        left, right = (torch.cat([between(latents[i, None], latents[i + 2, None], a) for a in at]) for i in (0, 1))
        rows = torch.stack([between(left, right, a) for a in at], 1)
        return self._rows(rows, [other[:1].expand(steps, *other.shape[1:]) for other in others])

    def truncation(self, indices: Sequence[int], factors: Sequence[float], cutoff: int | None = None) -> Tensor:
        """Multiply the latents of samples by each factor: (N, factors, C, H, W) uint8.

        For Gaussian latents: less variety, and often better images (Brock et al. 2019, arXiv:1809.11096). Where there
        are styles, they are drawn towards their average, psi being the factor (Karras et al. 2019, arXiv:1812.04948);
        with ``cutoff`` those of the first so many layers only.

        Raises:
            ValueError: The generator divides latents by their length, which undoes it, or has no styles to cut off.
        """
        limits = {} if cutoff is None else {"cutoff": cutoff}
        if limits:
            of_styles(self.module, "cutoff", cutoff)
        if isinstance(self.module, StyleModule):
            own, columns = self.network, []
            for psi in factors:
                options = {**self.options, **limits, "psi": psi}
                self.network = self.module.sampling_network(options, from_styles=self.styled)
                columns.append(self.images(*_first_and_others(self.inputs(indices))))
            self.network = own
            return torch.stack(columns, 1)
        if self.module.normalizes_latents:
            name = type(self.module).__name__
            raise ConfigError("mode", "truncation", f"{name} divides latents by their length; choose another mode")
        latents, *others = self.inputs(indices)
        return self._rows(torch.stack([latents * factor for factor in factors], 1), others)

    def arithmetic(self, groups: Sequence[Sequence[int]]) -> Tensor:
        """Compute mean(a) - mean(b) + mean(c) of latents (Radford et al. 2016, arXiv:1511.06434).

        Args:
            groups: Numbers of the samples of a, b and c, n each; every group has one of the walker's conditions.

        Returns:
            (4, n + 1, C, H, W) uint8: the samples of a, b and c with their mean last; then the result, and n more with
            a little noise on its latent.
        """
        inputs = []
        for i, group in enumerate(groups):
            one = {name: [values[i % len(values)]] for name, values in self.conditions.items()}
            inputs.append(self.inputs(group, **one))
        means = [latents.mean(0, keepdim=True) for latents, *_ in inputs]
        rows = [torch.cat([latents, mean]) for (latents, *_), mean in zip(inputs, means, strict=True)]
        result = means[0] - means[1] + means[2]
        rng = torch.Generator().manual_seed(derive_seed("around", self.seed))
        noise = torch.randn(len(groups[0]), result.shape[1], generator=rng).to(result) * 0.25
        others = [other[:1] for other in inputs[2][1:]]
        rows.append(torch.cat([result, result + noise]))
        given = [torch.cat([x[:1] for x in pieces]) for pieces in zip(*(x[1:] for x in inputs), strict=True)]
        return self._rows(torch.stack(rows), [torch.cat(pair) for pair in zip(given, others, strict=True)])

    def of_classes(self, classes: Sequence[int], extractor: Extractor, n: int, among: int = 10000) -> list[list[int]]:
        """Return the numbers of the first n samples that the extractor classifies as each class.

        Args:
            classes: Classes to look for.
            extractor: Classifier.
            n: Samples of each class.
            among: Number of samples to look at.

        Raises:
            ValueError: A class that the extractor does not have, or fewer than n samples of it.
        """
        for wanted in classes:
            if not 0 <= wanted < extractor.num_classes:
                raise ConfigError("classes", wanted, f"{extractor.name} has classes 0 to {extractor.num_classes - 1}")
        extractor.to(self.module.device)
        found: list[list[int]] = [[] for _ in classes]
        for start in range(0, among, self.batch_size):
            indices = range(start, start + self.batch_size)
            predicted = extractor(self.images(*_first_and_others(self.inputs(indices)))).logits.argmax(1).tolist()
            for index, label in zip(indices, predicted, strict=True):
                for numbers, wanted in zip(found, classes, strict=True):
                    if label == wanted and len(numbers) < n:
                        numbers.append(index)
            if all(len(numbers) == n for numbers in found):
                return found
        missing = {wanted: len(numbers) for wanted, numbers in zip(classes, found, strict=True)}
        raise ConfigError(
            "classes", list(classes), f"of {among:,} samples {missing} were found; {n} of each are needed"
        )

    def nearest(
        self, indices: Sequence[int], k: int, data: ImageDataModule, extractor: Extractor, n_real: int | None = None
    ) -> Tensor:
        """Find the training images that are nearest to each sample in feature space.

        Args:
            indices: Numbers of the samples, N.
            k: Neighbours of each, >= 1.
            data: Data whose training images are searched.
            extractor: Extractor of the features.
            n_real: Training images to search; ``None``: all.

        Returns:
            (N, k + 1, C, H, W) uint8: each sample, then its neighbours, the nearest first.
        """
        extractor.to(self.module.device)
        samples = self.images(*_first_and_others(self.inputs(indices)))
        neighbours = NearestNeighbours(k=k).to(self.module.device)
        neighbours.update(extractor(samples).features, real=False)
        pictures = RealImages(data, n_real)
        for batch in tqdm(pictures.batches(range(pictures.n), self.batch_size), "training images", leave=False):
            neighbours.update(extractor(batch["image"].to(self.module.device)).features, real=True)
        found = neighbours.compute()[1].cpu().view(len(samples), -1)  # torchmetrics squeezes a single one
        real = data.train_images.fetch(pictures.order[found.flatten()])["image"]
        return torch.cat([samples.cpu()[:, None], real.view(*found.shape, *real.shape[1:])], 1)

    def _rows(self, latents: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Generate images (R, S, C, H, W) of latents (R, S, Z); the other inputs of a row are constant."""
        spread = [other[:, None].expand(-1, latents.shape[1], *other.shape[1:]).flatten(0, 1) for other in others]
        made = self.images(latents.flatten(0, 1), spread)
        return made.view(*latents.shape[:2], *made.shape[1:])


def write(rows: Tensor, mode: str, folder: Path, milliseconds: int, format: str = "gif") -> list[Path]:  # noqa: A002
    """Write images (R, S, C, H, W) uint8 as ``MODE.png`` and, of walks, as ``MODE.gif`` or ``MODE.mp4``.

    Args:
        rows: The images.
        mode: Mode of the command, which names the files.
        folder: Folder of the files.
        milliseconds: Duration of a frame.
        format: ``gif`` or ``mp4``.

    Returns:
        Paths of the files.
    """
    written = [save(grid(rows.flatten(0, 1), columns=rows.shape[1]), folder / f"{mode}.png", "overview")]
    if mode in MOVING:  # all paths side by side, a loop picture by picture
        frames = rows.flatten(0, 1)[:, None] if mode == "loop" else rows.transpose(0, 1)
        written.append(animate([grid(frame) for frame in frames], folder / f"{mode}.{format}", milliseconds))
    return written


def _first_and_others(inputs: tuple[Tensor, ...]) -> tuple[Tensor, Sequence[Tensor]]:
    return inputs[0], inputs[1:]
