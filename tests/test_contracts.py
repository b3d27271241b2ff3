"""What every family keeps, found by its config."""

import json

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import lightning_gans
from conftest import (
    MODELS,
    TABLES,
    TINY_FAMILY,
    assert_same_training,
    command_here,
    newest,
    run,
    tiny,
    tiny_model,
    watched,
)
from lightning_gans import build, compose
from lightning_gans.evaluation.selection import select_metrics
from lightning_gans.images.files import save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.losses.objectives import Hinge, LeastSquares, NonSaturating, Relativistic, Saturating, Wasserstein
from lightning_gans.models.translation import TranslationModule
from lightning_gans.tables.embedded import census
from lightning_gans.tables.reading import read_table


@pytest.fixture(scope="module", params=MODELS)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def trained(family, tmp_path_factory):
    """A short training of the family and its folder."""
    folder = tmp_path_factory.mktemp(family)
    return run(folder, model=family), folder


def translates(model):
    """Whether a family makes images from images, and not from latents."""
    return isinstance(model, TranslationModule)


def images_of(model, data, n, *, seed=0, batch_size=64):
    """Samples, or translations of the data's first examples: (n, C, H, W)."""
    if not translates(model):
        return model.sample(n, seed=seed, batch_size=batch_size)
    batches = [data.examples(range(n)[start : start + batch_size]) for start in range(0, n, batch_size)]
    return torch.cat([model.translate_batch(batch, seed=seed) for batch in batches])


def test_samples_have_the_declared_shape_and_range(family, tmp_path):
    made = build(compose(*tiny(family)), tmp_path)
    images = images_of(made.model, made.data, 3)
    assert images.shape == (3, *made.data.shape)
    assert images.abs().max() <= 1


SOURCED = [model for model in MODELS if any(option.startswith("data=") for option in TINY_FAMILY.get(model, []))]
TRANSLATING = [model for model in SOURCED if model not in (*TABLES, "stackgan")]
OBJECTIVES = [Saturating, NonSaturating, LeastSquares, Wasserstein, Hinge, Relativistic]


@pytest.mark.parametrize("model", TRANSLATING)
def test_every_objective_suits_a_translation_familys_last_phase(model, tmp_path):
    """The first phases can do without."""
    made = build(compose(*tiny(model)), tmp_path)
    made.model.trainer, made.model.iteration = made.trainer, 100
    batch = made.data.examples(range(2))
    for objective in OBJECTIVES:
        made.model.objective = objective()
        for player, network in (("g", made.model.generator), ("d", made.model.discriminator)):
            terms = made.model.loss(player, batch)
            gradients = torch.autograd.grad(sum(terms.values()), list(network.parameters()), allow_unused=True)
            assert any(gradient is not None and gradient.any() for gradient in gradients), (objective, player)


def test_every_parameter_gets_a_gradient_and_moves(family, tmp_path):
    made = build(compose(*tiny(family), "trainer.max_steps=3"), tmp_path)
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    made.fit()
    still = [name for name, p in made.model.named_parameters() if torch.equal(before[name], p.detach())]
    objective = getattr(made.model, "objective", None)
    if isinstance(objective, Wasserstein) and not objective.drift:  # does not change with a constant in D
        constant = [name for name in before if name.startswith("discriminator")][-1]
        still = [*still, constant] if family == "ctgan" else still  # whose weight decay moves it
        still.remove(constant)
    assert still == []


def test_each_update_leaves_the_other_players_bit_identical(family, tmp_path):
    """In every phase of the training; gradients of those that stand still are not even computed."""
    made, watch = watched(tmp_path, model=family)
    assert {player for player, _ in watch.changes} == set(made.model._trainable)
    for player, moved in watch.changes:
        assert {watch.owners[name] for name in moved} == {player}


def test_checkpoint_gives_the_same_samples(trained):
    made, folder = trained
    loaded = lightning_gans.load(folder)
    assert not loaded.training
    assert loaded.iteration == made.model.iteration == 4
    assert torch.equal(images_of(loaded, made.data, 5, seed=3), images_of(made.model, made.data, 5, seed=3))


def test_checkpoint_is_plain_data(trained):
    content = newest(trained[1])  # with weights_only=True
    assert content["config"]["resolved"]["model"]["_target_"].startswith("lightning_gans.models.")
    assert content["config"]["resolved"]["model"]["seed"] == 0


def test_resume_equals_unbroken(family, tmp_path):
    run(tmp_path / "whole", "trainer.max_steps=5", model=family)
    run(tmp_path / "part", "trainer.max_steps=2", model=family)
    run(tmp_path / "part", "trainer.max_steps=5", model=family, resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_same_seed_same_images_whatever_the_batch_size(trained):
    module, data = trained[0].model, trained[0].data
    whole = images_of(module, data, 40, seed=7, batch_size=40)
    for size in (1, 7, 64):
        pieces = images_of(module, data, 40, seed=7, batch_size=size)
        torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-3)  # a seventh of a grey level; kernels differ
    torch.testing.assert_close(images_of(module, data, 10, seed=7), whole[:10], rtol=0, atol=1e-3)
    assert translates(module) or not torch.allclose(module.sample(10, seed=8), whole[:10], atol=1e-2)


