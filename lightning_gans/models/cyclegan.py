"""Train CycleGAN, which translates between two domains without pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.types import NonNegative, checked
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.options import TranslationOptions, adam
from lightning_gans.models.pool import ImagePool
from lightning_gans.models.translation import TranslationModule
from lightning_gans.networks.layers import has_batch_norm
from lightning_gans.runtime.aliases import moved_from
from lightning_gans.runtime.precision import full_precision
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.schedules.learning_rate import EpochDecay


class GeneratorPair(nn.Module):
    """Hold both directions' generators as one player.

    Args:
        a2b: From domain A to B.
        b2a: From domain B to A.
    """

    def __init__(self, a2b: nn.Module, b2a: nn.Module) -> None:
        super().__init__()
        self.a2b, self.b2a = a2b, b2a
        self.size_divisor = math.lcm(*(int(getattr(network, "size_divisor", 1)) for network in (a2b, b2a)))

    def forward(self, images: Tensor, direction: str = "a2b") -> Tensor:
        """Translate images (N, C, H, W) of one domain to the other."""
        made: Tensor = self.a2b(images) if direction == "a2b" else self.b2a(images)
        return made


class CycleGAN(TranslationModule):
    """Train CycleGAN. Zhu, Park, Isola, Efros 2017, arXiv:1703.10593.

    From images a and b of two domains that do not belong together, with G from A to B, F from B to A and one
    discriminator for each domain:

        G, F: (D_B(G(a)) - 1)^2 + (D_A(F(b)) - 1)^2
              + lambda (|F(G(a)) - a|_1 + |G(F(b)) - b|_1) + mu lambda (|G(b) - b|_1 + |F(a) - a|_1)
        D_B: 1/2 ((D_B(b) - 1)^2 + D_B(G(a))^2)        D_A likewise

    The generators move first, both as one player, then both discriminators as another. These see fakes from a history
    (``ImagePool``). ``source`` is domain A, ``target`` domain B.

    Where no layer shares statistics over a batch, calls of the same network are made as one: G on a and b, F on b and
    a, each discriminator on real images and fakes.

    Args:
        generator: G, from A to B.
        generator_back: F, from B to A.
        discriminator: D_B.
        discriminator_back: D_A.
        pool: History of fakes of B.
        pool_back: History of fakes of A.
        cycle_weight: lambda, >= 0.
        identity_weight: mu, >= 0; 0: off, as it must be where the domains differ in channels.
        **options: See ``TranslationModule``.
    """

    data_kinds: tuple[str, ...] = ("unpaired",)
    directions: ClassVar[tuple[str, ...]] = ("a2b", "b2a")

    @checked
    def __init__(
        self,
        generator: nn.Module,
        generator_back: nn.Module,
        discriminator: nn.Module,
        discriminator_back: nn.Module,
        *,
        pool: ImagePool,
        pool_back: ImagePool,
        cycle_weight: NonNegative = 10.0,
        identity_weight: NonNegative = 0.5,
        **options: Unpack[TranslationOptions],
    ) -> None:
        batch_size = options.get("batch_size", options.get("accumulate", 1))
        paper: TranslationOptions = {
            "objective": LeastSquares(scale=1.0),
            "g_optimizer": adam(),
            "d_optimizer": adam(),
            "g_scheduler": partial(EpochDecay, batch_size=batch_size, constant=100, decay=100),
            "d_scheduler": partial(EpochDecay, batch_size=batch_size, constant=100, decay=100),
        }
        super().__init__(GeneratorPair(generator, generator_back), discriminator, **(paper | options))
        self.discriminator_back, self.pool, self.pool_back = discriminator_back, pool, pool_back
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.add_player("d", discriminator_back)
        self.joins_calls = not any(map(has_batch_norm, (self.generator, discriminator, discriminator_back)))

    def input_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return the domain that each discriminator is given."""
        return {"discriminator": shapes["target"], "discriminator_back": shapes["source"]}

    # ------------------------------------------------------------------------------ the losses

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute both generators' terms; ``_b`` are those of images in B, or of a cycle that starts there."""
        a, b = batch["source"], batch["target"]
        if self.identity_weight:
            fake_b, same_b = self.batched_call(lambda x: self.generator(x, "a2b"), a, b)
            fake_a, same_a = self.batched_call(lambda x: self.generator(x, "b2a"), b, a)
        else:
            fake_b, fake_a = self.generator(a, "a2b"), self.generator(b, "b2a")
        self.stash_fakes(fake_a=fake_a, fake_b=fake_b)
        back_a, back_b = self.generator(fake_b, "b2a"), self.generator(fake_a, "a2b")
        terms = self.adversarial_loss("b", self.discriminator, fake_b, b) | self.adversarial_loss(
            "a", self.discriminator_back, fake_a, a
        )
        terms["cycle_a"] = self.cycle_weight * F.l1_loss(full_precision(back_a), a)
        terms["cycle_b"] = self.cycle_weight * F.l1_loss(full_precision(back_b), b)
        if self.identity_weight:
            weight = self.cycle_weight * self.identity_weight
            terms["identity_a"] = weight * F.l1_loss(full_precision(same_a), a)
            terms["identity_b"] = weight * F.l1_loss(full_precision(same_b), b)
        return terms

    def fakes(self, batch: Batch) -> Batch:
        """Translate a batch both ways by the live generators."""
        a, b = batch["source"], batch["target"]
        return {"fake_a": self.generator(b, "b2a"), "fake_b": self.generator(a, "a2b")}

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute half the objective's terms of both discriminators."""
        part, kept = len(self._stashed), self.pop_fakes(batch)
        sides = {
            "b": (self.discriminator, batch["target"], self.query_pool(self.pool, kept["fake_b"], "b", part)),
            "a": (self.discriminator_back, batch["source"], self.query_pool(self.pool_back, kept["fake_a"], "a", part)),
        }
        terms: Terms = {}
        for domain, (discriminator, real, fake) in sides.items():
            real_logits, fake_logits = self.batched_call(discriminator, real, fake)
            found = self.objective.discriminator(full_precision(real_logits), full_precision(fake_logits))
            terms |= {f"{name}_{domain}": term / 2 for name, term in found.items()}
        return terms

    def adversarial_loss(self, domain: str, discriminator: nn.Module, fake: Tensor, real: Tensor) -> Terms:
        """Compute the objective's terms of the generator that made ``fake``."""
        real_logits = full_precision(discriminator(real)) if self.objective.needs_real else None
        terms = self.objective.generator(full_precision(discriminator(fake)), real_logits)
        return {f"{name}_{domain}": term for name, term in terms.items()}

    def batched_call(self, network: Any, *images: Tensor) -> tuple[Tensor, ...]:
        """Apply a network to several batches, in one call if that gives the same."""
        if not self.joins_calls:
            return tuple(network(batch) for batch in images)
        made: tuple[Tensor, ...] = network(torch.cat(images)).chunk(len(images))
        return made

    def query_pool(self, pool: ImagePool, fakes: Tensor, domain: str, part: int) -> Tensor:
        """Exchange this process's newest fakes with the pool of older ones, for the discriminator."""
        if not pool.size:
            return fakes
        seed = derive_seed("pool", self.seed, self.iteration, part, domain)
        rows = self.reader.rows_for(len(fakes), self)
        seen: Tensor = pool(self.gather_fakes(fakes), seed)
        return rows.take(seen)

    def gather_fakes(self, images: Tensor) -> Tensor:
        """Gather images of all processes in the order of the global batch."""
        return self.reader.rows_for(len(images), self).gather(images)

    # ------------------------------------------------------------------------------ translation

    def network_of(self, direction: str) -> nn.Module:
        """Return the generator of a direction, averaged if there is an average."""
        network: nn.Module = getattr(self.sampler, direction)
        return network

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return an image of A, its translation to B and back; then one of B, to A and back."""
        made: dict[str, Tensor] = {}
        for domain, side, there, back in (("a", "source", "a2b", "b2a"), ("b", "target", "b2a", "a2b")):
            fake = self.translate(batch[side], direction=there)
            made |= {domain: batch[side], f"fake_of_{domain}": fake}
            made[f"back_in_{domain}"] = self.translate(fake, direction=back)
        return made

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, both ways, and that identity loss fits both domains."""
        a, b = shapes["source"], shapes["target"]
        if self.identity_weight and a != b:
            raise ValueError(
                f"model.identity_weight={self.identity_weight}: needs domains of one shape; data has {a} and {b}; "
                "set it to 0"
            )
        super().check_data(shapes)
        try:
            made = tuple(self.translate(torch.zeros(1, *b, device=self.device), direction="b2a").shape[1:])
        except RuntimeError as error:
            raise ValueError(f"model.generator_back does not take the data's targets {b}: {error}") from error
        if made != a:
            raise ValueError(f"model.generator_back makes images {made}; data has sources {a}")
        for name, pool, shape in (("pool", self.pool, b), ("pool_back", self.pool_back, a)):
            if tuple(pool.images.shape[1:]) != shape:
                raise ValueError(f"model.{name} holds images {tuple(pool.images.shape[1:])}; data has {shape}")

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return both discriminators, by name."""
        return {"discriminator": self.discriminator, "discriminator_back": self.discriminator_back}


if not TYPE_CHECKING:
    __getattr__ = moved_from(__name__)
