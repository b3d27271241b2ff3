"""Compare runs by their scores: ``python -m lightning_gans.report run=FOLDER [FOLDER ...] [out=DIR]``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import ReportSchema
from lightning_gans.runtime.light_imports import import_lightning


@command(ReportSchema)
def main(cfg: DictConfig) -> None:
    """Print a table of runs by their scores; with ``out``, write it as Markdown, CSV and a page beside a plot.

    Trials of a study are compared by family too, with box plots and the expected best of a budget. Further folders may
    follow ``run=FOLDER`` as a shell expands ``outputs/*``.
    """
    import_lightning()

    from lightning_gans.evaluation.report_page import PAGE_HEADS, write_page
    from lightning_gans.evaluation.score_history import HEADS, compare, draw, find_runs, write_csv
    from lightning_gans.evaluation.study import compare_families, draw_study, find_study
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.runtime.atomic import write_text

    names = ("report.md", "report.csv", "report.png", "study.png", "index.html")
    if cfg.out:
        refuse_foreign(Path(cfg.out), names, HEADS + PAGE_HEADS)
    places = [str(place) for place in cfg.run] if isinstance(cfg.run, ListConfig) else [str(cfg.run)]
    runs = find_runs(places)
    table, study = compare(runs), find_study(runs, places)
    text = table if study is None else f"{table}\n\n{compare_families(study)}"
    print(text)
    if cfg.out:
        folder = make_folder(cfg.out)
        written = [write_text(folder / "report.md", text + "\n"), write_csv(runs, folder / "report.csv")]
        curves = draw(runs, folder / "report.png", cfg.axis)
        curves += draw_study(study, folder / "study.png") if study else []
        written += [*curves, write_page(runs, table, folder / "index.html", curves)]
        print("\n" + ", ".join(map(str, written)))


if __name__ == "__main__":
    main()