def test_a_plain_trainer_and_loader_train_it(family, tmp_path):
    """Tuples of uint8, a batch of an odd size and a short last one; then save, load and sample."""
    module = tiny_model(family)
    n = 2 * (chunk := 2 * module.plan(0).n_critic) + 1
    size = 16 // (module.scale if translates(module) else 1)
    images = torch.randint(0, 256, (n, 1, 16, 16), dtype=torch.uint8)
    sources, labels = torch.randint(0, 256, (n, 1, size, size), dtype=torch.uint8), torch.arange(n) % 10
    items = [sources, images] if translates(module) else [images, labels]
    if family == "stackgan":
        items = [images, torch.randn(n, module.generator.text_dim)]
    if family in TABLES:
        table = module.generator.table
        items = [table.rows(table.encode(census(50).take(range(n))))]
    trainer = Trainer(
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
    )
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    trainer.fit(module, DataLoader(TensorDataset(*items), batch_size=chunk + 1))
    assert (module.iteration, module.images_seen, trainer.global_step) == (2, n, 2)
    assert not all(torch.equal(before[name], p) for name, p in module.named_parameters())
    loaded = lightning_gans.load(trainer.checkpoint_callback.best_model_path)
    assert (loaded.iteration, loaded.images_seen) == (2, n)
    if translates(module):
        sources = sources[:2].float() / 127.5 - 1
        made = [one.eval().translate(sources, seed=1) for one in (module, loaded)]
    else:
        made = [one.eval().sample(2, seed=1) for one in (module, loaded)]
    assert made[0].shape == ((2, module.generator.width) if family in TABLES else (2, 1, 16, 16))
    assert torch.equal(*made)


@pytest.mark.slow
def test_sample_or_translate_and_evaluate_from_the_file_alone(trained, tmp_path, monkeypatch, capsys):
    """In a folder of their own; nothing is left behind but what was asked for."""
    checkpoint = tmp_path / "only this.ckpt"
    checkpoint.write_bytes((trained[1] / "checkpoints" / "last.ckpt").read_bytes())
    work = tmp_path / "work"
    work.mkdir()
    if trained[0].model.data_kinds == ("table",):
        sample_and_score_rows(trained[0].model, checkpoint, work, monkeypatch, capsys)
        return
    if translates(trained[0].model):
        sources = to_uint8(trained[0].data.examples(range(5))["source"])
        for i, source in enumerate(sources):
            save(source, tmp_path / "in" / f"{i:06d}.png")
        options = [f"checkpoint={checkpoint}", f"input={tmp_path / 'in'}", "out=my samples"]
        arguments = ["lightning_gans.translate", *options]
        expected = to_uint8(trained[0].model.translate(trained[0].data.examples(range(5))["source"])).permute(
            0, 2, 3, 1
        )
    else:
        arguments = ["lightning_gans.sample", f"checkpoint={checkpoint}", "n=5", "out=my samples"]
        expected = to_uint8(trained[0].model.sample(5)).permute(0, 2, 3, 1)
    assert command_here(*arguments, cwd=work, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    names = sorted(path.name for path in (work / "my samples").iterdir())
    assert names[:5] == [f"{i:06d}.png" for i in range(5)]
    assert names[5:] in (["grid.png"], ["sheet.png"])
    for name, pixels in zip(names, expected, strict=False):
        found = np.asarray(Image.open(work / "my samples" / name)).reshape(pixels.shape)
        assert abs(found.astype(int) - pixels.numpy().astype(int)).max() <= 1
    arguments = ["lightning_gans.evaluate", f"checkpoint={checkpoint}", "n=20", "out=scores"]
    assert command_here(*arguments, cwd=work, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    card = json.loads((work / "scores" / "only this.scores.json").read_text())
    assert card["n"] == 20
    expected = {"fd_digits", "is_digits", "kd_digits"}
    if translates(trained[0].model):
        chosen = select_metrics(None, trained[0].model, trained[0].data)
        expected = {metric.name for metric in chosen} - {"frechet", "kernel"}
        assert card["translated"] == "test"
    assert expected <= set(card["scores"])
    assert sorted(path.name for path in work.iterdir()) == ["my samples", "scores"]


def sample_and_score_rows(model, checkpoint, work, monkeypatch, capsys):
    """The file alone gives rows; scores need the table as well, which this one embeds."""
    arguments = ["lightning_gans.sample", f"checkpoint={checkpoint}", "n=30", "out=rows.csv"]
    assert command_here(*arguments, cwd=work, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    assert read_table(str(work / "rows.csv")) == model.generator.table.decode(model.sample(30))
    arguments = ["lightning_gans.evaluate", f"checkpoint={checkpoint}", "n=40", "out=scores"]
    assert command_here(*arguments, cwd=work, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    card = json.loads((work / "scores" / "only this.scores.json").read_text())
    assert {"column_shapes", "column_tv", "pair_trends", "detection", "detection_linear"} <= set(card["scores"])
    assert card["n"] == 40
    assert sorted(path.name for path in work.iterdir()) == ["rows.csv", "scores"]


def test_a_translator_has_no_samples_and_says_what_it_has(trained, tmp_path, monkeypatch, capsys):
    if not translates(trained[0].model):
        pytest.skip("has samples")
    given = [f"checkpoint={trained[1]}", f"out={tmp_path / 'out'}"]
    for name, options in (("sample", []), ("interpolate", ["mode=slerp"])):
        command = f"lightning_gans.{name}"
        assert command_here(command, *given, *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
        assert "makes none from latents; use python -m lightning_gans.translate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
