"""Translate pictures: ``python -m lightning_gans.translate checkpoint=PATH input=DIR out=DIR [direction=b2a]``."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import TranslateSchema
from lightning_gans.runtime.light_imports import import_lightning


@command(TranslateSchema)
def main(cfg: DictConfig) -> None:
    """Translate pictures by a checkpoint's generator, with a sheet of the first ones beside their sources."""
    import_lightning()

    from lightning_gans.checkpoints import load
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference import source_images
    from lightning_gans.inference import translator as inference_translator
    from lightning_gans.runtime.device import pick_device

    source, names = source_images.find(cfg.input)
    ending = cfg.format or "png"
    folder = Path(cfg.out).expanduser()
    paths = inference_translator.targets(names, folder, ending)
    sheet = inference_translator.sheet_path(folder, paths) if cfg.sheet else None
    inference_translator.check_out(cfg.input, cfg.out, cfg.overwrite, [*paths, *([sheet] if sheet else [])], names)
    make_folder(folder)
    module = load.load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    translator = inference_translator.Translator.of(module, direction=cfg.direction, tile=cfg.tile, seed=cfg.seed)
    translator.check_format(ending)
    files = translator.originals(source, names, root=cfg.input, max_pixels=cfg.max_pixels)
    how = {"batch_size": cfg.batch_size, "threads": cfg.num_workers, "shown": cfg.sheet, "sheet": sheet}
    outcome = translator(files, paths, **how)
    for line in outcome.notes(len(names)):
        print(line)
    print(f"{outcome.written:,} translations by generator update {module.iteration:,} in {folder}", end="")
    print(f"; beside their sources: {outcome.sheet}" if outcome.sheet else "")
    if outcome.problems:
        print("error: " + "\n".join(outcome.errors()), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
