"""Project a picture into styles: ``python -m lightning_gans.project checkpoint=PATH input=PICTURE out=DIR``."""

from __future__ import annotations

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import ProjectSchema
from lightning_gans.runtime.light_imports import import_lightning


@command(ProjectSchema)
def main(cfg: DictConfig) -> None:
    """Find the styles, and the noise, of which a checkpoint's generator makes a picture like a given one."""
    import_lightning()

    import torch
    from safetensors.torch import save_file

    from lightning_gans.checkpoints.load import load
    from lightning_gans.config.errors import ConfigError
    from lightning_gans.images.files import make_folder, save
    from lightning_gans.images.pixels import to_uint8
    from lightning_gans.images.sheets import grid
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.inference.projection import Projector, pyramid_distance, read_target, vgg_distance
    from lightning_gans.models.styled import of_styles
    from lightning_gans.runtime.device import pick_device

    loaded = load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    module = of_styles(loaded, "checkpoint", cfg.checkpoint)
    if module.conditions:
        raise ConfigError("checkpoint", cfg.checkpoint, "is conditioned on classes; project into an unconditional one")
    network = module.sampler
    with torch.no_grad():
        channels, size = network(torch.zeros(1, module.latent_dim, device=module.device)).shape[1:3]
    target = read_target(cfg.input, channels, size)
    named = "the pyramid of pixels" if cfg.perceptual_weights is None else "VGG19's features"
    distance = pyramid_distance if cfg.perceptual_weights is None else vgg_distance(cfg.perceptual_weights)
    folder = make_folder(cfg.out)
    refuse_foreign(folder, ("projection.png", "w.png", "w_plus.png"))
    options = {"steps": cfg.steps, "lr": cfg.lr, "noise_weight": cfg.noise_weight, "seed": cfg.seed}
    projector = Projector(module, distance, **options)
    in_w = projector.project(target)
    found = {"w": in_w, "w_plus": projector.project(target, plus=True, start=in_w)} if cfg.plus else {"w": in_w}
    pictures = [to_uint8(image[None])[0].cpu() for image in (target, *(one.image for one in found.values()))]
    save(grid(torch.stack(pictures)), folder / "projection.png", "overview")
    for (name, one), picture in zip(found.items(), pictures[1:], strict=True):
        save(picture, folder / f"{name}.png", "overview")
        noise = {f"noise.{number}": own.cpu().contiguous() for number, own in enumerate(one.noise)}
        save_file({"styles": one.styles.cpu().contiguous(), **noise}, folder / f"{name}.safetensors")
        print(f"{name}: distance {one.distance:.4f} by {named}")
    print(f"{type(module).__name__} of generator update {module.iteration:,}: target and projections in {folder}")


if __name__ == "__main__":
    main()
