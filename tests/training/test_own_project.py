"""A plain Trainer with a plain DataLoader: counts, resume, checkpoints, scores, two processes."""

import warnings

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

import lightning_gans
from conftest import TORCHRUN, assert_equal_weights, command
from lightning_gans.callbacks import Evaluation, SampleGrid
from lightning_gans.checkpoints.files import read
from lightning_gans.extractors import DigitsExtractor
from lightning_gans.images.files import save
from lightning_gans.models import DCGAN, WGANGP
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator

SMALL = {"generator": {"base_channels": 4, "latent_dim": 8}, "discriminator": {"base_channels": 4}}
PICTURES = torch.randint(0, 256, (70, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(70) % 10
QUIET = {
    **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False),
    "accelerator": "cpu",
}
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


def small(name="wgan_gp", **options):
    torch.manual_seed(0)
    return lightning_gans.create_model(name, image_size=16, channels=1, **{"batch_size": 8, **SMALL, **options})


def fit(module, batch_size, data=None, *, ckpt_path=None, **options):
    trainer = Trainer(**{**QUIET, **options})
    data = TensorDataset(PICTURES, LABELS) if data is None else data
    trainer.fit(module, DataLoader(data, batch_size=batch_size), ckpt_path=ckpt_path)
    return trainer


# ------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("batch_size", "shown", "steps", "said"),
    [
        (40, 70, 2, None),  # n_critic x batch_size, and a short last one of 30
        (64, 70, 2, "a batch has 64 images, not n_critic=5 x batch_size=8: an update sees 13 or 12, and 64 a step"),
        (11, 66, 6, "a batch of 4 images is too small for n_critic=5 updates; it is left out"),
    ],
)
def test_counts_are_of_what_was_shown(batch_size, shown, steps, said):
    module = small()
    sizes = []
    critic_loss = module.discriminator_loss
    module.discriminator_loss = lambda batch: sizes.append(len(batch["image"])) or critic_loss(batch)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer = fit(module, batch_size, max_epochs=1)
    told = [str(warning.message) for warning in told]
    assert (module.images_seen, module.iteration, trainer.global_step) == (shown, steps, steps)
    assert sum(sizes) == shown
    assert len(sizes) == 5 * steps
    assert any("an update sees" in text for text in told) is (batch_size != 40)
    assert said is None or any(said in text for text in told)


def test_the_average_ada_and_schedules_go_by_what_was_shown():
    schedule = {"_target_": "lightning_gans.schedules.learning_rate.CosineDecay", "_partial_": True}
    schedule |= {"kimg": 0.14, "batch_size": 40, "final": 0.0}
    augment = {"_target_": "lightning_gans.augment.adaptive.AdaptiveAugment", "interval": 1, "kimg": 1.0}
    module = small(n_critic=2, g_scheduler=schedule, augment=augment, objective="non_saturating", penalty=None)
    betas = []
    beta = module.ema.beta
    module.ema.beta = lambda images, seen: betas.append((images, seen)) or beta(images, seen)
    trainer = fit(module, 35, max_epochs=2)
    assert betas == [(35, 35), (35, 70), (35, 105), (35, 140)]
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(0, abs=1e-12)  # 0.14 thousand images are over
    assert any(float(module.augment.p) == pytest.approx(0.035 * moves, abs=1e-6) for moves in range(5))


def test_a_loader_that_never_has_enough_images_is_refused():
    with pytest.raises(ValueError, match="no batch has n_critic=5 x 1 images for every process"):
        fit(small(), 4, max_steps=3)


def test_wrong_shapes_are_told_in_the_words_of_check_data():
    with pytest.raises(ValueError, match=r"makes images \(1, 16, 16\); data has \(3, 8, 8\)"):
        fit(small(), 10, TensorDataset(torch.zeros(10, 3, 8, 8)), max_steps=1)


def test_a_short_batch_may_be_smaller_than_accumulate():
    module = small(n_critic=2, accumulate=4)
    fit(module, 67, max_epochs=1)
    assert (module.iteration, module.images_seen) == (2, 70)


