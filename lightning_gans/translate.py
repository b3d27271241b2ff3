"""Translate pictures: ``python -m lightning_gans.translate checkpoint=PATH input=DIR out=DIR [direction=b2a]``."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config

FORMATS = ("png", "jpg", "webp", "tiff", "bmp")


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="translate")
@cli.told
def translate(cfg: DictConfig) -> None:
    """Write a translation of every picture, and a sheet of the first ones."""
    checks.check_keys(cfg, config.TranslateSchema)
    _check(cfg)

    from lightning_gans import checkpoint, folders
    from lightning_gans.data.files import PILLOW_MAX_PIXELS, printable
    from lightning_gans.images import make_folder
    from lightning_gans.run import pick_device

    if cfg.max_pixels > PILLOW_MAX_PIXELS:
        raise ValueError(f"max_pixels={cfg.max_pixels}: must be <= {PILLOW_MAX_PIXELS}, Pillow's own bound")
    source, names = folders.find(cfg.input)
    ending = cfg.format or "png"
    folder = Path(cfg.out).expanduser()
    paths = folders.targets(names, folder, ending)
    sheet = folders.sheet_path(folder, paths) if cfg.sheet else None
    folders.check_out(cfg.input, cfg.out, cfg.overwrite, [*paths, *([sheet] if sheet else [])], names)
    module = checkpoint.load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    translator = folders.Translator.of(module, direction=cfg.direction, tile=cfg.tile, seed=cfg.seed)
    translator.check_format(ending)
    files = translator.originals(source, names, root=cfg.input, max_pixels=cfg.max_pixels)
    make_folder(folder)
    options = {"batch_size": cfg.batch_size, "threads": cfg.num_workers, "shown": cfg.sheet, "sheet": sheet}
    outcome = translator(files, paths, **options)
    for note, count in outcome.converted.items():
        print(f"{note}: {count:,} of {len(names):,} pictures")
    if outcome.cut:
        print(f"by tiles, since they are large: {outcome.cut:,} of {len(names):,} pictures")
    print(f"{outcome.written:,} translations by generator update {module.iteration:,} in {folder}", end="")
    print(f"; beside their sources: {outcome.sheet}" if outcome.sheet else "")
    if outcome.problems:
        print(f"error: {len(outcome.problems):,} files have no translation:", file=sys.stderr)
        for name, reason in outcome.problems:
            print(f"  {printable(name)}: {printable(reason).replace('data.max_pixels', 'max_pixels')}", file=sys.stderr)
        raise SystemExit(1)


def _check(cfg: DictConfig) -> None:
    checks.at_least_one("", batch_size=cfg.batch_size, max_pixels=cfg.max_pixels)
    if cfg.num_workers is not None:
        checks.at_least_one("", num_workers=cfg.num_workers)
    if cfg.sheet < 0:
        raise ValueError(f"sheet={cfg.sheet}: must be >= 0")
    if cfg.format is not None and cfg.format not in FORMATS:
        raise ValueError(checks.unknown(f"format={cfg.format}", str(cfg.format), FORMATS))
    if cfg.tile not in ("auto", None) and (not isinstance(cfg.tile, int) or cfg.tile < 1):
        raise ValueError(f"tile={cfg.tile}: must be auto, null, or a number of pixels")


def main() -> None:
    """The command line."""
    cli.run(translate)


if __name__ == "__main__":
    main()
