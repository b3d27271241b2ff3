"""Look around in latent space: ``python -m lightning_gans.interpolate checkpoint=PATH out=DIR mode=slerp``."""

from __future__ import annotations

import importlib.util

from omegaconf import DictConfig

from lightning_gans.config import validation
from lightning_gans.config.command import command
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.schemas import InterpolateSchema, sampling_options
from lightning_gans.runtime.light_imports import import_lightning

TEXTS = ("text", "arithmetic")  # modes of sentences
PATHS = ("lerp", "slerp")  # modes that go from a sample to another


@command(InterpolateSchema)
def main(cfg: DictConfig) -> None:
    """Draw paths, grids, loops, sums, truncations, neighbours, codes, styles or sentences of a checkpoint's latents."""
    indices = starts(cfg)
    if cfg.format == "mp4" and importlib.util.find_spec("av") is None:
        raise ConfigError("format", "mp4", 'needs the package av: pip install "lightning_gans[video]"')

    import_lightning()

    from lightning_gans.checkpoints import files, load
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.codes import traverse_codes
    from lightning_gans.inference.latents import Walker, write
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.inference.style_sheets import SHEETS, StyleWalker
    from lightning_gans.inference.texts import arithmetic, between, texts_of
    from lightning_gans.metrics.path_length import lerp, slerp
    from lightning_gans.runtime.device import pick_device
    from lightning_gans.runtime.instantiation import instantiate

    validation.check_types(cfg)
    content = files.read(cfg.checkpoint)
    module = load.rebuild(content, trust=cfg.trust).to(pick_device(cfg.device))
    options = {name: value for name, value in sampling_options(cfg).items() if name != "cutoff"}
    module.sampling_inputs([0], cfg.seed, **options)  # refused by what has no latents, before anything is written
    classes = None if cfg.classes is None else list(cfg.classes)
    searched = cfg.mode == "arithmetic" and classes is not None and not module.conditioning.takes("classes")
    texts = texts_of(cfg.text, None)
    given = {"classes": None if searched else classes, **options}
    given |= {} if cfg.mode in TEXTS or texts is None else {"text": texts}
    how = {"seed": cfg.seed, "batch_size": cfg.batch_size, **given}
    walker = StyleWalker(module, cfg.mode, **how) if cfg.mode in SHEETS else Walker(module, **how)
    if cfg.space == "w":
        walker.use_styles()
    folder = make_folder(cfg.out)
    refuse_foreign(folder, (f"{cfg.mode}.png", f"{cfg.mode}.{cfg.format}"))
    if cfg.mode in PATHS:
        rows = walker.paths(indices, cfg.steps, lerp if cfg.mode == "lerp" else slerp)
    elif cfg.mode == "loop":
        rows = walker.loop(indices, cfg.steps)
    elif cfg.mode == "grid":
        rows = walker.grid(indices, cfg.steps)
    elif cfg.mode == "text":
        rows = between(walker, texts or [], cfg.rows, cfg.steps)
    elif cfg.mode == "arithmetic" and texts is not None:
        rows = arithmetic(walker, texts, cfg.rows)
    elif cfg.mode == "codes":
        rows = traverse_codes(module, rows=cfg.rows, steps=cfg.steps, seed=cfg.seed, batch_size=cfg.batch_size)
    elif isinstance(walker, StyleWalker):
        rows = walker.sheet(cfg.mode, indices, rows=cfg.rows, steps=cfg.steps, sigma=cfg.sigma)
    elif cfg.mode == "truncation":
        rows = walker.truncation(indices, list(cfg.psi), cfg.cutoff)
    elif cfg.mode == "arithmetic" and not searched:
        rows = walker.arithmetic([list(cfg[name]) for name in "abc"])
    else:  # the modes that look at images through an extractor
        data = load.real_data(content, **cfg.data, trust=cfg.trust)
        make = instantiate(cfg.extractor) or load.extractor_of(content, data, trust=cfg.trust)
        if cfg.mode == "nearest":
            rows = walker.nearest(indices, cfg.steps - 1, data, make(), cfg.n_real)
        else:
            rows = walker.arithmetic(walker.of_classes(classes or [], make(), len(cfg.a)))
    written = write(rows, cfg.mode, folder, cfg.milliseconds, cfg.format)
    print(f"{cfg.mode} of generator update {module.iteration:,}: {', '.join(map(str, written))}")


def starts(cfg: DictConfig) -> list[int]:
    """Return the numbers of the samples to start from: those asked for, or as many as the mode needs.

    Raises:
        ConfigError: A mode cannot start from what was asked for.
    """
    groups = {name: list(cfg[name]) for name in "abc"}
    if len({len(group) for group in groups.values()}) > 1:
        raise ConfigError("a, b, c", list(groups.values()), "must hold equally many numbers of samples")
    if cfg.classes is not None and cfg.mode == "arithmetic" and len(cfg.classes) != 3:
        raise ConfigError("classes", list(cfg.classes), "must be three, for a, b and c")
    if cfg.indices is None:
        more = {"grid": 4 - cfg.rows, "mixing": 6, **dict.fromkeys(PATHS, cfg.rows)}
        return list(range(cfg.rows + more.get(cfg.mode, 0)))
    if cfg.mode in PATHS and len(cfg.indices) % 2:
        raise ConfigError("indices", list(cfg.indices), "must be pairs, where each path starts and where it ends")
    if cfg.mode == "mixing" and len(cfg.indices) <= cfg.rows:
        raise ConfigError("indices", list(cfg.indices), f"must be rows={cfg.rows} columns, then the sources of styles")
    if cfg.mode == "grid" and len(cfg.indices) != 4:
        raise ConfigError("indices", list(cfg.indices), "must be four, for the corners")
    return list(cfg.indices)


if __name__ == "__main__":
    main()
