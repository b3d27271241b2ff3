"""Train StackGAN, which draws what a caption says in two stages."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.types import NonNegative, NonNegativeInt, PositiveInt, checked
from lightning_gans.data.captions import NONE, shared
from lightning_gans.losses.lazy import Lazy
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.losses.penalties import RealFakeConditions
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.batches import is_planned
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.models.sampling_options import STAGE, Options
from lightning_gans.models.text import TEXT, Text
from lightning_gans.networks.stackgan import Conditioned, Discriminator, Generator
from lightning_gans.schedules.training_schedule import Phase, Plan, TrainingSchedule
from lightning_gans.text.base import TextEncoder


class Spoken(NamedTuple):
    """Hold what is said of a batch's pictures.

    Attributes:
        text: (N, D), the mean of the vectors of the captions in use.
        used: (N, M) int64, numbers of these captions.
        known: (N, K) int64, numbers of all captions of each picture.
    """

    text: Tensor
    used: Tensor
    known: Tensor


class StackGAN(AdversarialModule):
    """Train StackGAN. Zhang et al. 2017, arXiv:1612.03242.

    A caption's vector t gives the mean m and variance of a condition c = m + s e, e ~ N(0, I). Stage I makes a small
    image of c and noise z, stage II a large one of that image and a condition of its own. With x a picture of t and w
    one that t is not true of, and s the logistic function,

        D: -log s(D(x, m)) - 1/2 log(1 - s(D(w, m))) - 1/2 log(1 - s(D(G(z, c), m)))
        G: -log s(D(G(z, c), m)) + 2 KL(N(m, diag(s^2)) || N(0, I))

    In stage II D has logits d without a condition too: half of both logits of x, and a third of those of w, of G with
    and of G without the condition; G adds its own. m is no variable of D. A pair of w and t is a picture of the batch
    with the caption of another one, drawn anew, that is not among the picture's captions and, where there are classes,
    of another class; its logits go through batch norm by themselves.

    One run trains stage I for ``stage1_updates``, then stage II, while stage I's weights stand still. Captions become
    vectors by a ``TextEncoder``, which learns from the data before the first update if need be and is part of the
    checkpoint, or come from the data as vectors (entry ``text``). Samples come from an average of the generator,
    which the paper has not: ``model.ema=null``.

    Args:
        generator: Player, of ``lightning_gans.networks.stackgan``.
        discriminator: Player, likewise, for images of the same sizes.
        text_encoder: Makes vectors of captions; ``None``: the data has them.
        stage1_updates: Generator updates of stage I; 0: it is trained already (``init``, or imported weights).
        kl_weight: Weight of the divergence.
        kl: ``mean`` over the condition's components, as in the released code, or their ``sum``, as in the paper.
        captions: Captions of a picture whose vectors are averaged, drawn anew in every update.
        **options: See ``AdversarialModule``.

    Raises:
        ConfigError: A value out of range, or networks that do not fit each other.
    """

    conditions = ("text",)
    condition_kinds = TEXT
    data_kinds = ("image", "labelled")
    batch_entries = ("image", "text")
    sampling_options = {"stage": STAGE}
    generator: Generator
    discriminator: Discriminator

    @checked
    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        *,
        text_encoder: TextEncoder | None = None,
        stage1_updates: NonNegativeInt = 83_000,
        kl_weight: NonNegative = 2.0,
        kl: Literal["mean", "sum"] = "mean",
        captions: PositiveInt = 4,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {"objective": NonSaturating(), "g_optimizer": adam(), "d_optimizer": adam()}
        super().__init__(generator, discriminator, **(paper | options))
        self._check(generator, discriminator, text_encoder)
        self.text.encoder = text_encoder
        self.kl_weight, self.kl, self.captions = kl_weight, kl, captions
        advice = f"stage II is not trained; say a smaller model.stage1_updates={stage1_updates}"
        phases = [
            Phase(name, steps, self.batch_size, self.n_critic)
            for name, steps in (("stage I", stage1_updates), ("stage II", None))
        ]
        self.schedule = TrainingSchedule(phases, advice=advice)
        self._made: Conditioned | None = None

    def _check(self, generator: Generator, discriminator: Discriminator, encoder: TextEncoder | None) -> None:
        if generator.sizes != discriminator.sizes:
            rule = f"makes images of {generator.sizes}; must be those of model.generator"
            raise ConfigError("model.discriminator.stage1_size", discriminator.sizes, rule)
        if generator.condition_dim != discriminator.condition_dim:
            rule = f"must be that of model.generator, {generator.condition_dim}"
            raise ConfigError("model.discriminator.condition_dim", discriminator.condition_dim, rule)
        if encoder is not None and encoder.dim != generator.text_dim:
            raise ConfigError(
                "model.generator.text_dim", generator.text_dim, f"model.text_encoder.dim is {encoder.dim}"
            )
        if self.g_batch_size is not None:
            raise ConfigError("g_batch_size", self.g_batch_size, "must be null: captions are those of the batch")
        if self.objective.needs_real or isinstance(self.penalty, Lazy):
            rule = "pairs logits of real and generated images" if self.objective.needs_real else "not with captions"
            raise ConfigError(
                "objective" if self.objective.needs_real else "penalty", MISSING, f"{rule}; choose another"
            )
        if self.latent != "normal":
            raise ConfigError("latent", self.latent, "must be normal, as the noise of conditions is")

    @property
    def text(self) -> Text:
        """Return the condition."""
        text = self.conditioning["text"]
        assert isinstance(text, Text)
        return text

    # ------------------------------------------------------------------------------ stages

    def stage_of(self, step: int) -> int:
        """Return the stage that step number ``step`` trains, 1 or 2."""
        return 1 if self.schedule.phase(step).name == "stage I" else 2

    def set_stage(self, stage: int) -> None:
        """Let all networks work at a stage."""
        for network in filter(None, (self.generator, self.generator_ema, self.discriminator)):
            network.stage = stage  # type: ignore[assignment]

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the counters, and the stage of the last update."""
        super().set_extra_state(state)
        self.set_stage(self.stage_of(max(self.iteration - 1, 0)))

    def sampling_network(self, options: Options) -> nn.Module:
        """Return the network that samples come from; ``stage`` chooses whose images they are."""
        if "stage" not in options:
            return self.sampler
        network = copy.copy(self.sampler)  # shares all weights
        network.stage = int(options["stage"])  # type: ignore[assignment]
        return network

    # ------------------------------------------------------------------------------ captions

    def on_fit_start(self) -> None:
        """Compile as the base does, and let the encoder learn before that."""
        super().on_fit_start()
        self.text.vectors = self.text.vectors.to(self.device, self.dtype)  # type: ignore[arg-type]

    def spoken(self, batch: Batch) -> Spoken:
        """Choose captions of a batch's pictures, and return their mean vectors."""
        vectors = batch.get("text")
        if len(self.text.vectors) or vectors is None:
            known = batch["caption"]
            chosen = self.chosen(known)
            used = known.gather(1, chosen)
            picked = self.text.vectors[used.clamp(min=0)]  # (N, M, D)
        else:
            vectors = vectors[:, None] if vectors.ndim == 2 else vectors  # (N, K, D)
            known = batch["caption"] if "caption" in batch else self.number(vectors)
            chosen = self.chosen(known)
            used = known.gather(1, chosen)
            picked = vectors.gather(1, chosen[:, :, None].expand(-1, -1, vectors.shape[2]))
        weight = (used != NONE).to(picked.dtype)[:, :, None]
        return Spoken((picked * weight).sum(1) / weight.sum(1), used, known)

    def chosen(self, known: Tensor) -> Tensor:
        """Draw up to ``captions`` of the captions (N, K) of each picture: their places (N, M), drawn ones first."""
        u = self.uniform(*known.shape, dtype=torch.float32).masked_fill(known == NONE, 2.0)
        return u.argsort(1)[:, : self.captions]

    def number(self, vectors: Tensor) -> Tensor:
        """Number captions (N, K) of which only the vectors (N, K, D) are known; equal vectors are one caption."""
        rows = self.reader.rows_for(len(vectors), self)
        whole = rows.gather(vectors)
        return rows.take(torch.unique(whole.flatten(0, 1), dim=0, return_inverse=True)[1].view(whole.shape[:2]))

    def wrong_text(self, batch: Batch, spoken: Spoken) -> tuple[Tensor, Tensor]:
        """Draw for each picture the caption of another one that is not true of it.

        Returns:
            Vectors (N, D), and whether there is such a caption in the batch of all processes, (N,) bool.
        """
        rows = self.reader.rows_for(len(spoken.text), self)
        texts, used = rows.gather(spoken.text), rows.gather(spoken.used)
        fits = shared(spoken.known, used)  # (N, all)
        if "label" in batch:
            fits |= batch["label"][:, None] == rows.gather(batch["label"])[None]
        u = self.uniform(len(fits), rows.total, dtype=torch.float32).masked_fill(fits, -1.0)
        return texts[u.argmax(1)], ~fits.all(1)

    # ------------------------------------------------------------------------------ losses

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List the updates as the base does, of the stage that the step trains."""
        self.set_stage(self.stage_of(self.iteration))
        if "text" in batch and batch["text"].shape[1:][-1:] != ((dim := self.generator.text_dim),):
            raise ValueError(
                f"data: text is {tuple(batch['text'].shape)}; must be vectors (N, {dim}), or (N, K, {dim})"
            )
        if self.iteration == 0 and not is_planned(self.trainer):
            self.text.fit(self.reader.rows_of(batch, self).gather(batch["text"]).flatten(0, -2))
        return super().update_order(batch, plan)

    def at_stage(self, images: Tensor) -> Tensor:
        """Bring pictures (N, C, H, W) to the size of the stage, by means."""
        return F.adaptive_avg_pool2d(images, self.generator.sizes[self.discriminator.stage - 1])

    def make(self, text: Tensor) -> Conditioned:
        """Generate images of the stage for vectors (N, D)."""
        return self.generator.made(self.normal(len(text), self.latent_dim), text)

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of the stage's discriminator."""
        spoken, judge = self.spoken(batch), self.discriminator.judge
        with torch.set_grad_enabled(self.reuse_fakes):
            self._made = made = self.make(spoken.text)
        wrong, is_wrong = self.wrong_text(batch, spoken)
        network = self.generator.stage1 if self.discriminator.stage == 1 else self.generator.stage2
        with torch.no_grad():
            wrong_mean = network.ca(wrong)[0]
        mean, real, fake = (
            made.mean.detach(),
            self.augmented(self.at_stage(batch["image"])),
            self.augmented(made.images.detach()),
        )
        seen, of_fake = judge.features(real), judge.features(fake)
        real_logits, fake_logits = judge.logits(seen, mean), judge.logits(of_fake, mean)
        wrong_logits = judge.logits(seen, wrong_mean)
        self.update_statistics(real_logits.detach())
        alone = judge.logits_alone(seen), judge.logits_alone(of_fake)
        terms = self.matching_terms(real_logits, fake_logits, wrong_logits, is_wrong, alone)
        if self.penalty is not None:
            terms["penalty"] = self.penalise(real, fake, RealFakeConditions((mean,), (mean,)), self.discriminator)
        return terms

    def matching_terms(
        self,
        real: Tensor,
        fake: Tensor,
        wrong: Tensor,
        is_wrong: Tensor,
        alone: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> Terms:
        """Weight the terms of pairs: real + (fake + wrong) / 2, or with logits alone means over two and over three.

        Args:
            real: Logits (N,) of pictures with their captions.
            fake: Logits of samples with theirs.
            wrong: Logits of pictures with captions that are not true of them.
            is_wrong: (N,) bool, whether there was such a caption; other rows count 0.
            alone: Logits of pictures and samples without captions, in stage II.
        """
        pair = self.objective.discriminator(real, fake)
        found = {"real": [pair["real"]], "fake": [pair["fake"]]}
        share = is_wrong.to(wrong.dtype).mean()
        mismatched = self.objective.discriminator(real, wrong[is_wrong])["fake"] if is_wrong.any() else share
        of = {"real": 1, "fake": 2}
        if alone[0] is not None and alone[1] is not None:
            by_itself = self.objective.discriminator(alone[0], alone[1])
            found = {key: [*terms, by_itself[key]] for key, terms in found.items()}
            of = {"real": 2, "fake": 3}
        terms = {key: torch.stack(pieces).sum() / of[key] for key, pieces in found.items()}
        return {**terms, "wrong": mismatched * share / of["fake"]}

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the adversarial terms of new samples for the batch's captions, and the divergence."""
        made = self._made if self.reuse_fakes and self._made is not None else self.make(self.spoken(batch).text)
        judge, self._made = self.discriminator.judge, None
        seen = judge.features(self.augmented(made.images))
        terms = self.objective.generator(judge.logits(seen, made.mean.detach()))
        if (alone := judge.logits_alone(seen)) is not None:
            terms |= {f"{key}_alone": term for key, term in self.objective.generator(alone).items()}
        return {**terms, "kl": self.kl_weight * divergence(made.mean, made.log_variance, self.kl)}

    # ------------------------------------------------------------------------------ hooks

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Reject data whose images have another size than stage II makes.

        Raises:
            ValueError: With both shapes.
        """
        with evaluating(self.generator) as generator:
            made = tuple(generator(*self.sampling_inputs([0, 1], 0)).shape[1:])
        if made != shapes["image"]:
            raise ValueError(
                f"model.generator makes images {made}; data has {shapes['image']} (channels, height, width)"
            )


def divergence(mean: Tensor, log_variance: Tensor, how: Literal["mean", "sum"]) -> Tensor:
    """Compute KL(N(mean, exp(log_variance)) || N(0, I)), the mean over rows (N, D) and the mean or sum over D."""
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return each.mean() if how == "mean" else each.sum(1).mean()


def stages(module: StackGAN, *inputs: Any) -> list[Tensor]:
    """Generate what both stages make of the same latents and vectors: stage I's images, enlarged, and stage II's."""
    return [next(module.generate([inputs], module.sampling_network({"stage": stage}))) for stage in (1, 2)]
