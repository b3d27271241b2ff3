"""Look at images before training: ``python -m lightning_gans.data_check data=folder data.root=DIR [out=DIR]``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="data_check")
@cli.told
def data_check(cfg: DictConfig) -> None:
    """Print what is there and what will be made of it; exit code 1 if a file cannot be read."""
    checks.check_keys(cfg, config.DataCheckSchema)
    checks.at_least_one("", examples=cfg.examples)

    from lightning_gans import images
    from lightning_gans.atomic import write_text
    from lightning_gans.data.base import ImageData
    from lightning_gans.data.inspection import look

    checks.check(cfg, config.DataCheckSchema)
    data: ImageData = hydra.utils.instantiate(cfg.data, _convert_="all")
    folder = images.make_folder(cfg.out) if cfg.out else None
    if folder is not None:
        images.refuse_foreign(folder, ("report.txt", "grid.png"), ("data ",))
    report = look(data, examples=cfg.examples)
    print(report.text)
    if folder is not None:
        write_text(folder / "report.txt", report.text + "\n")
        if report.grid is not None:
            images.save(report.grid, folder / "grid.png", "overview")
        print(f"\nwritten: {folder}")
    if report.unreadable:
        raise SystemExit(1)


def main() -> None:
    """The command line."""
    cli.run(data_check)


if __name__ == "__main__":
    main()
