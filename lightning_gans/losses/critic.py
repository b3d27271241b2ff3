"""Ask a critic for the logits of a loss and for their gradients by the samples, in full precision.

What a penalty differentiates has a graph outside autocast and ``torch.compile``, neither of which differentiates twice
safely. A difference quotient needs full precision too, since it divides by little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightning_gans.losses.double_backward import CheapDoubleBackward
from lightning_gans.runtime.precision import full_precision

Critic = Callable[..., Tensor]


class Judged(NamedTuple):
    """Hold samples, their conditions and logits, what took their place at the critic, and what differentiates twice."""

    samples: Tensor
    conditions: tuple[Tensor, ...]
    logits: Tensor
    taken: Tensor
    twice: CheapDoubleBackward | None = None


def input_gradients(critic: Critic, samples: Tensor, *conditions: Tensor) -> Tensor:
    """Return the gradient of each sample's logit (or sum of logits) with respect to that sample, with its graph.

    Args:
        critic: Maps samples (N, ...) and conditions to logits (N, ...), each depending on its own sample only.
        samples: Where to differentiate, (N, ...).
        *conditions: Passed on to the critic as they are.

    Returns:
        Gradients, (N, D) with D the number of values in a sample.
    """
    judged = critic.known(samples, conditions) if isinstance(critic, RememberingCritic) else None
    if judged is None or judged.twice is None:
        judged = _judge_twice(critic, full_precision(samples), conditions)
    assert judged.twice is not None
    with torch.autocast(judged.taken.device.type, enabled=False):
        return judged.twice.gradients(judged.logits.sum(), judged.taken).flatten(1)


def _judge_twice(critic: Critic, samples: Tensor, conditions: tuple[Tensor, ...]) -> Judged:
    """Call a critic so that the gradients of its logits by the samples can be differentiated."""
    taken = samples.detach().requires_grad_(True)
    plain = sdpa_kernel(SDPBackend.MATH)  # attention whose gradient can be differentiated
    eager, twice = torch.compiler.set_stance("force_eager"), CheapDoubleBackward()
    with torch.autocast(taken.device.type, enabled=False), eager, plain, twice:
        return Judged(samples, conditions, critic(taken, *conditions), taken, twice)


class RememberingCritic:
    """Call a critic, but answer by the loss's own logits where a penalty asks about the samples of the loss.

    Args:
        critic: Maps samples and conditions to logits, for a penalty.
        judge: The same for the loss.
        differentiated: Sides, of ``real`` and ``fake``, whose logits a penalty will differentiate by the samples: they
            are made as ``input_gradients`` makes them, which saves it a forward pass.
    """

    def __init__(self, critic: Critic, judge: Critic, differentiated: tuple[str, ...] = ()) -> None:
        self.critic, self._judge, self.differentiated = critic, judge, differentiated
        self._judged: list[Judged] = []

    def judge(self, side: str, samples: Tensor, *conditions: Tensor) -> Tensor:
        """Return the logits of a side's samples (N, ...), ``real`` or ``fake``, and remember them."""
        if side in self.differentiated and full_precision(samples) is samples:
            judged = _judge_twice(self._judge, samples, conditions)
        else:
            judged = Judged(samples, conditions, self._judge(samples, *conditions), samples)
        self._judged.append(judged)
        return judged.logits

    def known(self, samples: Tensor, conditions: tuple[Tensor, ...]) -> Judged | None:
        """Return what is remembered of samples under conditions, or some of them; by identity, not by value."""
        for judged in self._judged:
            own = {id(condition) for condition in judged.conditions}
            if judged.samples is samples and own.issuperset(map(id, conditions)):
                return judged
        return None

    def __call__(self, samples: Tensor, *conditions: Tensor) -> Tensor:
        """Return the logits of samples (N, ...)."""
        judged = self.known(samples, conditions)
        logits: Tensor = self.critic(samples, *conditions) if judged is None else judged.logits
        return logits
