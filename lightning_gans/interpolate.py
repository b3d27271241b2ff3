"""Look around in latent space: ``python -m lightning_gans.interpolate checkpoint=PATH out=DIR mode=slerp``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config

MODES = ("lerp", "slerp", "grid", "loop", "arithmetic", "truncation", "nearest")
MOVING = ("lerp", "slerp", "loop")


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="interpolate")
@cli.told
def interpolate(cfg: DictConfig) -> None:
    """Write ``MODE.png`` and, of what moves, ``MODE.gif``."""
    checks.check_keys(cfg, config.InterpolateSchema)
    _check(cfg)

    from lightning_gans import checkpoint
    from lightning_gans.images import animate, grid, make_folder, save
    from lightning_gans.latents import Walker
    from lightning_gans.metrics.path_length import lerp, slerp
    from lightning_gans.run import pick_device

    checks.check(cfg, config.InterpolateSchema)
    content = checkpoint.read(cfg.checkpoint)
    module = checkpoint.rebuild(content, trust=cfg.trust).to(pick_device(cfg.device))
    module.sampling_inputs([0], cfg.seed)  # refused by what has no latents, before anything is written
    folder = make_folder(cfg.out)
    walker = Walker(module, seed=cfg.seed, batch_size=cfg.batch_size)
    indices = list(range(_needed(cfg)) if cfg.indices is None else cfg.indices)
    if cfg.mode in ("lerp", "slerp"):
        rows = walker.paths(indices, cfg.steps, lerp if cfg.mode == "lerp" else slerp)
        frames = rows.transpose(0, 1)
    elif cfg.mode == "loop":
        rows = walker.loop(indices, cfg.steps)
        frames = rows.flatten(0, 1)[:, None]
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
    written = [save(grid(rows.flatten(0, 1), columns=rows.shape[1]), folder / f"{cfg.mode}.png")]
    if cfg.mode in MOVING:
        written.append(animate([grid(frame) for frame in frames], folder / f"{cfg.mode}.gif", cfg.milliseconds))
    print(f"{cfg.mode} of generator update {module.iteration:,}: {', '.join(map(str, written))}")


def _needed(cfg: DictConfig) -> int:
    """How many samples a mode starts from."""
    return 4 if cfg.mode == "grid" else int(cfg.rows) * (2 if cfg.mode in ("lerp", "slerp") else 1)


def _check(cfg: DictConfig) -> None:
    if cfg.mode not in MODES:
        raise ValueError(checks.unknown(f"mode={cfg.mode}", cfg.mode, MODES))
    for key, smallest in {"rows": 1, "steps": 2, "batch_size": 1, "milliseconds": 20}.items():
        if cfg[key] < smallest:
            raise ValueError(f"{key}={cfg[key]}: must be >= {smallest}")
    if cfg.n_real is not None and cfg.n_real < 1:
        raise ValueError(f"n_real={cfg.n_real}: must be >= 1, or null")
    groups = {name: list(cfg[name]) for name in "abc"}
    if not groups["a"] or len({len(group) for group in groups.values()}) > 1:
        raise ValueError(f"a, b, c={list(groups.values())}: must hold equally many numbers of samples")
    if cfg.classes is not None and len(cfg.classes) != 3:
        raise ValueError(f"classes={list(cfg.classes)}: must be three, for a, b and c")
    for number in [*(cfg.indices or []), *sum(groups.values(), [])]:
        if number < 0:
            raise ValueError(f"{number}: numbers of samples must be >= 0")
    if cfg.indices is not None and cfg.mode in ("lerp", "slerp") and (len(cfg.indices) % 2 or not cfg.indices):
        raise ValueError(f"indices={list(cfg.indices)}: must be pairs, where each path starts and where it ends")
    if cfg.indices is not None and cfg.mode == "grid" and len(cfg.indices) != 4:
        raise ValueError(f"indices={list(cfg.indices)}: must be four, for the corners")
    if cfg.indices is not None and not cfg.indices:
        raise ValueError("indices=[]: must name samples, or be null")
    if not cfg.psi:
        raise ValueError("psi=[]: must hold factors, e.g. [1.0, 0.5, 0.0]")


def main() -> None:
    """The command line."""
    cli.run(interpolate)


if __name__ == "__main__":
    main()
