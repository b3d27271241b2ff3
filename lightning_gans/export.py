"""Export a generator: ``python -m lightning_gans.export checkpoint=PATH out=g.onnx|g.pt2|g.safetensors``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import ExportSchema
from lightning_gans.runtime import atomic
from lightning_gans.runtime.light_imports import import_lightning


@command(ExportSchema)
def main(cfg: DictConfig) -> None:
    """Export a checkpoint's generator or translator, and compare it with PyTorch's images."""
    out = Path(cfg.out).expanduser()
    atomic.refuse_existing(out, overwrite=cfg.overwrite)

    import_lightning()

    from lightning_gans.checkpoints.load import load
    from lightning_gans.weights import export

    export.check(out)
    how = {"direction": cfg.direction, "seed": cfg.seed, "trust": tuple(cfg.trust), "part": cfg.part}
    module = load(cfg.checkpoint, trust=cfg.trust)
    made = export.export_file(module, out, **how)
    for name, shape in made.inputs.items():
        print(f"{name}: ({', '.join(map(str, shape))})")
    for note in made.notes:
        print(f"note: {note}")
    print(f"largest difference to PyTorch's images in [-1, 1]: {made.error:.2g}")
    print(f"{type(module).__name__} of generator update {module.iteration:,} in {out}")


if __name__ == "__main__":
    main()
