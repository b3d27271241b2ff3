"""Score a checkpoint, or a folder of images: ``python -m lightning_gans.evaluate checkpoint=PATH [n=10000]``."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from lightning_gans.config import validation
from lightning_gans.config.command import command
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.schemas import EvaluateSchema, sampling_options
from lightning_gans.images.size import height_width, shortest


@command(EvaluateSchema)
def main(cfg: DictConfig) -> None:
    """Score a checkpoint or a folder of images, and write the scores with their card as JSON."""
    check_sides(cfg)

    from lightning_gans.evaluation.comparison import of_checkpoint, of_folders
    from lightning_gans.evaluation.evaluator import Evaluator
    from lightning_gans.evaluation.score_history import CARD_HEADS, caveat, write_card
    from lightning_gans.evaluation.selection import (
        DEFAULT,
        available_metrics,
        check_options,
        select_metrics,
        without_features,
    )
    from lightning_gans.extractors.none import is_none
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.outputs import refuse_foreign
    from lightning_gans.runtime.device import pick_device
    from lightning_gans.runtime.instantiation import instantiate

    given = {key: cfg[key] for key in ("n", "n_real", "batch_size")}
    validation.check_types(cfg)
    asked = None if cfg.metrics is None else instantiate(cfg.metrics, _convert_="all")
    made = check_options(n=cfg.n, n_real=cfg.n_real, metrics=DEFAULT if asked is None else asked)
    asked = None if asked is None else made
    device, make = pick_device(cfg.device), instantiate(cfg.extractor)
    how = {"make": make, "on_error": cfg.on_error}
    if cfg.candidate:
        size = None if cfg.image_size is None else shortest(*height_width(cfg.image_size))
        sides = of_folders(cfg.candidate, cfg.reference, image_size=size, channels=cfg.channels, **how)
    else:
        how |= {"data": dict(cfg.data), "direction": cfg.direction, "device": device, "trust": cfg.trust}
        sides = of_checkpoint(cfg.checkpoint, cfg.reference, **how)
    chosen = select_metrics(asked, sides.candidate, sides.examples or sides.reference)
    if is_none(make):
        chosen = without_features(chosen, was_asked=asked is not None)
    out = cfg.out or sides.folder
    out = make_folder(out) if out else None
    if out:
        refuse_foreign(out, [sides.card_name], CARD_HEADS)
    must = asked is not None or make is not None
    extractor, chosen, lacking = available_metrics(chosen, sides.make, was_asked=must, bf16=cfg.bf16)
    if not chosen:
        raise ValueError("; ".join(lacking.values()) or "extractor=none: leaves no score; say metrics=[swd]")
    for names, problem in lacking.items():
        print(f"without {names}: {problem}", file=sys.stderr)
    given |= {"metrics": chosen, "seed": cfg.seed, "cache": cfg.cache, "direction": cfg.direction}
    given["sampling"] = sampling_options(cfg)
    score = Evaluator(extractor, **given)
    card = score(sides.candidate, sides.reference, examples=sides.examples, progress=True, device=device)
    card |= {"checkpoint": sides.place or str(sides.path)} if sides.path else {"candidate_root": cfg.candidate}
    card |= {"reference_root": cfg.reference} if cfg.reference and card["n_real"] else {}
    if caveat(card):
        print(caveat(card), file=sys.stderr)
    print(sides.summary(card) + (f"; card: {write_card(card, out / sides.card_name)}" if out else ""))


def check_sides(cfg: DictConfig) -> None:
    """Refuse options that do not name exactly two sides to compare.

    Raises:
        ConfigError: With the option to change.
    """
    if not cfg.checkpoint and not cfg.candidate:
        raise ConfigError("checkpoint", MISSING, "missing; say checkpoint=PATH, or reference=DIR candidate=DIR")
    if cfg.checkpoint and cfg.candidate:
        raise ConfigError("candidate", cfg.candidate, f"not with checkpoint={cfg.checkpoint}; say one of the two")
    if cfg.candidate and not cfg.reference:
        raise ConfigError("candidate", cfg.candidate, "needs reference=DIR to be compared with")
    for name, value in sampling_options(cfg).items() if cfg.candidate else ():
        raise ConfigError(name, value, "not with candidate, whose images are there; leave it out")
    if cfg.checkpoint and cfg.image_size is not None:
        raise ConfigError("image_size", cfg.image_size, "not with a checkpoint, whose images have a size")
    if cfg.image_size is not None:
        height_width(cfg.image_size, "image_size")
    if cfg.reference and cfg.data.held_out:
        raise ConfigError("reference", cfg.reference, "not with data.held_out=true; say one of the two")


if __name__ == "__main__":
    main()
