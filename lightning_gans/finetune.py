"""Fine-tune talking heads: ``python -m lightning_gans.finetune checkpoint=PATH frames=DIR out=FILE``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import FinetuneSchema
from lightning_gans.runtime.atomic import refuse_existing


@command(FinetuneSchema)
def main(cfg: DictConfig) -> None:
    """Fine-tune a checkpoint of model=talking_heads to the frames of one person."""
    out = Path(cfg.out).expanduser()
    refuse_existing(out, overwrite=cfg.overwrite)

    from lightning_gans.checkpoints.load import load
    from lightning_gans.inference import heads
    from lightning_gans.runtime.device import pick_device

    device = pick_device(cfg.device)
    module = heads.heads_of(load(cfg.checkpoint, trust=cfg.trust, device=device), cfg.checkpoint)
    heads.set_content(module, cfg.vgg19_weights, cfg.vggface_weights)
    drawings, frames = heads.read_person(cfg.frames, module)
    how = {"epochs": cfg.epochs, "batch_size": cfg.batch_size, "seed": cfg.seed, "device": device}
    heads.fine_tune(module, drawings, frames, **how, g=cfg.g_lr, d=cfg.d_lr)
    heads.save_person(module, out)
    print(f"fine-tuned to {len(frames)} frames for {cfg.epochs} epochs; {out}")
    print(f"put this person into poses by: python -m lightning_gans.animate checkpoint={out} driving=DIR out=FILE.gif")


if __name__ == "__main__":
    main()