def test_conditional_families_learn_the_frequencies_of_a_set_that_lists_its_labels():
    tiny = {"latent_dim": 8, "latent_width": 8, "class_width": 8, "hidden": 8}
    seen = {"image_width": 8, "class_width": 4, "hidden": 8}
    module = small("cgan", num_classes=3, generator=tiny, discriminator=seen)
    labels = torch.tensor([0] * 40 + [1] * 20 + [2] * 10)
    fit(module, 35, TensorDataset(PICTURES, labels), max_steps=1)
    assert module.conditioning.label.counts.tolist() == [40, 20, 10]
    with pytest.raises(ValueError, match="batches have image; CGAN needs label"):
        fit(module, 35, TensorDataset(PICTURES), max_steps=2)


def test_passes_over_a_plain_set_end_schedules_in_epochs():
    options = {"g_scheduler": {"constant": 1, "decay": 1}, "d_scheduler": {"constant": 1, "decay": 1}}
    nets = {"generator": {"base_channels": 4, "max_channels": 8}}
    nets["discriminator"] = {"base_channels": 4, "receptive_field": 16}
    module = lightning_gans.create_model("pix2pix", image_size=16, channels=1, **nets, **options)
    trainer = fit(module, 35, TensorDataset(PICTURES, PICTURES), max_epochs=2)
    assert trainer.global_step == 4
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0
    assert module.test_statistics == "running"  # trained on 35 at once, though the paper's are single


# ------------------------------------------------------------------------------------- checkpoints


class Steps(Callback):
    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append(trainer.global_step)


