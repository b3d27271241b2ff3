"""Train a text encoder on pictures and captions: ``python -m lightning_gans.train_encoder data=captions out=FILE``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightning_gans.config import validation
from lightning_gans.config.command import command
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.schemas import TrainEncoderSchema


@command(TrainEncoderSchema)
def main(cfg: DictConfig) -> None:
    """Train an encoder of captions on a set's pictures and captions, and print how well it knows them."""
    import torch

    from lightning_gans.data.base import ImageDataModule
    from lightning_gans.data.captions import captions_of
    from lightning_gans.images.files import make_folder
    from lightning_gans.runtime.atomic import atomic_write, refuse_existing
    from lightning_gans.runtime.device import pick_device
    from lightning_gans.text.trained import Trained, accuracy
    from lightning_gans.training.trainer import instantiate

    path = Path(cfg.out).expanduser()
    refuse_existing(path, overwrite=cfg.overwrite)
    validation.check_types(cfg)
    data = instantiate(cfg.data, "data", ImageDataModule)
    encoder = instantiate(cfg.encoder, "encoder", Trained).to(pick_device(cfg.device))
    images = data.train_images
    captions = captions_of(images)
    if captions is None:
        raise ConfigError(
            "data", MISSING, f"{type(data).__name__} has no captions; choose data=captions or data=digit_captions"
        )
    losses = encoder.fit(images, captions, seed=cfg.seed, progress=True)
    make_folder(path.parent)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save({"state_dict": encoder.cpu().state_dict()}, file)
    last = losses[-100:]
    unseen = data.example_images if data.examples_of != "train" else None
    known = None if unseen is None else captions_of(unseen)
    shares = {"training": (images, captions), "unseen": (unseen, known)}
    found = [
        f"{name} pictures {accuracy(encoder, some, said):.3f} of {len(said.texts):,}"
        for name, (some, said) in shares.items()
        if some is not None and said is not None
    ]
    print(f"loss {sum(last) / len(last):.4f}; their own caption is the best one of {'; of '.join(found)}")
    options = OmegaConf.to_container(cfg.encoder, resolve=True)
    assert isinstance(options, dict)
    sizes = {key: options[key] for key in ("length", "widths", "image_size", "image_width", "loss")}
    typed = " ".join(f"model.text_encoder.{key}={value}".replace(", ", ",") for key, value in sizes.items())
    dim = options["dim"]
    print(f"train with: model.text_encoder.weights={cfg.out} model.generator.text_dim={dim} {typed}")


if __name__ == "__main__":
    main()
