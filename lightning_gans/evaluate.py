"""Score a checkpoint: ``python -m lightning_gans.evaluate checkpoint=PATH [out=DIR n=10000]``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans import checks, cli, config


@hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="evaluate")
@cli.told
def evaluate(cfg: DictConfig) -> None:
    """Write the scores with their card as JSON."""
    checks.check_root(cfg, config.EvaluateSchema)
    if not cfg.checkpoint:
        raise ValueError("checkpoint=PATH is needed")

    from lightning_gans import checkpoint
    from lightning_gans.images import make_folder
    from lightning_gans.metrics.evaluation import Evaluator, check, write_card
    from lightning_gans.run import pick_device

    options = {"n": cfg.n, "n_real": cfg.n_real, "metrics": list(cfg.metrics), "batch_size": cfg.batch_size}
    check(**options, where="evaluate")
    path = checkpoint.find(cfg.checkpoint)
    out = make_folder(cfg.out or path.parent)
    content = checkpoint.read(path)
    module = checkpoint.rebuild(content, trust=cfg.trust).to(pick_device(cfg.device))
    node = dict(content["config"]["resolved"]["data"])
    if cfg.data.root is not None:
        if "root" not in node:
            raise ValueError(f"data.root={cfg.data.root}: {node['_target_']} reads no folder")
        node["root"] = cfg.data.root
    data = checkpoint.instantiate(node, trust=cfg.trust)
    if cfg.data.held_out:
        data = data.held_out()
    trained_with = content["config"]["resolved"].get("extractor")
    make = data.extractor
    if cfg.extractor:
        make = hydra.utils.instantiate(cfg.extractor)
    elif trained_with:
        make = checkpoint.instantiate(trained_with, trust=cfg.trust)
    card = Evaluator(make(), seed=cfg.seed, **options)(module, data, progress=True)
    card["checkpoint"] = str(path)
    written = write_card(card, out / f"{path.stem}.scores.json")
    for name, value in card["scores"].items():
        print(f"{name:<16} {value:.5g}")
    print(f"{card['n']:,} samples against {card['n_real']:,} real images; card: {written}")


def main() -> None:
    """The command line."""
    cli.run(evaluate)


if __name__ == "__main__":
    main()