def test_resume_goes_on_and_checkpoints_describe_themselves(tmp_path):
    unshuffled = {"max_epochs": 2, "default_root_dir": tmp_path}
    whole = small()
    fit(whole, 40, **unshuffled)
    part, watch = small(), Steps()
    logger = CSVLogger(tmp_path)
    options = {"enable_checkpointing": True, "logger": logger, "callbacks": [watch], "log_every_n_steps": 1}
    trainer = fit(part, 40, **{**unshuffled, **options, "max_epochs": 1})
    assert watch.steps == [1, 2]
    assert "train/kimg" in (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    path = trainer.checkpoint_callback.best_model_path
    resumed = small()
    fit(resumed, 40, ckpt_path=path, **unshuffled)
    assert resumed.images_seen == whole.images_seen == 140
    for name, value in whole.state_dict().items():
        assert not isinstance(value, torch.Tensor) or torch.equal(resumed.state_dict()[name], value), name
    content = torch.load(path, weights_only=True)
    assert content["config"]["resolved"]["model"]["n_critic"] == 5
    assert read(path)["config"] == content["config"]
    images = part.eval().sample(3, seed=1)
    for loaded in (lightning_gans.load(path), WGANGP.load_from_checkpoint(path).eval()):
        assert torch.equal(loaded.sample(3, seed=1), images)
        assert (loaded.iteration, loaded.images_seen) == (2, 70)
    assert WGANGP.load_from_checkpoint(path).training
    with pytest.raises(ValueError, match="holds a WGANGP, not a DCGAN"):
        DCGAN.load_from_checkpoint(path)


def test_a_module_made_as_a_class_is_loaded_likewise(tmp_path):
    how = {"image_size": 16, "channels": 1, "base_channels": 4}
    module = WGANGP(DCGANGenerator(**how), DCGANDiscriminator(**how, norm=None), batch_size=7)
    trainer = fit(module, 35, max_steps=1)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    loaded = lightning_gans.load(tmp_path / "own.ckpt")
    assert torch.equal(loaded.sample(2), module.eval().sample(2))
    assert (loaded.batch_size, loaded.n_critic) == (7, 5)
    networks = {"generator": DCGANGenerator(**how), "discriminator": DCGANDiscriminator(**how, norm=None)}
    again = WGANGP.load_from_checkpoint(tmp_path / "own.ckpt", **networks, batch_size=7)
    assert torch.equal(again.eval().sample(2), module.sample(2))


# ------------------------------------------------------------------------------------- scores


def test_scores_compare_with_a_dataset_or_a_folder(tmp_path):
    for i, image in enumerate(PICTURES[:40]):
        save(image, tmp_path / "real" / f"{i}.png")
    floats = TensorDataset(PICTURES.float() / 127.5 - 1, LABELS)
    for real in (TensorDataset(PICTURES, LABELS), floats, str(tmp_path / "real")):
        score = Evaluation(real=real, n=16, extractor=DigitsExtractor, metrics=["frechet"], cache=None)
        grid = SampleGrid(n=4)
        fit(small(), 35, max_steps=1, callbacks=[score, grid], default_root_dir=tmp_path / "run")
        assert score.card["scores"].keys() == {"fd_digits"}
        assert score.card["n_real"] == (40 if isinstance(real, str) else 70)
        assert grid.newest.is_file()


@pytest.mark.parametrize(
    ("real", "said"),
    [
        (None, "callbacks.evaluation.real: missing; give a dataset, a folder or an ImageDataModule"),
        (
            TensorDataset(torch.zeros(9, 1, 8, 8)),
            r"real=TensorDataset: has images \(1, 8, 8\); the module makes \(1, 16",
        ),
        ([object()], "real=list: must give images as tensors of one size"),
        ("nowhere", "callbacks.evaluation.real=nowhere"),
    ],
)
def test_what_cannot_be_compared_with_is_refused_before_training(real, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        fit(small(), 35, max_steps=1, callbacks=[Evaluation(real=real, n=16, extractor=DigitsExtractor)])


# ------------------------------------------------------------------------------------- two processes

COUNTS = {"wgan_gp": [(8, 8), (7, 6), (5, 8), (9, 1)], "vae": [(7, 6), (2, 5)], "cyclegan": [(3, 2), (2, 2)]}
SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from lightning_gans import AlternatingDDP, create_model

COUNTS = {counts}
NETS = {{"base_channels": 4, "norm": None}}
LATENT = {{"generator": {{**NETS, "latent_dim": 8}}}}
SGD = {{"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.05}}
OPTIONS = {{
    "wgan_gp": {{**LATENT, "discriminator": NETS, "n_critic": 2, "augment": "instance_noise", "g_scheduler": None}},
    "vae": {{**LATENT, "encoder": NETS}},
    "cyclegan": {{
        "generator": {{**NETS, "blocks": 1}},
        "discriminator": {{**NETS, "receptive_field": 16}},
        "pool": {{"size": 4}},
        **dict.fromkeys(("g_scheduler", "d_scheduler"), None),
    }},
}}


def trained(name, world=1, rank=0):
    torch.manual_seed(0)
    optimizers = {{key: {{"lr": 0.05}} for key in ("g_optimizer", *["d_optimizer"] * (name != "vae"))}}
    module = create_model(name, image_size=16, channels=1, **OPTIONS[name])
    for player in module.optimizer_factories:
        module.optimizer_factories[player] = lambda weights: torch.optim.SGD(weights, lr=0.05)
    rng = torch.Generator().manual_seed(3)
    batches = []
    for counts in COUNTS[name]:
        owners = [r for _, r in sorted((i, r) for r, n in enumerate(counts) for i in range(n))]
        mine = [i for i, owner in enumerate(owners) if world == 1 or owner == rank]
        entries = ("source", "target") if name == "cyclegan" else ("image",)
        joint = {{key: torch.rand(sum(counts), 1, 16, 16, generator=rng) * 2 - 1 for key in entries}}
        joint = {{key: joint[key][mine] for key in entries}}
        if world > 1 or min(counts) > 1:  # what two processes leave out, since one of them has too few
            batches.append(joint)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", devices=world, precision="64-true", use_distributed_sampler=False,
        strategy=AlternatingDDP() if world > 1 else "auto", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return module


if __name__ == "__main__":
    import os
    for name in COUNTS:
        module = trained(name, 2, int(os.environ["RANK"]))
        if int(os.environ["RANK"]) == 0:
            content = {{"state": module.state_dict(), "counts": [module.iteration, module.images_seen]}}
            torch.save(content, f"{{sys.argv[1]}}/{{name}}.pt")
"""


@pytest.mark.slow
def test_two_processes_with_unequal_batches_hold_the_weights_of_one_on_the_joint_batch(tmp_path):
    """Weighted by their images, noise included; a batch of which one process has too little is left out by both."""
    script = SCRIPT.format(counts=COUNTS)
    (tmp_path / "train.py").write_text(script)
    made = command(*TORCHRUN, str(tmp_path / "train.py"), str(tmp_path))
    assert made.returncode == 0, made.stdout + made.stderr
    here = {"__name__": "here"}
    exec(script, here)
    for name, counts in COUNTS.items():
        one, two = here["trained"](name), torch.load(tmp_path / f"{name}.pt", weights_only=True)
        assert two["counts"] == [one.iteration, one.images_seen]
        assert one.images_seen == sum(sum(pair) for pair in counts if min(pair) > 1)
        assert_equal_weights(one.state_dict(), two["state"])
