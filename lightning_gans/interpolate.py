"""Look around in latent space: ``python -m lightning_gans.interpolate checkpoint=PATH out=DIR mode=slerp``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans.config import command, options, schemas, validation


@hydra.main(version_base="1.3", config_path=str(schemas.CONF_DIR), config_name="interpolate")
@command.handle_errors
def interpolate(cfg: DictConfig) -> None:
    """Write ``MODE.png`` and, of what moves, ``MODE.gif``."""
    validation.check_keys(cfg, schemas.InterpolateSchema)
    options.check_interpolate(cfg)

    from lightning_gans.checkpoints import files, load
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.latents import Walker, write
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.metrics.path_length import lerp, slerp
    from lightning_gans.runtime.device import pick_device

    validation.check(cfg, schemas.InterpolateSchema)
    content = files.read(cfg.checkpoint)
    module = load.rebuild(content, trust=cfg.trust).to(pick_device(cfg.device))
    module.sampling_inputs([0], cfg.seed)  # refused by what has no latents, before anything is written
    classes = None if cfg.classes is None else list(cfg.classes)
    searched = cfg.mode == "arithmetic" and classes is not None and not module.conditioning.takes("classes")
    walker = Walker(module, seed=cfg.seed, batch_size=cfg.batch_size, classes=None if searched else classes)
    folder = make_folder(cfg.out)
    refuse_foreign(folder, (f"{cfg.mode}.png", f"{cfg.mode}.gif"))
    indices = options.starts(cfg)
    if cfg.mode in options.PATHS:
        rows = walker.paths(indices, cfg.steps, lerp if cfg.mode == "lerp" else slerp)
    elif cfg.mode == "loop":
        rows = walker.loop(indices, cfg.steps)
    elif cfg.mode == "grid":
        rows = walker.grid(indices, cfg.steps)
    elif cfg.mode == "truncation":
        rows = walker.truncation(indices, list(cfg.psi))
    elif cfg.mode == "arithmetic" and not searched:
        rows = walker.arithmetic([list(cfg[name]) for name in "abc"])
    else:  # the modes that look at images through an extractor
        data = load.real_data(content, **cfg.data, trust=cfg.trust)
        make = hydra.utils.instantiate(cfg.extractor) or load.extractor_of(content, data, trust=cfg.trust)
        if cfg.mode == "nearest":
            rows = walker.nearest(indices, cfg.steps - 1, data, make(), cfg.n_real)
        else:
            rows = walker.arithmetic(walker.of_classes(classes or [], make(), len(cfg.a)))
    written = write(rows, cfg.mode, folder, cfg.milliseconds)
    print(f"{cfg.mode} of generator update {module.iteration:,}: {', '.join(map(str, written))}")


def main() -> None:
    """The command line."""
    command.run(interpolate)


if __name__ == "__main__":
    main()
