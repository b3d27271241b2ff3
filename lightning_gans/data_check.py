"""Look at images before training: ``python -m lightning_gans.data_check data=folder data.root=DIR [out=DIR]``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans.config import command, errors, schemas, validation


@hydra.main(version_base="1.3", config_path=str(schemas.CONF_DIR), config_name="data_check")
@command.handle_errors
def data_check(cfg: DictConfig) -> None:
    """Print what is there and what will be made of it; exit code 1 if a file cannot be read."""
    validation.check_keys(cfg, schemas.DataCheckSchema)
    errors.at_least_one("", examples=cfg.examples)

    from lightning_gans.data.base import ImageDataModule
    from lightning_gans.data.inspection import look
    from lightning_gans.images import files
    from lightning_gans.inference import outputs
    from lightning_gans.runtime.atomic import write_text

    validation.check(cfg, schemas.DataCheckSchema)
    data: ImageDataModule = hydra.utils.instantiate(cfg.data, _convert_="all")
    folder = files.make_folder(cfg.out) if cfg.out else None
    if folder is not None:
        outputs.refuse_foreign(folder, ("report.txt", "grid.png"), ("data ",))
    report = look(data, examples=cfg.examples)
    print(report.text)
    if folder is not None:
        write_text(folder / "report.txt", report.text + "\n")
        if report.grid is not None:
            files.save(report.grid, folder / "grid.png", "overview")
        print(f"\nwritten: {folder}")
    if report.unreadable:
        raise SystemExit(1)


def main() -> None:
    """The command line."""
    command.run(data_check)


if __name__ == "__main__":
    main()
