"""Objectives against their closed forms, values and gradients."""

import math

import pytest
import torch

from lightning_gans.losses.objectives import Hinge, LeastSquares, NonSaturating, Relativistic, Saturating, Wasserstein

REAL, FAKE = [0.3, -1.2, 2.5], [-0.7, 0.4, 1.5]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


# objective, its value and slope for a real, a fake in D's loss, a fake in G's loss
CASES = [
    (
        Saturating(),
        (lambda r: -math.log(sigmoid(r)), lambda r: sigmoid(r) - 1),
        (lambda f: -math.log(1 - sigmoid(f)), sigmoid),
        (lambda f: math.log(1 - sigmoid(f)), lambda f: -sigmoid(f)),
    ),
    (
        NonSaturating(),
        (lambda r: -math.log(sigmoid(r)), lambda r: sigmoid(r) - 1),
        (lambda f: -math.log(1 - sigmoid(f)), sigmoid),
        (lambda f: -math.log(sigmoid(f)), lambda f: sigmoid(f) - 1),
    ),
    (
        LeastSquares(a=-1, b=1, c=0),
        (lambda r: (r - 1) ** 2 / 2, lambda r: r - 1),
        (lambda f: (f + 1) ** 2 / 2, lambda f: f + 1),
        (lambda f: f**2 / 2, lambda f: f),
    ),
    (
        Wasserstein(),
        (lambda r: -r, lambda r: -1),
        (lambda f: f, lambda f: 1),
        (lambda f: -f, lambda f: -1),
    ),
    (
        NonSaturating(label_smoothing=0.1),
        (lambda r: -0.9 * math.log(sigmoid(r)) - 0.1 * math.log(1 - sigmoid(r)), lambda r: sigmoid(r) - 0.9),
        (lambda f: -math.log(1 - sigmoid(f)), sigmoid),
        (lambda f: -math.log(sigmoid(f)), lambda f: sigmoid(f) - 1),
    ),
    (
        Hinge(),
        (lambda r: max(0, 1 - r), lambda r: -1 if r < 1 else 0),
        (lambda f: max(0, 1 + f), lambda f: 1 if f > -1 else 0),
        (lambda f: -f, lambda f: -1),
    ),
]


@pytest.mark.parametrize(("objective", "of_real", "of_fake", "of_generator"), CASES, ids=lambda x: type(x).__name__)
def test_values_and_gradients(objective, of_real, of_fake, of_generator):
    real = torch.tensor(REAL, requires_grad=True)
    fake = torch.tensor(FAKE, requires_grad=True)
    terms = objective.discriminator(real, fake)
    assert terms["real"].item() == pytest.approx(sum(map(of_real[0], REAL)) / 3, abs=1e-6)
    assert terms["fake"].item() == pytest.approx(sum(map(of_fake[0], FAKE)) / 3, abs=1e-6)
    gradients = torch.autograd.grad(sum(terms.values()), (real, fake))
    assert gradients[0].tolist() == pytest.approx([of_real[1](r) / 3 for r in REAL], abs=1e-6)
    assert gradients[1].tolist() == pytest.approx([of_fake[1](f) / 3 for f in FAKE], abs=1e-6)

    loss = sum(objective.generator(fake).values())
    assert loss.item() == pytest.approx(sum(map(of_generator[0], FAKE)) / 3, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, fake)
    assert gradient.tolist() == pytest.approx([of_generator[1](f) / 3 for f in FAKE], abs=1e-6)


@pytest.mark.parametrize("objective", [Saturating(), NonSaturating(), LeastSquares(), Wasserstein(), Hinge()])
def test_extreme_logits_stay_finite(objective):
    logits = torch.tensor([-1e4, 1e4])
    terms = {**objective.discriminator(logits, logits), **objective.generator(logits)}
    assert all(torch.isfinite(term) for term in terms.values())


def test_drift_is_the_mean_square_of_the_scores_of_reals():
    real, fake = torch.tensor(REAL, requires_grad=True), torch.tensor(FAKE, requires_grad=True)
    terms = Wasserstein(drift=0.25).discriminator(real, fake)
    assert terms["drift"].item() == pytest.approx(0.25 * sum(r**2 for r in REAL) / 3)
    gradients = torch.autograd.grad(sum(terms.values()), (real, fake))
    assert gradients[0].tolist() == pytest.approx([(-1 + 0.5 * r) / 3 for r in REAL])
    assert gradients[1].tolist() == pytest.approx([1 / 3] * 3)
    assert set(Wasserstein().discriminator(real, fake)) == {"real", "fake"}
    with pytest.raises(ValueError, match=r"^drift=-1: must be >= 0"):
        Wasserstein(drift=-1)


def test_logits_of_a_patch_discriminator_count_alike():
    patches = torch.randn(2, 1, 3, 3)
    flat = NonSaturating().generator(patches.flatten())
    assert torch.equal(NonSaturating().generator(patches)["adversarial"], flat["adversarial"])


def test_relativistic_pairs():
    real = torch.tensor(REAL, requires_grad=True)
    fake = torch.tensor(FAKE, requires_grad=True)
    gaps = [r - f for r, f in zip(REAL, FAKE, strict=True)]
    (term,) = Relativistic().discriminator(real, fake).values()
    assert term.item() == pytest.approx(sum(-math.log(sigmoid(gap)) for gap in gaps) / 3, abs=1e-6)
    of_real, of_fake = torch.autograd.grad(term, (real, fake))
    assert of_real.tolist() == pytest.approx([(sigmoid(gap) - 1) / 3 for gap in gaps], abs=1e-6)
    assert of_fake.tolist() == pytest.approx([(1 - sigmoid(gap)) / 3 for gap in gaps], abs=1e-6)
    (term,) = Relativistic().generator(fake, real.detach()).values()
    assert term.item() == pytest.approx(sum(-math.log(sigmoid(-gap)) for gap in gaps) / 3, abs=1e-6)
    (of_fake,) = torch.autograd.grad(term, fake)
    assert of_fake.tolist() == pytest.approx([-sigmoid(gap) / 3 for gap in gaps], abs=1e-6)
    with pytest.raises(ValueError, match="needs the logits of real samples"):
        Relativistic().generator(fake)


@pytest.mark.parametrize("smoothing", [-0.1, 0.5])
def test_label_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match=r"^label_smoothing=.* must be from 0 to below 0\.5"):
        NonSaturating(smoothing)
