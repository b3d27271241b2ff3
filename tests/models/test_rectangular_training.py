"""Every family trains on images of another height than width, or refuses them by name."""

import pytest
import torch
from hydra.errors import InstantiationException
from lightning import Trainer
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from conftest import MODELS, TABLES, tiny
from lightning_gans import compose
from lightning_gans.config.explain import format_error
from lightning_gans.models.pool import ImagePool
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.instantiation import instantiate

SQUARES = {
    "began": "BEGAN",
    "progan": "ProGAN",
    "stackgan": "StackGAN",
    "stylegan": "ProGAN",
    "stylegan2": "StyleGAN2",
}  # families of squares only, and what their networks are called
SIZES = {"srgan": (16, 32)}  # multiples of 16
OTHER_NETWORKS = {  # beside each family's own
    ("dcgan", "resnet"): ["model.generator.base_channels=4", "model.discriminator.base_channels=4"],
    ("wgan_gp", "dcgan"): [
        *("model.generator.base_channels=4", "model.discriminator.base_channels=4", "model.discriminator.norm=layer"),
    ],
    ("lsgan", "mlp"): ["model.generator.hidden=[8]", "model.discriminator.hidden=[8]"],
    ("dcgan", "r3gan"): [
        *(f"model.{player}.base_channels=4" for player in ("generator", "discriminator")),
        *(f"model.{player}.group_size=4" for player in ("generator", "discriminator")),
    ],
    ("pix2pix", "pix2pix_resnet"): ["model.generator.base_channels=4", "model.generator.blocks=1"],
    ("cyclegan", "cyclegan_unet"): ["model.generator.base_channels=4"],
}
ADDED = {
    "adaptive": ["model/augment=adaptive", *(f"model.augment.{o}" for o in ("target=null", "p=0.9", "cutout=1"))],
    "diffaugment": ["model/augment=diffaugment"],
}


def trained(size, *overrides):
    """Train a module on random images for two steps; return it, its batch and the networks that moved."""
    cfg = compose(*overrides)
    OmegaConf.update(cfg, "data.image_size", list(size))
    cfg.model.g_scheduler = None  # some count the passes over a set
    if "d_scheduler" in cfg.model:
        cfg.model.d_scheduler = None
    torch.manual_seed(0)
    module = instantiate(cfg.model)
    height, width = size
    n = module.plan(0).images
    if isinstance(module, TranslationModule):
        scale = module.scale
        source = torch.rand(n, cfg.data.source_channels, height // scale, width // scale) * 2 - 1
        batch = {"source": source, "target": torch.rand(n, cfg.data.channels, height, width) * 2 - 1}
        shapes = {name: tuple(value.shape[1:]) for name, value in batch.items()}
        batch |= {"instance": torch.zeros(n, 1, height, width, dtype=torch.long)}
        batch |= {"frames": batch["target"][:, None], "drawings": source[:, None]}  # of talking heads
    else:
        batch = {"image": torch.rand(n, cfg.data.channels, height, width) * 2 - 1}
        shapes = {"image": (cfg.data.channels, height, width)}
        batch |= {"label": torch.arange(n) % cfg.data.num_classes}
    module.check_data(shapes)
    before = {name: value.clone() for name, value in module.named_parameters()}
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader([batch] * 2, batch_size=None))
    moved = {name.split(".")[0] for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    return module, batch, moved


def check(module, batch, moved, size):
    players = {"generator", *(name for name in ("discriminator", "encoder") if getattr(module, name, None) is not None)}
    assert moved >= players
    assert all(value.isfinite().all() for value in module.state_dict().values() if isinstance(value, torch.Tensor))
    if isinstance(module, TranslationModule):
        assert module.translate(batch["source"]).shape[-2:] == size
        assert {panel.shape[0] for panel in module.visuals(batch).values()} == {len(batch["source"])}
    else:
        assert torch.cat(list(module.samples(range(3), seed=1))).shape[-2:] == size


@pytest.mark.parametrize("model", [model for model in MODELS if model not in (*SQUARES, *TABLES)])
def test_every_family_trains(model):
    size = SIZES.get(model, (16, 24))
    more = {
        "srgan": ["model.mse_updates=1"],
        "pix2pix_hd": ["model.coarse_updates=0", "model.enhancer_updates=0"],
        "cyclegan": ["data.source_channels=3", "model.identity_weight=0"],
    }
    check(*trained(size, *tiny(model), *more.get(model, [])), size)


@pytest.mark.parametrize(("model", "network"), OTHER_NETWORKS)
def test_every_network_trains(model, network):
    options = [option for option in tiny(model) if not option.startswith(("model.generator", "model.discriminator"))]
    fields = ["model.discriminator.receptive_field=16"] if model in ("pix2pix", "cyclegan") else []
    overrides = [*options, f"model/network={network}", *fields, *OTHER_NETWORKS[model, network]]
    check(*trained((24, 16), *overrides), (24, 16))


@pytest.mark.parametrize("augment", ADDED)
def test_augmented_rectangles_train(augment):
    check(*trained((16, 24), *tiny("dcgan"), *ADDED[augment]), (16, 24))


@pytest.mark.parametrize("model", SQUARES)
def test_families_of_squares_refuse_by_name(model):
    with pytest.raises(InstantiationException) as caught:
        trained((16, 24), *tiny(model))
    message = f"data.image_size=[16, 24]: {SQUARES[model]} makes squares only; give one side"
    assert format_error(caught.value, []) == message


def test_a_translation_says_which_sides_do_not_fit():
    module, _, _ = trained((16, 24), *tiny("pix2pix"))
    with pytest.raises(ValueError, match=r"data\.image_size=\[16, 20\]: model\.generator needs .* multiples of 8"):
        module.check_data({"source": (3, 16, 20), "target": (3, 16, 20)})


def test_a_pool_of_rectangles():
    pool = ImagePool(size=2, image_size=[2, 3], channels=1)
    images = torch.rand(2, 1, 2, 3)
    assert torch.equal(pool(images, seed=0), images)
    assert torch.equal(pool.images, images)
