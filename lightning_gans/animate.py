"""Animate a person: ``python -m lightning_gans.animate checkpoint=FILE driving=DIR out=DIR|FILE.gif|FILE.mp4``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.schemas import AnimateSchema
from lightning_gans.runtime.atomic import refuse_existing


@command(AnimateSchema)
def main(cfg: DictConfig) -> None:
    """Draw the person of a fine-tuned checkpoint, or of some frames, in the poses of a driving folder."""
    out, people = Path(cfg.out).expanduser(), cfg.frames
    if out.suffix:
        refuse_existing(out, overwrite=cfg.overwrite)
    if out.suffix not in ("", ".gif", ".mp4", ".png"):
        raise ConfigError("out", cfg.out, "must be a folder, a .gif, a .mp4, or a .png for a sheet of people and poses")

    from lightning_gans.checkpoints.load import load
    from lightning_gans.images.files import animate, make_folder, save
    from lightning_gans.inference import heads
    from lightning_gans.inference.outputs import older_samples
    from lightning_gans.runtime.device import pick_device

    older = [] if out.suffix else older_samples(out, overwrite=cfg.overwrite)
    module = heads.heads_of(load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device)), cfg.checkpoint)
    driving = heads.read_driving(cfg.driving, module)
    folders = [people] if isinstance(people, str) else list(people or [])
    drawn, shown = [], []
    for folder in folders:
        drawings, frames = heads.read_person(folder, module)
        drawn.append(heads.draw(module, driving, module.person_of(frames, drawings), cfg.batch_size))
        shown.append(heads.first_frame(frames))
    drawn = drawn or [heads.draw(module, driving, None, cfg.batch_size)]
    if out.suffix == ".png":
        rows = zip(shown or [drawn[0][0]], drawn, strict=True)
        save(heads.puppets(driving, list(rows)), out, "overview")
    elif len(drawn) > 1:
        raise ConfigError("frames", folders, "several people make a sheet; say out=FILE.png, or one of them")
    elif out.suffix:
        animate(list(drawn[0]), out, cfg.milliseconds)
    else:
        folder = make_folder(out)
        for number, image in enumerate(drawn[0]):
            save(image, folder / f"{number:06d}.png", "sample")
        for path in set(older) - {folder / f"{number:06d}.png" for number in range(len(driving))}:
            path.unlink()
    print(f"{len(driving)} poses of {len(drawn)} people by generator update {module.iteration:,} in {out}")


if __name__ == "__main__":
    main()
