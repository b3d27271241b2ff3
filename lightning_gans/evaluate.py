"""Score a checkpoint, or a folder of images: ``python -m lightning_gans.evaluate checkpoint=PATH [n=10000]``."""

from __future__ import annotations

import sys
from typing import Any

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config
from lightning_gans.metrics.names import DEFAULT, needs_extractor


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="evaluate")
@cli.told
def evaluate(cfg: DictConfig) -> None:
    """Print the scores, and write them with their card as JSON."""
    checks.check_keys(cfg, config.EvaluateSchema)
    _check_sources(cfg)

    from lightning_gans.images import make_folder
    from lightning_gans.metrics.evaluation import Evaluator, check, suited, write_card
    from lightning_gans.run import pick_device

    options = {key: cfg[key] for key in ("n", "n_real", "batch_size")}
    asked = None if cfg.metrics is None else list(cfg.metrics)
    check(**options, metrics=DEFAULT if asked is None else asked, where="evaluate")
    checks.check(cfg, config.EvaluateSchema)
    device = pick_device(cfg.device)
    candidate, reference, examples, make, path = (_two_folders if cfg.candidate else _checkpoint)(cfg, device)
    metrics = suited(asked, candidate, examples or reference)
    out = cfg.out or (path.parent if path else None)
    out = make_folder(out) if out else None
    extractor, metrics = _at_hand(make, metrics, was_asked=asked is not None)
    if extractor is not None:
        extractor.bf16 = cfg.bf16
    options |= {"metrics": metrics, "seed": cfg.seed, "cache": cfg.cache, "direction": cfg.direction}
    evaluator = Evaluator(extractor, **options)
    card = evaluator(candidate, reference, examples=examples, progress=True, device=device)
    card |= {"checkpoint": str(path)} if path else {"candidate_root": cfg.candidate}
    card |= {"reference_root": cfg.reference} if cfg.reference and card["n_real"] else {}
    for name, value in card["scores"].items():
        print(f"{name:<16} {value:.5g}")
    kind = "images" if not path else "samples" if examples is None else f"translations ({card['translated']})"
    against = f"{card['n_real']:,} real images" if card["n_real"] else "their targets"
    line = f"{card['n']:,} {kind} against {against}"
    if out:
        line += f"; card: {write_card(card, out / f'{path.stem if path else _FOLDERS}.scores.json')}"
    print(line)


_FOLDERS = "candidate"  # what the card of two folders is called


def _check_sources(cfg: DictConfig) -> None:
    if not cfg.checkpoint and not cfg.candidate:
        raise ValueError("checkpoint: missing; say checkpoint=PATH, or reference=DIR candidate=DIR")
    if cfg.checkpoint and cfg.candidate:
        raise ValueError(f"candidate={cfg.candidate}: not with checkpoint={cfg.checkpoint}; say one of the two")
    if cfg.candidate and not cfg.reference:
        raise ValueError(f"candidate={cfg.candidate}: needs reference=DIR to be compared with")
    if cfg.checkpoint and cfg.image_size is not None:
        raise ValueError(f"image_size={cfg.image_size}: not with a checkpoint, whose images have a size")


def _two_folders(cfg: DictConfig, device: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Two image sets, no examples, and what makes the extractor."""
    from lightning_gans.metrics.extractors import Inception
    from lightning_gans.metrics.sources import folder

    options = {"image_size": cfg.image_size, "channels": cfg.channels}
    candidate, reference = (folder(cfg[key], key, **options) for key in ("candidate", "reference"))
    return candidate, reference, None, hydra.utils.instantiate(cfg.extractor) or Inception, None


def _checkpoint(cfg: DictConfig, device: Any) -> tuple[Any, Any, Any, Any, Any]:
    """A module, the real images, what it translates if it does, what makes the extractor, the checkpoint's path."""
    from lightning_gans import checkpoint
    from lightning_gans.data.translation import TranslationData
    from lightning_gans.metrics.sources import folder

    path = checkpoint.find(cfg.checkpoint)
    content = checkpoint.read(path)
    module = checkpoint.rebuild(content, trust=cfg.trust).to(device)
    data = checkpoint.real_data(content, **cfg.data, trust=cfg.trust)
    asked = hydra.utils.instantiate(cfg.extractor)
    make = asked or (lambda: checkpoint.extractor_of(content, data, trust=cfg.trust)())
    if cfg.reference and cfg.data.held_out:
        raise ValueError(f"reference={cfg.reference}: not with data.held_out=true; say one of the two")
    examples = data if isinstance(data, TranslationData) else None
    reference = data
    if cfg.reference:
        channels = examples.source_channels if examples and cfg.direction == "b2a" else data.channels
        reference = folder(cfg.reference, "reference", image_size=data.image_size, channels=channels)
    return module, reference, examples, make, path


def _at_hand(make: Any, metrics: list[str], *, was_asked: bool) -> tuple[Any, list[str]]:
    """The extractor, if one is needed, and the metrics that can be had; without weights those that need none.

    Raises:
        ValueError: An extractor cannot be had, and its scores were asked for or there are no others.
        OSError: The same.
    """
    from lightning_gans.metrics.paired import paired_metric

    extractor = None
    for needed, build in (
        ({name for name in metrics if needs_extractor([name])}, make),
        ({"lpips"} & {*metrics}, lambda: paired_metric("lpips")),
    ):
        try:
            made = build() if needed else None
            extractor = extractor or (made if build is make else None)
        except (ValueError, OSError) as error:
            metrics = [name for name in metrics if name not in needed]
            if not metrics or (was_asked and build is make):
                raise
            print(f"without {', '.join(sorted(needed))}: {error}", file=sys.stderr)
    return extractor, metrics


def main() -> None:
    """The command line."""
    cli.run(evaluate)


if __name__ == "__main__":
    main()
