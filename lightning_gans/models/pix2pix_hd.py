"""Train pix2pixHD, which translates at high resolution."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, NonNegativeInt, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.losses.perceptual import Perceptual
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.batches import LoaderExamples, is_planned
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import TranslationOptions, adam
from lightning_gans.models.translation import TranslationModule
from lightning_gans.networks.pix2pix_hd import Stage, edges, halved, instance_means
from lightning_gans.runtime.distributed import broadcast_tensors
from lightning_gans.runtime.precision import full_precision
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.schedules.learning_rate import RepeatedLinearDecay
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule

LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}


class Pix2PixHD(TranslationModule):
    """Train pix2pixHD. Wang et al. 2018, arXiv:1711.11585.

    With discriminators D_k at several sizes of the image, each a function of the source as well,

        D: 1/2 sum over k of ((D_k(x, y) - 1)^2 + D_k(x, G(x))^2)
        G: sum over k of (D_k(x, G(x)) - 1)^2 + 10 feature matching + 10 distance in VGG19's features

    Feature matching is the mean absolute difference of the discriminators' features of generated and real images, by
    layer, with weight 4 / (stride-2 layers + 1) / discriminators. VGG19's features are compared the same way at
    relu1_1, ..., relu5_1 with weights 1/32, 1/16, 1/8, 1/4, 1.

    One run of three phases, told apart by the number of generator updates alone: the global generator at half the size;
    the local enhancer around it, which stands still; both. A generator without an enhancer has the last phase only.
    Sources are images in [-1, 1] or one-hot label maps (``num_labels``); instances (``instance`` in the batch) are the
    regions of the label map where the data names none. With an encoder the generator sees features of the target,
    averaged over each instance. Before a checkpoint is written they are clustered by label over some training images,
    and ``translate`` draws one cluster a label by its seed.

    Differs from the paper: the global generator sees the source shrunk by averaging in all phases; its images are made
    by averaging as well; Adam and the discriminators go on from phase to phase; VGG19 sees normalised images; an
    encoder learns with the generator from the start; instances of a label share a cluster.

    Args:
        generator: Player.
        discriminator: Player; returns the outputs of all layers by scale.
        encoder: Of the target's features, the generator's ally; ``None``: none.
        coarse_updates: Generator updates of the first phase.
        enhancer_updates: Generator updates of the second phase.
        num_labels: Sources are one-hot label maps of so many labels; ``None``: they are images.
        matching_weight: Of feature matching.
        perceptual_weight: Of the distance in VGG19's features.
        perceptual_weights: ``auto``, the path of torchvision's VGG19, or ``None``; see ``perceptual.Perceptual``.
        clusters: Of an encoder's features by label.
        cluster_images: Most training images whose features are clustered.
        **options: See ``TranslationModule``.

    Raises:
        ValueError: A value out of range, or networks that do not fit each other.
    """

    clusters: Tensor
    cluster_counts: Tensor

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        encoder: nn.Module | None = None,
        coarse_updates: NonNegativeInt = 595_000,
        enhancer_updates: NonNegativeInt = 29_750,
        num_labels: int | None = None,
        matching_weight: NonNegative = 10.0,
        perceptual_weight: NonNegative = 10.0,
        perceptual_weights: str | None = "auto",
        clusters: PositiveInt = 10,
        cluster_images: PositiveInt = 100,
        **options: Unpack[TranslationOptions],
    ) -> None:
        trainings = [[coarse_updates], [enhancer_updates, 565_250]]
        paper: TranslationOptions = {
            "objective": LeastSquares(scale=1.0),
            "g_optimizer": adam(),
            "d_optimizer": adam(),
            "g_scheduler": partial(RepeatedLinearDecay, trainings=trainings),
            "d_scheduler": partial(RepeatedLinearDecay, trainings=trainings),
        }
        super().__init__(generator, discriminator, **(paper | options))
        if generator.instance_edges != discriminator.instance_edges:
            found = discriminator.instance_edges
            raise ConfigError("model.discriminator.instance_edges", found, "must be that of model.generator")
        features = 0 if encoder is None else encoder.feature_channels
        if generator.feature_channels != features:
            rule = f"model.encoder gives {features}; say model/encoder=features or model/encoder=none"
            raise ConfigError("model.generator.feature_channels", generator.feature_channels, rule)
        if num_labels is not None and generator.source_channels != num_labels:
            raise ConfigError("num_labels", num_labels, f"model.generator takes {generator.source_channels} channels")
        self.encoder = encoder
        stages = {"coarse": coarse_updates, "enhancer": enhancer_updates} if generator.has_enhancer else {}
        advice = f"say a smaller model.coarse_updates={coarse_updates} or model.enhancer_updates={enhancer_updates}"
        phases = [Phase(stage, steps, self.batch_size, players=("g", "d")) for stage, steps in stages.items()]
        joint = Phase("joint", None, self.batch_size, players=("g", "d"))
        self.schedule = TrainingSchedule([*phases, joint], advice=advice)
        self.num_labels, self.cluster_images, self.max_clusters = num_labels, cluster_images, clusters
        self.matching_weight, self.perceptual_weight = matching_weight, perceptual_weight
        self.perceptual = Perceptual(
            perceptual_weights if perceptual_weight else None, list(LAYERS), instead="the other terms stay as they are"
        )
        if encoder is not None:
            labels = num_labels or 1
            self.register_buffer("clusters", torch.zeros(labels, clusters, int(features)))  # type: ignore[arg-type]
            self.register_buffer("cluster_counts", torch.zeros(labels, dtype=torch.int64))
            self.add_player("g", encoder)

    # ------------------------------------------------------------------------------ phases

    def stage_of(self, step: int) -> Stage:
        """Return the name of the phase that step number ``step`` lies in."""
        return cast(Stage, self.schedule.phase(step).name)

    # ------------------------------------------------------------------------------ what the networks see

    def instances(self, batch: Batch) -> Tensor:
        """Return instance numbers (N, 1, H, W) int64: the batch's, else the label map's regions, else one an image."""
        if "instance" in batch:
            return batch["instance"]
        return self.labels(batch)

    def labels(self, batch: Batch) -> Tensor:
        """Return labels (N, 1, H, W) int64; 0 everywhere if sources are no label maps."""
        source = batch["source"]
        if self.num_labels is not None:
            return source.argmax(1, keepdim=True)
        return torch.zeros_like(source[:, :1], dtype=torch.int64)

    def condition(self, batch: Batch) -> Tensor:
        """Join the source and, if asked for, the edges of its instances, in channels."""
        if not self.generator.instance_edges:
            return batch["source"]
        return torch.cat([batch["source"], edges(self.instances(batch))], 1)

    def encoded(self, batch: Batch) -> Tensor:
        """Encode the target: features (N, F, H, W), averaged over each instance."""
        means, rows = instance_means(self.encoder(batch["target"]), self.instances(batch))  # type: ignore[misc]
        return means[rows].movedim(-1, 1)

    def discriminate(self, condition: Tensor, images: Tensor) -> list[list[Tensor]]:
        """Return every discriminator layer's output by scale, in float32."""
        return [
            [full_precision(layer) for layer in scale]
            for scale in self.discriminator(torch.cat([condition, images], 1))
        ]

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return condition and target at the size that the phase works at."""
        condition, target = self.condition(batch), batch["target"]
        if self.stage_of(self.iteration) == "coarse":
            return halved(condition), halved(target)
        return condition, target

    # ------------------------------------------------------------------------------ losses

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the objective and feature matching over all scales, and VGG19's distance."""
        fake = self.fakes(batch)["fake"]
        self.stash_fakes(fake=fake)
        condition, real = self.pair(batch)
        of_fake = self.discriminate(condition, fake)
        with torch.no_grad():
            of_real = self.discriminate(condition, real)
        terms = summed([self.objective.generator(f[-1], r[-1]) for f, r in zip(of_fake, of_real, strict=True)])
        terms["matching"] = self.matching_weight * self.matching(of_fake, of_real)
        if self.perceptual.on:
            pairs = zip(LAYERS.values(), self.perceptual(fake), self.perceptual(real), strict=True)
            distances = [weight * F.l1_loss(mine, theirs) for weight, mine, theirs in pairs]
            terms["perceptual"] = self.perceptual_weight * torch.stack(distances).sum()
        return terms

    def fakes(self, batch: Batch) -> Batch:
        """Translate a batch by the live generator at the size that the phase works at."""
        inputs = self.condition(batch)
        if self.encoder is not None:
            inputs = torch.cat([inputs, self.encoded(batch)], 1)
        return {"fake": self.generator(inputs, self.stage_of(self.iteration))}

    def matching(self, of_fake: list[list[Tensor]], of_real: list[list[Tensor]]) -> Tensor:
        """Compute feature matching: mean absolute differences, summed over layers and averaged over scales."""
        weight = 4 / (self.discriminator.layers + 1) / len(of_fake)  # type: ignore[operator]
        distances = [
            F.l1_loss(mine, theirs)
            for fakes, reals in zip(of_fake, of_real, strict=True)
            for mine, theirs in zip(fakes[:-1], reals[:-1], strict=True)
        ]
        return weight * torch.stack(distances).sum()

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute half the objective over all scales."""
        condition, real = self.pair(batch)
        of_real, of_fake = (
            self.discriminate(condition, real),
            self.discriminate(condition, self.pop_fakes(batch)["fake"]),
        )
        scales = [self.objective.discriminator(r[-1], f[-1]) for r, f in zip(of_real, of_fake, strict=True)]
        return {name: term / 2 for name, term in summed(scales).items()}

    # ------------------------------------------------------------------------------ translation

    @torch.no_grad()
    def translate(
        self, source: Tensor, *, direction: str = "a2b", seed: int = 0, instance: Tensor | None = None
    ) -> Tensor:
        """Translate images; up to the end of the coarse phase by the global generator, enlarged.

        Args:
            source: (N, source_channels, H, W); sides are multiples of ``size_divisor``.
            direction: ``a2b``.
            seed: Picks a cluster of features for every label, if there is an encoder.
            instance: (N, 1, H, W) int64, numbers of instances; ``None``: the label map's regions.

        Returns:
            (N, channels, H, W) in [-1, 1].
        """
        self.check_source(source, direction)
        with evaluating(self.network_of(direction)) as network:
            return self.run(network, source, self.noise(seed), instance)

    def noise(self, seed: int) -> Tensor | None:
        """Choose one cluster of features for every label, (labels, F), if there is an encoder."""
        return None if self.encoder is None else self.chosen_clusters(seed)

    def run(
        self, network: nn.Module, source: Tensor, noise: Tensor | None = None, instance: Tensor | None = None
    ) -> Tensor:
        """Compute translations by the generator; see ``translate``."""
        batch = {"source": source} if instance is None else {"source": source, "instance": instance}
        inputs = self.condition(batch)
        if noise is not None:
            inputs = torch.cat([inputs, noise.to(source.device)[self.labels(batch)[:, 0]].movedim(-1, 1)], 1)
        stage = self.stage_of(max(self.iteration - 1, 0))  # of the last update; an enhancer must have learnt something
        images: Tensor = network(inputs.to(self.dtype), stage).float()
        if images.shape[-2:] == source.shape[-2:]:
            return images
        return F.interpolate(images, source.shape[-2:], mode="bilinear")

    def translate_batch(self, batch: Batch, *, direction: str = "a2b", seed: int = 0) -> Tensor:
        """Translate the data's examples with the instances that the data names."""
        return self.translate(batch["source"], direction=direction, seed=seed, instance=batch.get("instance"))

    def chosen_clusters(self, seed: int) -> Tensor:
        """Choose one cluster of features for every label, (labels, F)."""
        rng = torch.Generator().manual_seed(derive_seed("clusters", seed))
        drawn = torch.randint(1 << 30, (len(self.clusters),), generator=rng)
        picked = drawn.to(self.clusters.device) % self.cluster_counts.clamp(min=1)
        return self.clusters[torch.arange(len(self.clusters), device=picked.device), picked]

    def prepare_sampling(self) -> None:
        """Make processes equal as the base does, and cluster the encoder's features of training images by label."""
        stale = self._stats_step != self.iteration
        super().prepare_sampling()
        if stale and self.encoder is not None and self._trainer is not None:
            data = getattr(self.trainer, "datamodule", None)
            if not isinstance(data, ImageDataModule):
                data = LoaderExamples(self.trainer.train_dataloader, self.batch_entries)
            self.measure_clusters(data)

    @torch.no_grad()
    def measure_clusters(self, data: ImageDataModule | LoaderExamples) -> None:
        """Cluster the encoder's features of ``cluster_images`` training images, evenly spread, into the buffers.

        Args:
            data: The images; batches of one, since sides are large.
        """
        from sklearn.cluster import KMeans

        found: list[list[Tensor]] = [[] for _ in self.clusters]
        n = len(data.train_images)  # type: ignore[arg-type]
        for index in range(0, n, -(-n // self.cluster_images)):
            batch = {key: value.to(self.device) for key, value in data.training_examples([index]).items()}
            with evaluating(self.encoder) as encoder:  # type: ignore[arg-type]
                means, rows = instance_means(encoder(batch["target"].to(self.dtype)), self.instances(batch))
            label_of = torch.zeros(len(means), dtype=torch.int64, device=rows.device)
            label_of[rows] = self.labels(batch)[:, 0]
            for label, mean in zip(label_of.tolist(), means.cpu(), strict=True):
                found[label].append(mean)
        for label, means_of_label in enumerate(found):
            if not means_of_label:
                continue
            points = torch.stack(means_of_label)
            count = min(self.max_clusters, len(torch.unique(points, dim=0)))
            centres = KMeans(count, n_init=1, random_state=0).fit(points.double().numpy()).cluster_centers_
            self.clusters[label, :count] = torch.from_numpy(centres).to(self.clusters)
            self.cluster_counts[label] = count
        if self.world_size > 1:
            broadcast_tensors((self.clusters, self.cluster_counts))

    # ------------------------------------------------------------------------------ hooks

    def input_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return the networks' inputs: condition and target side by side, and for the encoder the target."""
        source, target = shapes["source"], shapes["target"]
        batch = {"source": torch.zeros(1, *source, device=self.device)}
        batch["instance"] = torch.zeros(1, 1, *source[1:], dtype=torch.int64, device=self.device)
        found = {"discriminator": (self.condition(batch).shape[1] + target[0], *target[1:])}
        return found | ({} if self.encoder is None else {"encoder": target})

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, that there are instances, and that VGG19 takes the images."""
        if self.generator.instance_edges and self.num_labels is None and "instance" not in shapes:
            rule = "the data has neither instances (data.instance) nor label maps (data.num_labels); set it to false"
            raise ConfigError("model.generator.instance_edges", True, rule)
        super().check_data(shapes)
        channels, *sides = shapes["target"]
        smallest = 2 if self.stage_of(0) == "coarse" else 1
        self.perceptual.check((channels, *(side // smallest for side in sides)))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save as the base does; under a plain Trainer's callbacks the features are clustered here, in place."""
        super().on_save_checkpoint(checkpoint)
        if not is_planned(self.trainer):
            self.prepare_sampling()

    def on_fit_start(self) -> None:
        """Compile as the base does, and load VGG19's weights."""
        super().on_fit_start()
        self.perceptual.load_weights(self.trainer)


def summed(scales: list[Terms]) -> Terms:
    """Add the terms of several discriminators, by name."""
    return {name: torch.stack([terms[name] for terms in scales]).sum() for name in scales[0]}
