"""Compute what the theory of GANs says: divergences, transport, games, best responses."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.theory.divergences import (
        Divergences,
        histogram,
        js,
        js_from_logits,
        kl,
        kl_from_logits,
        line_samples,
        noisy_parallel_lines,
        parallel_lines,
        total_variation,
    )
    from lightning_gans.theory.games import contraction, play, running_mean
    from lightning_gans.theory.players import (
        Descent,
        descend_alone,
        discriminator_value,
        logit_gradient,
        optimal_discriminator,
    )
    from lightning_gans.theory.transport import earth_movers_distance, sliced_wasserstein, wasserstein
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Descent",
    "Divergences",
    "contraction",
    "descend_alone",
    "discriminator_value",
    "earth_movers_distance",
    "histogram",
    "js",
    "js_from_logits",
    "kl",
    "kl_from_logits",
    "line_samples",
    "logit_gradient",
    "noisy_parallel_lines",
    "optimal_discriminator",
    "parallel_lines",
    "play",
    "running_mean",
    "sliced_wasserstein",
    "total_variation",
    "wasserstein",
]
