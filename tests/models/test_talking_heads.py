"""Losses, rows of W and people of talking heads, against plain torch."""

import pytest
import torch
import torch.nn.functional as F

from conftest import run, tiny, tiny_model
from lightning_gans import build, compose
from lightning_gans.config.errors import ConfigError
from lightning_gans.models.lazy_adam import LazyAdam
from lightning_gans.models.updates import decay_groups
from lightning_gans.networks.talking_heads import VideoRows

VIDEOS = {"discriminator.num_videos": 4}


@pytest.fixture
def heads(float64):
    """A module in float64 and a batch of three videos with two frames each."""
    module = tiny_model("talking_heads", **VIDEOS).double()
    rng = torch.Generator().manual_seed(0)
    shapes = {"source": (3, 1), "target": (3, 1), "frames": (3, 2, 1), "drawings": (3, 2, 1)}
    batch = {key: torch.rand(*shape, 16, 16, generator=rng) * 2 - 1 for key, shape in shapes.items()}
    return module.eval(), {**batch, "video": torch.tensor([2, 0, 2])}


def test_an_embedding_is_the_mean_over_the_frames(heads):
    module, batch = heads
    single = [module.encoder(batch["frames"][:, k], batch["drawings"][:, k]) for k in range(2)]
    torch.testing.assert_close(module.embed(batch), (single[0] + single[1]) / 2)
    torch.testing.assert_close(module.person_of(batch["frames"][1], batch["drawings"][1]), module.embed(batch)[1])


def test_the_generators_terms(heads):
    module, batch = heads
    embedding = module.embed(batch)
    fake = module.generator(batch["source"], embedding)
    of_fake, of_real = (
        module.discriminator(images, batch["source"], batch["video"]) for images in (fake, batch["target"])
    )
    pixels = [(fake - batch["target"]).abs().mean()]
    pixels.append((F.avg_pool2d(fake, 2) - F.avg_pool2d(batch["target"], 2)).abs().mean())  # 16 and 8 pixels
    blocks = [(one - two).abs().mean() for one, two in zip(of_fake[:-1], of_real[:-1], strict=True)]
    rows = module.discriminator.rows.weight[batch["video"]]
    expected = {
        "adversarial": -of_fake[-1].mean(),
        "pyramid": 10 * sum(pixels) / 2,
        "matching": 10 * sum(blocks) / 3,
        "embedding": 80 * (embedding - rows).abs().mean(),
    }
    terms = module.generator_loss(batch)
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], msg=name)


def test_the_discriminators_terms_on_the_very_fakes(heads):
    module, batch = heads
    module.generator_loss(batch)
    fake = module.generator(batch["source"], module.embed(batch)).detach()
    logits = [module.discriminator(x, batch["source"], batch["video"])[-1] for x in (batch["target"], fake)]
    terms = module.discriminator_loss(batch)
    torch.testing.assert_close(terms["real"], F.relu(1 - logits[0]).mean())
    torch.testing.assert_close(terms["fake"], F.relu(1 + logits[1]).mean())


def test_embeddings_are_drawn_to_the_rows_and_not_the_reverse(heads):
    module, batch = heads
    term = module.generator_loss(batch)["embedding"]
    moved = torch.autograd.grad(
        term, [module.encoder.blocks[0].conv_1.bias, module.discriminator.rows.weight], allow_unused=True
    )
    assert moved[0].any()
    assert moved[1] is None


# ------------------------------------------------------------------------------------- rows of W


