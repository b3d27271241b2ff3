"""Score a checkpoint, or a folder of images: ``python -m lightning_gans.evaluate checkpoint=PATH [n=10000]``."""

from __future__ import annotations

from typing import Any

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config
from lightning_gans.metrics.names import needs_extractor


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="evaluate")
@cli.told
def evaluate(cfg: DictConfig) -> None:
    """Print the scores, and write them with their card as JSON."""
    checks.check_keys(cfg, config.EvaluateSchema)
    _check_sources(cfg)

    from lightning_gans.images import make_folder
    from lightning_gans.metrics.evaluation import Evaluator, check, write_card
    from lightning_gans.run import pick_device

    options = {key: cfg[key] for key in ("n", "n_real", "batch_size")} | {"metrics": list(cfg.metrics)}
    check(**options, where="evaluate")
    checks.check(cfg, config.EvaluateSchema)
    device = pick_device(cfg.device)
    candidate, reference, make, path = (_two_folders if cfg.candidate else _checkpoint)(cfg, device)
    out = cfg.out or (path.parent if path else None)
    out = make_folder(out) if out else None
    extractor = make() if needs_extractor(options["metrics"]) else None
    if extractor is not None:
        extractor.bf16 = cfg.bf16
    evaluator = Evaluator(extractor, seed=cfg.seed, cache=cfg.cache, **options)
    card = evaluator(candidate, reference, progress=True, device=device)
    card |= {"checkpoint": str(path)} if path else {"candidate_root": cfg.candidate}
    card |= {"reference_root": cfg.reference} if cfg.reference else {}
    for name, value in card["scores"].items():
        print(f"{name:<16} {value:.5g}")
    line = f"{card['n']:,} {'samples' if path else 'images'} against {card['n_real']:,} real images"
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


def _two_folders(cfg: DictConfig, device: Any) -> tuple[Any, Any, Any, Any]:
    """Two image sets, and what makes the extractor."""
    from lightning_gans.metrics.extractors import Inception
    from lightning_gans.metrics.sources import folder

    options = {"image_size": cfg.image_size, "channels": cfg.channels}
    candidate, reference = (folder(cfg[key], key, **options) for key in ("candidate", "reference"))
    make = hydra.utils.instantiate(cfg.extractor) or Inception
    return candidate, reference, make, None


def _checkpoint(cfg: DictConfig, device: Any) -> tuple[Any, Any, Any, Any]:
    """A module, its real images, what makes the extractor, and the checkpoint's path."""
    from lightning_gans import checkpoint
    from lightning_gans.metrics.sources import folder

    path = checkpoint.find(cfg.checkpoint)
    content = checkpoint.read(path)
    module = checkpoint.rebuild(content, trust=cfg.trust).to(device)
    data = checkpoint.real_data(content, **cfg.data, trust=cfg.trust)
    make = hydra.utils.instantiate(cfg.extractor)
    if make is None and needs_extractor(list(cfg.metrics)):
        make = checkpoint.extractor_of(content, data, trust=cfg.trust)
    if cfg.reference and cfg.data.held_out:
        raise ValueError(f"reference={cfg.reference}: not with data.held_out=true; say one of the two")
    if cfg.reference:
        data = folder(cfg.reference, "reference", image_size=data.image_size, channels=data.channels)
    return module, data, make, path


def main() -> None:
    """The command line."""
    cli.run(evaluate)


if __name__ == "__main__":
    main()
