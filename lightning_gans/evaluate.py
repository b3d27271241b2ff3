"""Score a checkpoint, or a folder of images: ``python -m lightning_gans.evaluate checkpoint=PATH [n=10000]``."""

from __future__ import annotations

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_gans.config import command, metrics, options, schemas, validation


@hydra.main(version_base="1.3", config_path=str(schemas.CONF_DIR), config_name="evaluate")
@command.handle_errors
def evaluate(cfg: DictConfig) -> None:
    """Print the scores, and write them with their card as JSON."""
    validation.check_keys(cfg, schemas.EvaluateSchema)
    options.check_evaluate(cfg)
    metrics.name_own_metrics(cfg, "metrics", HydraConfig.get())

    from lightning_gans.evaluation.comparison import of_checkpoint, of_folders
    from lightning_gans.evaluation.evaluator import Evaluator
    from lightning_gans.evaluation.score_history import CARD_HEADS, caveat, write_card
    from lightning_gans.evaluation.selection import DEFAULT, available_metrics, check_options, select_metrics
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.runtime.device import pick_device

    given = {key: cfg[key] for key in ("n", "n_real", "batch_size")}
    validation.check(cfg, schemas.EvaluateSchema)
    asked = None if cfg.metrics is None else hydra.utils.instantiate(cfg.metrics, _convert_="all")
    made = check_options(n=cfg.n, n_real=cfg.n_real, metrics=DEFAULT if asked is None else asked)
    asked = None if asked is None else made
    device, make = pick_device(cfg.device), hydra.utils.instantiate(cfg.extractor)
    how = {"make": make, "on_error": cfg.on_error}
    if cfg.candidate:
        sides = of_folders(cfg.candidate, cfg.reference, image_size=cfg.image_size, channels=cfg.channels, **how)
    else:
        how |= {"data": dict(cfg.data), "direction": cfg.direction, "device": device, "trust": cfg.trust}
        sides = of_checkpoint(cfg.checkpoint, cfg.reference, **how)
    chosen = select_metrics(asked, sides.candidate, sides.examples or sides.reference)
    out = cfg.out or (sides.path and sides.path.parent)
    out = make_folder(out) if out else None
    if out:
        refuse_foreign(out, [sides.card_name], CARD_HEADS)
    must = asked is not None or make is not None
    extractor, chosen, lacking = available_metrics(chosen, sides.make, was_asked=must, bf16=cfg.bf16)
    if not chosen:
        raise ValueError("; ".join(lacking.values()))
    for names, problem in lacking.items():
        print(f"without {names}: {problem}", file=sys.stderr)
    given |= {"metrics": chosen, "seed": cfg.seed, "cache": cfg.cache, "direction": cfg.direction}
    score = Evaluator(extractor, **given)
    card = score(sides.candidate, sides.reference, examples=sides.examples, progress=True, device=device)
    card |= {"checkpoint": str(sides.path)} if sides.path else {"candidate_root": cfg.candidate}
    card |= {"reference_root": cfg.reference} if cfg.reference and card["n_real"] else {}
    if caveat(card):
        print(caveat(card), file=sys.stderr)
    print(sides.summary(card) + (f"; card: {write_card(card, out / sides.card_name)}" if out else ""))


def main() -> None:
    """The command line."""
    command.run(evaluate)


if __name__ == "__main__":
    main()