def test_every_row_steps_as_adam_on_it_alone(float64):
    """Rows are seen in other steps each; what is no table is plain Adam's."""
    torch.manual_seed(0)
    rows, other = VideoRows(3, 5), torch.nn.Linear(5, 2)
    whole = torch.nn.ModuleList([rows, other])
    start = rows.weight.detach().clone()
    plain = torch.nn.Parameter(other.weight.detach().clone())
    optimizer = LazyAdam(decay_groups(whole, [rows.weight, other.weight]), lr=0.1, betas=(0.5, 0.9))
    alone = [torch.nn.Parameter(row.clone()) for row in start]
    apart = [torch.optim.Adam([row], lr=0.1, betas=(0.5, 0.9)) for row in [*alone, plain]]
    for seen in ([0], [0, 2], [2], [0], [2, 0]):
        gradient = torch.zeros(3, 5)
        gradient[seen] = torch.randn(len(seen), 5)
        rows.weight.grad, other.weight.grad = gradient, torch.randn(2, 5)
        plain.grad = other.weight.grad.clone()
        for i in seen:
            alone[i].grad = gradient[i].clone()
        optimizer.step()
        for i in [*seen, 3]:
            apart[i].step()
    torch.testing.assert_close(rows.weight.detach(), torch.stack([row.detach() for row in alone]))
    torch.testing.assert_close(other.weight, plain)
    assert torch.equal(rows.weight[1], start[1])


def test_the_rows_of_videos_that_are_not_in_the_batch_stay(tmp_path):
    """Also in the steps after one in which they were; two of four videos are in a step."""
    options = ["data.identities=4", "data.expressions_per_identity=4", "model.batch_size=1", "trainer.max_steps=4"]
    made = build(compose(*tiny("talking_heads"), *options), tmp_path)
    rows, seen, found = made.model.discriminator.rows.weight, [], []
    loss = made.model.discriminator_loss

    def watched(batch):
        seen.append((batch["video"].tolist(), rows.detach().clone()))
        return loss(batch)

    made.model.discriminator_loss = watched
    made.fit()
    states = [*(before for _, before in seen), rows.detach()]
    for (videos, before), after in zip(seen, states[1:], strict=True):
        moved = (before != after).any(1).nonzero()[:, 0].tolist()
        assert set(moved) <= set(videos)
        found += moved
    assert set(found) == {0, 1, 2, 3}
    assert len(seen) == 8  # two a step


def test_an_optimiser_that_would_move_idle_rows_is_refused(tmp_path):
    options = ["model.d_optimizer._target_=torch.optim.Adam", "trainer.max_steps=1"]
    with pytest.raises(ConfigError, match="moves the rows of videos that are not in the batch"):
        run(tmp_path, *options, model="talking_heads")


def test_a_video_without_a_row_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"num_videos=1: the data has videos up to number 1"):
        run(tmp_path, "model.discriminator.num_videos=1", model="talking_heads")


# ------------------------------------------------------------------------------------- a person


def test_personalise_changes_no_image_and_makes_the_style_free(heads):
    """w' = w_0 + e, P e + c becomes c, and fine-tuning moves it, but not P."""
    module, batch = heads
    drawings, frames = batch["drawings"][1], batch["frames"][1]
    embedding = module.person_of(frames, drawings)
    expected = module.generator(batch["source"], embedding.expand(3, -1))
    common = module.discriminator.common.detach().clone()
    module.personalise(frames, drawings)
    torch.testing.assert_close(module.translate(batch["source"]).double(), expected, rtol=0, atol=1e-5)  # in float32
    torch.testing.assert_close(module.discriminator.common.detach(), common + embedding)
    terms = module.generator_loss({"source": batch["source"], "target": batch["target"]})
    assert "embedding" not in terms
    projection = module.generator.projection
    gradients = torch.autograd.grad(sum(terms.values()), [projection.weight, projection.bias])
    assert not gradients[0].any()
    assert gradients[1].any()


def test_the_mean_person_follows_the_embeddings(tmp_path):
    made = build(compose(*tiny("talking_heads"), "trainer.max_steps=2"), tmp_path)
    module, steps = made.model, []
    loss = module.generator_loss

    def watched(batch):
        terms = loss(batch)
        steps.append(module._embeddings[-1].mean(0))
        return terms

    module.generator_loss = watched
    made.fit()
    torch.testing.assert_close(module.person, (steps[0] + steps[1]) / 2)


def test_networks_of_other_embeddings_are_refused():
    with pytest.raises(ValueError, match="embeddings of 6"):
        tiny_model("talking_heads", **{"discriminator.embedding_dim": 6})
