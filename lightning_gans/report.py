"""Compare runs by their scores: ``python -m lightning_gans.report run=FOLDER [FOLDER ...] [out=DIR]``."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, ListConfig

from lightning_gans.config import command, errors, overrides, schemas, validation

AXES = ("updates", "kimg", "seconds")


@hydra.main(version_base="1.3", config_path=str(schemas.CONF_DIR), config_name="report")
@command.handle_errors
def report(cfg: DictConfig) -> None:
    """Print a table of the runs; with ``out``, write it as Markdown and CSV beside a picture of the curves."""
    validation.check_keys(cfg, schemas.ReportSchema)
    if cfg.axis not in AXES:
        raise ValueError(errors.unknown_key_message(f"axis={cfg.axis}", cfg.axis, AXES))

    from lightning_gans.evaluation.score_history import HEADS, compare, draw, find_runs, write_csv
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.runtime.atomic import write_text

    if cfg.out:
        refuse_foreign(Path(cfg.out), ("report.md", "report.csv", "report.png"), HEADS)
    runs = find_runs(list(cfg.run) if isinstance(cfg.run, ListConfig) else [str(cfg.run)])
    text = compare(runs)
    print(text)
    if cfg.out:
        folder = make_folder(cfg.out)
        written = [write_text(folder / "report.md", text + "\n"), write_csv(runs, folder / "report.csv")]
        written += draw(runs, folder / "report.png", cfg.axis)
        print("\n" + ", ".join(map(str, written)))


def main() -> None:
    """The command line; further folders may follow ``run=FOLDER`` as a shell expands ``outputs/*``."""
    sys.argv[1:] = overrides.join_list(sys.argv[1:], "run")
    command.run(report)


if __name__ == "__main__":
    main()
