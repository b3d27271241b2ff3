"""Find landmarks of faces: ``python -m lightning_gans.landmarks input=DIR detector=NAME [weights=FILE out=DIR]``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.schemas import LandmarksSchema


@command(LandmarksSchema)
def main(cfg: DictConfig) -> None:
    """Write the landmarks of the faces in videos beside their frames, for data=talking_heads and finetune."""
    from lightning_gans.data.translation import landmark_extraction as extraction

    root = Path(cfg.input).expanduser()
    if not root.exists():
        raise ConfigError("input", cfg.input, "does not exist; give a folder of frames or of MP4 files")
    detector = extraction.detector_of(cfg.detector, cfg.weights)
    print(f"licence of detector={cfg.detector}: {detector.licence}")
    if root.is_file() or next(root.rglob("*.mp4"), None):
        if cfg.out is None:
            raise ConfigError("out", None, "must be a folder for the frames of MP4 files")
        out = Path(cfg.out).expanduser()
        print(f"{extraction.write_frames(root, out, cfg.fps):,} MP4 files, {cfg.fps:g} frames a second, in {out}")
        root = out
    found = extraction.write_landmarks(root, detector.extract, overwrite=cfg.overwrite)
    for names, what in (
        (found.faceless, "have no face and are left out"),
        (found.several, "have several, of which the largest is taken"),
    ):
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            print(f"{len(names)} frames {what}: {', '.join(names[:10])}{more}")
    print(f"landmarks of {found.frames:,} frames of {found.videos:,} videos in {root}")


if __name__ == "__main__":
    main()
