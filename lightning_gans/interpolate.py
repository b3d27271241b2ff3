"""Look around in latent space: ``python -m lightning_gans.interpolate checkpoint=PATH out=DIR mode=slerp``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config, options


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="interpolate")
@cli.told
def interpolate(cfg: DictConfig) -> None:
    """Write ``MODE.png`` and, of what moves, ``MODE.gif``."""
    checks.check_keys(cfg, config.InterpolateSchema)
    options.check_interpolate(cfg)

    from lightning_gans import checkpoint
    from lightning_gans.images import make_folder, refuse_foreign
    from lightning_gans.latents import Walker, write
    from lightning_gans.metrics.path_length import lerp, slerp
    from lightning_gans.run import pick_device

    checks.check(cfg, config.InterpolateSchema)
    content = checkpoint.read(cfg.checkpoint)
    module = checkpoint.rebuild(content, trust=cfg.trust).to(pick_device(cfg.device))
    module.sampling_inputs([0], cfg.seed)  # refused by what has no latents, before anything is written
    folder = make_folder(cfg.out)
    refuse_foreign(folder, (f"{cfg.mode}.png", f"{cfg.mode}.gif"))
    walker = Walker(module, seed=cfg.seed, batch_size=cfg.batch_size)
    indices = options.starts(cfg)
    if cfg.mode in options.PATHS:
        rows = walker.paths(indices, cfg.steps, lerp if cfg.mode == "lerp" else slerp)
    elif cfg.mode == "loop":
        rows = walker.loop(indices, cfg.steps)
    elif cfg.mode == "grid":
        rows = walker.grid(indices, cfg.steps)
    elif cfg.mode == "truncation":
        rows = walker.truncation(indices, list(cfg.psi))
    elif cfg.mode == "arithmetic" and cfg.classes is None:
        rows = walker.arithmetic([list(cfg[name]) for name in "abc"])
    else:  # the modes that look at images through an extractor
        data = checkpoint.real_data(content, **cfg.data, trust=cfg.trust)
        make = hydra.utils.instantiate(cfg.extractor) or checkpoint.extractor_of(content, data, trust=cfg.trust)
        if cfg.mode == "nearest":
            rows = walker.nearest(indices, cfg.steps - 1, data, make(), cfg.n_real)
        else:
            rows = walker.arithmetic(walker.of_classes(list(cfg.classes), make(), len(cfg.a)))
    written = write(rows, cfg.mode, folder, cfg.milliseconds)
    print(f"{cfg.mode} of generator update {module.iteration:,}: {', '.join(map(str, written))}")


def main() -> None:
    """The command line."""
    cli.run(interpolate)


if __name__ == "__main__":
    main()
