"""Train few-shot talking heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, PositiveInt, checked
from lightning_gans.data.translation.heads import HeadFrames
from lightning_gans.losses.content import ContentLoss, Inputs
from lightning_gans.losses.objectives import Hinge
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.batches import split
from lightning_gans.models.ema import evaluating
from lightning_gans.models.lazy_adam import LazyAdam
from lightning_gans.models.options import TranslationOptions, adam
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.distributed import mean_over_processes
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.training_schedule import Phase, Plan, TrainingSchedule

SLOWEST = 0.01  # share of the newest embeddings in the mean person


class TalkingHeads(TranslationModule):
    """Train few-shot talking heads. Zakharov, Shysheya, Burkov, Lempitsky 2019, arXiv:1905.08233.

    From K frames s of a video i with their landmark drawings l, and a target frame x with its drawing y that is not
    among them, the encoder E makes an embedding e, the mean of E(s, l), and the generator G draws the person e in the
    pose y. The projection discriminator D(x, y, i) = v(x, y)^T (W_i + w_0) + b has a row of W for each training video:

        D: objective (hinge), n_critic times
        G and E: content + objective + 10 feature matching + 80 |e - W_i|

    Content is the distance of features in VGG19 and VGGFace, see ``ContentLoss``; feature matching the mean absolute
    difference of D's features of generated and real frames, averaged over its residual blocks. The rows of W move in
    D's updates, each only where its video is in the batch (``LazyAdam``), and embeddings follow them.

    Batches without frames are of one person, the module's own: ``person`` is the embedding, D has w_0 alone, and there
    is no match. So a module is fine-tuned after ``personalise``: w' = w_0 + e, and P e moves freely. Until then the
    module's own person is a running mean of the embeddings it has seen, whom ``translate`` draws.

    Differs from the paper: one update of the generator comes before the discriminator's, whose first one sees the same
    frames; matching is averaged over blocks, and |e - W_i| over the entries.

    Args:
        generator: Player; maps drawings and embeddings to frames.
        discriminator: Player; maps frames, drawings and videos to features and, behind them, logits.
        encoder: The generator's ally; maps frames and drawings to embeddings.
        n_critic: Discriminator updates per generator update, each on videos of its own.
        matching_weight: Of feature matching.
        embedding_weight: Of the distance to the rows of W; 10 in the paper's second variant.
        vgg19_weights: Path of VGG19's state dict for the content loss; ``None``: without.
        vgg19_inputs: What these weights were trained on; see ``ContentFeatures``.
        vggface_weights: As ``vgg19_weights``, of VGGFace.
        vggface_inputs: As ``vgg19_inputs``.
        pyramid_weight: Of the pixels' distance that stands in where VGG19's weights are not given.
        **options: See ``TranslationModule``.

    Raises:
        ValueError: A value out of range, or networks that do not fit each other.
    """

    data_kinds: tuple[str, ...] = ("heads",)
    batch_entries = ("source", "target", "frames", "drawings", "video")
    person: Tensor

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        encoder: nn.Module,
        n_critic: PositiveInt = 2,
        matching_weight: NonNegative = 10.0,
        embedding_weight: NonNegative = 80.0,
        vgg19_weights: str | None = None,
        vgg19_inputs: Inputs = "bgr_255",
        vggface_weights: str | None = None,
        vggface_inputs: Inputs = "bgr_255",
        pyramid_weight: NonNegative = 10.0,
        **options: Unpack[TranslationOptions],
    ) -> None:
        paper: TranslationOptions = {
            "objective": Hinge(),
            "batch_size": 48,
            "g_optimizer": adam(5e-5, 0.9),
            "d_optimizer": partial(LazyAdam, lr=2e-4, betas=(0.9, 0.999)),
        }
        super().__init__(generator, discriminator, **(paper | options))
        width: int = encoder.embedding_dim  # type: ignore[assignment]
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if network.embedding_dim != width:
                found = network.embedding_dim
                raise ConfigError(f"model.{name}", f"embeddings of {found}", f"model.encoder makes some of {width}")
        self.encoder, self.n_critic = encoder, n_critic
        self.matching_weight, self.embedding_weight = matching_weight, embedding_weight
        self.pyramid_weight = pyramid_weight
        self.content = ContentLoss(vgg19_weights, vgg19_inputs, vggface_weights, vggface_inputs, pyramid_weight)
        self.schedule = TrainingSchedule([Phase("training", None, self.batch_size, n_critic, players=("g", "d"))])
        self.register_buffer("person", torch.zeros(width))
        self._embeddings: list[Tensor] = []  # of the generator's update
        self.add_player("g", encoder)

    # ------------------------------------------------------------------------------ what the networks see

    def embed(self, batch: Batch) -> Tensor:
        """Return embeddings (N, D): means over the K frames, or the module's own person where there are no frames."""
        if "frames" not in batch:
            return self.person.to(self.dtype).expand(len(batch["source"]), -1)
        sides = [batch[key].flatten(0, 1) for key in ("frames", "drawings")]  # (N K, C, H, W)
        embeddings = full_precision(self.encoder(*sides))
        return embeddings.view(*batch["frames"].shape[:2], -1).mean(1)

    def discriminate(self, images: Tensor, batch: Batch) -> list[Tensor]:
        """Return the features of D's blocks, and its logits (N,) behind them, in float32."""
        videos = batch["video"] if "frames" in batch and "video" in batch else None
        return [full_precision(layer) for layer in self.discriminator(images, batch["source"], videos)]

    def fakes(self, batch: Batch) -> Batch:
        """Draw the batch's people in the poses of their targets by the live networks."""
        return {"fake": self.generator(batch["source"], self.embed(batch))}

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return discriminator and encoder, by name."""
        return {"discriminator": self.discriminator, "encoder": self.encoder}

    # ------------------------------------------------------------------------------ losses

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute content, objective, feature matching, and the embeddings' distance to the rows of their videos."""
        real, embedding = batch["target"], self.embed(batch)
        fake = self.generator(batch["source"], embedding)
        self.stash_fakes(fake=fake)
        of_fake = self.discriminate(fake, batch)
        with torch.no_grad():
            of_real = self.discriminate(real, batch)
        terms = self.objective.generator(of_fake[-1], of_real[-1] if self.objective.needs_real else None)
        terms |= self.content(fake, real)
        pairs = zip(of_fake[:-1], of_real[:-1], strict=True)
        distances = torch.stack([F.l1_loss(mine, theirs) for mine, theirs in pairs])
        terms["matching"] = self.matching_weight * distances.mean()
        if "frames" in batch:
            self._embeddings.append(embedding.detach())
            if "video" in batch and self.discriminator.num_videos:
                rows = self.discriminator.rows(batch["video"]).detach()  # type: ignore[operator]
                terms["embedding"] = self.embedding_weight * F.l1_loss(embedding, full_precision(rows))
        return terms

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the objective's terms of the discriminator."""
        fake = self.pop_fakes(batch)["fake"]
        real_logits, fake_logits = (self.discriminate(images, batch)[-1] for images in (batch["target"], fake))
        return self.objective.discriminator(real_logits, fake_logits)

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List one generator update on the first chunk and the discriminator's, on every chunk."""
        chunks = split(batch, plan.n_critic, self.reader.rows_of(batch, self))
        return [(player, chunk) for player in plan.players for chunk in (chunks if player == "d" else chunks[:1])]

    def on_update_end(self, plan: Plan) -> None:
        """Move the mean person towards the embeddings of the step, of all processes."""
        if self._embeddings:
            newest = mean_over_processes(torch.cat(self._embeddings).mean(0), self.reader.weight).detach()
            self.person.lerp_(newest.to(self.person), max(SLOWEST, 1 / self.iteration))
        self._embeddings = []

    # ------------------------------------------------------------------------------ drawing a person

    @torch.no_grad()
    def person_of(self, frames: Tensor, drawings: Tensor) -> Tensor:
        """Return the embedding (D,) of frames (K, channels, H, W) of one person with their drawings, in [-1, 1]."""
        with evaluating(self.encoder):
            batch = {"frames": frames[None], "drawings": drawings[None]}
            return self.embed({key: value.to(self.person) for key, value in batch.items()})[0]

    @torch.no_grad()
    def personalise(self, frames: Tensor, drawings: Tensor) -> None:
        """Make the person of some frames the module's own, before it is fine-tuned to them.

        P e + c becomes the generator's free c, w_0 + e the discriminator's w', and the module's ``person`` is zero. The
        rows of the training videos are dropped.

        Args:
            frames: (K, channels, H, W) in [-1, 1].
            drawings: (K, source_channels, H, W) in [-1, 1].
        """
        embedding = self.person_of(frames, drawings)
        for network in filter(None, (self.generator, self.generator_ema)):
            network.projection.bias.copy_(network.projection(embedding))  # type: ignore
        self.discriminator.common.add_(embedding)  # type: ignore[operator]
        self.person.zero_()
        self._drop_rows()

    def _drop_rows(self) -> None:
        """Take the training videos' rows of W from the discriminator, its player and the config of checkpoints."""
        rows: Any = self.discriminator.rows
        if rows is None:
            return
        self._trainable["d"] = [weight for weight in self._trainable["d"] if weight is not rows.weight]
        self.discriminator.rows, self.discriminator.num_videos = None, 0  # type: ignore[assignment]
        self.config = copy.deepcopy(self.config)
        for config in (self.config or {}).values():
            config["model"]["discriminator"]["num_videos"] = None

    def run(self, network: nn.Module, source: Tensor, noise: Tensor | None = None) -> Tensor:
        """Draw a person in the poses of drawings by the generator, as a pure function.

        Args:
            network: See ``TranslationModule``.
            source: Drawings (N, source_channels, H, W).
            noise: Embedding (D,) of the person, or (N, D); ``None``: of the module's own.

        Returns:
            Frames (N, channels, H, W) in [-1, 1].
        """
        embedding = self.person if noise is None else noise
        images: Tensor = network(source.to(self.dtype), embedding.to(self.dtype).expand(source.shape[0], -1))
        return images.float()

    @torch.no_grad()
    def translate_batch(self, batch: Batch, *, direction: str = "a2b", seed: int = 0) -> Tensor:
        """Draw the people of a batch's frames in the poses of its targets."""
        self.check_source(batch["source"], direction)
        with evaluating(self.encoder), evaluating(self.network_of(direction)) as network:
            on_device = {key: value.to(self.device) for key, value in batch.items()}
            return self.run(network, on_device["source"], self.embed(on_device))

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return a sample grid's columns: one of the K frames, the driving drawing, what is drawn, and the target."""
        frame = {"frame": batch["frames"][:, 0]} if "frames" in batch else {}
        return frame | super().visuals(batch)

    # ------------------------------------------------------------------------------ hooks

    def input_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return nothing: the other networks take two images, see ``check_data``."""
        return {}

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, those of the K frames, and that all networks take them."""
        super().check_data(shapes)
        source, target = shapes["source"], shapes["target"]
        if "frames" in shapes and (shapes["frames"][1:], shapes["drawings"][1:]) != (target, source):
            raise ValueError(f"data: frames {shapes['frames'][1:]} are not of the shape of targets {target}")
        for name, network in self.image_networks.items():
            try:
                with evaluating(network):
                    network(*(self.person.new_zeros(2, *shape) for shape in (target, source)))
            except RuntimeError as error:
                found = f"{target} with drawings {source}"
                raise ValueError(f"model.{name} does not take the data's frames {found}: {error}") from error
        self.content.check(target)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return optimisers as the base does; refuse one that would move the rows of videos outside of the batch."""
        optimizers, schedules = super().configure_optimizers()
        found = optimizers[list(self._trainable).index("d")]
        is_plain = isinstance(found, torch.optim.SGD) and not any(
            group["momentum"] or group["weight_decay"] for group in found.param_groups
        )
        if self.discriminator.num_videos and not isinstance(found, LazyAdam) and not is_plain:
            rule = "moves the rows of videos that are not in the batch; use lightning_gans.models.lazy_adam.LazyAdam"
            raise ConfigError("model.d_optimizer", type(found).__name__, rule)
        return optimizers, schedules

    def on_fit_start(self) -> None:
        """Compile as the base does, load the networks of the content loss, and check that every video has a row."""
        super().on_fit_start()
        self.content.load_weights()
        heads: Any = getattr(getattr(self.trainer, "datamodule", None), "train_images", None)
        rows = int(self.discriminator.num_videos)  # type: ignore[arg-type]
        if isinstance(heads, HeadFrames) and rows and int(heads.videos.max()) >= rows:
            raise ConfigError(
                "model.discriminator.num_videos", rows, f"the data has videos up to number {int(heads.videos.max())}"
            )
