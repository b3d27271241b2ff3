"""Look at images before training: ``python -m lightning_gans.data_check data=folder data.root=DIR [out=DIR]``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config import validation
from lightning_gans.config.command import command
from lightning_gans.config.schemas import DataCheckSchema
from lightning_gans.runtime.light_imports import import_lightning


@command(DataCheckSchema)
def main(cfg: DictConfig) -> None:
    """Report a set's images and what training will see of them; exit code 1 if a file cannot be read."""
    import_lightning()

    from lightning_gans.data.base import ImageDataModule
    from lightning_gans.data.inspection import look
    from lightning_gans.data.shrinking import files_of, shrink
    from lightning_gans.images import files
    from lightning_gans.inference import outputs
    from lightning_gans.runtime.atomic import write_text
    from lightning_gans.runtime.instantiation import instantiate

    validation.check_types(cfg)
    data: ImageDataModule = instantiate(cfg.data, _convert_="all")
    folder = files.make_folder(cfg.out) if cfg.out else None
    if folder is not None:
        outputs.refuse_foreign(folder, ("report.txt", "grid.png"), ("data ",))
    small = Path(cfg.to).expanduser() if cfg.to else None
    large = files_of(data, small, overwrite=cfg.overwrite) if small else None
    report = look(data, examples=cfg.examples)
    print(report.text)
    if folder is not None:
        write_text(folder / "report.txt", report.text + "\n")
        if report.grid is not None:
            files.save(report.grid, folder / "grid.png", "overview")
        print(f"\nwritten: {folder}")
    if small and large:
        written = shrink(large, small)
        print(f"\n{written:,} images of {small.stat().st_size:,} bytes in {small}; train on data.root={small}")
    if report.unreadable:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
