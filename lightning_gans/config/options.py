"""What the options of ``evaluate``, ``interpolate`` and ``translate`` may be, checked before torch is imported.

What depends on a checkpoint or on images is checked by those who read them.
"""

from __future__ import annotations

from omegaconf import DictConfig

from lightning_gans.config.errors import at_least_one, unknown_key_message

MODES = ("lerp", "slerp", "grid", "loop", "arithmetic", "truncation", "nearest")  # of interpolate
MOVING = ("lerp", "slerp", "loop")
PATHS = ("lerp", "slerp")  # from a sample to another
FORMATS: dict[str, tuple[str, tuple[int, ...]]] = {  # by the ending: Pillow's name, and the channels that it holds
    "png": ("PNG", (1, 2, 3, 4)),
    "jpg": ("JPEG", (1, 3)),
    "webp": ("WEBP", (1, 3, 4)),
    "tiff": ("TIFF", (1, 2, 3, 4)),
    "bmp": ("BMP", (1, 3)),
}


def check_evaluate(cfg: DictConfig) -> None:
    """Refuse what does not say which two sides are compared.

    Raises:
        ValueError: With the option to change.
    """
    if not cfg.checkpoint and not cfg.candidate:
        raise ValueError("checkpoint: missing; say checkpoint=PATH, or reference=DIR candidate=DIR")
    if cfg.checkpoint and cfg.candidate:
        raise ValueError(f"candidate={cfg.candidate}: not with checkpoint={cfg.checkpoint}; say one of the two")
    if cfg.candidate and not cfg.reference:
        raise ValueError(f"candidate={cfg.candidate}: needs reference=DIR to be compared with")
    if cfg.checkpoint and cfg.image_size is not None:
        raise ValueError(f"image_size={cfg.image_size}: not with a checkpoint, whose images have a size")
    at_least_one("", batch_size=cfg.batch_size, **({} if cfg.image_size is None else {"image_size": cfg.image_size}))
    if not 1 <= cfg.channels <= 4:
        raise ValueError(f"channels={cfg.channels}: must be from 1 to 4")
    if cfg.on_error not in ("stop", "skip"):
        raise ValueError(f"on_error={cfg.on_error}: must be stop or skip")
    if cfg.reference and cfg.data.held_out:
        raise ValueError(f"reference={cfg.reference}: not with data.held_out=true; say one of the two")


def check_interpolate(cfg: DictConfig) -> None:
    """Refuse what a mode cannot start from.

    Raises:
        ValueError: With the option, its value and what is allowed.
    """
    if cfg.mode not in MODES:
        raise ValueError(unknown_key_message(f"mode={cfg.mode}", cfg.mode, MODES))
    for key, smallest in {"rows": 1, "steps": 2, "batch_size": 1, "milliseconds": 20}.items():
        if cfg[key] < smallest:
            raise ValueError(f"{key}={cfg[key]}: must be >= {smallest}")
    if cfg.n_real is not None and cfg.n_real < 1:
        raise ValueError(f"n_real={cfg.n_real}: must be >= 1, or null")
    groups = {name: list(cfg[name]) for name in "abc"}
    if not groups["a"] or len({len(group) for group in groups.values()}) > 1:
        raise ValueError(f"a, b, c={list(groups.values())}: must hold equally many numbers of samples")
    if cfg.classes is not None and cfg.mode == "arithmetic" and len(cfg.classes) != 3:
        raise ValueError(f"classes={list(cfg.classes)}: must be three, for a, b and c")
    for number in [*(cfg.indices or []), *sum(groups.values(), [])]:
        if number < 0:
            raise ValueError(f"{number}: numbers of samples must be >= 0")
    if cfg.indices is not None and cfg.mode in PATHS and (len(cfg.indices) % 2 or not cfg.indices):
        raise ValueError(f"indices={list(cfg.indices)}: must be pairs, where each path starts and where it ends")
    if cfg.indices is not None and cfg.mode == "grid" and len(cfg.indices) != 4:
        raise ValueError(f"indices={list(cfg.indices)}: must be four, for the corners")
    if cfg.indices is not None and not cfg.indices:
        raise ValueError("indices=[]: must name samples, or be null")
    if not cfg.psi:
        raise ValueError("psi=[]: must hold factors, e.g. [1.0, 0.5, 0.0]")


def starts(cfg: DictConfig) -> list[int]:
    """Numbers of the samples that ``interpolate`` starts from: those asked for, or as many as the mode needs."""
    needed = 4 if cfg.mode == "grid" else int(cfg.rows) * (2 if cfg.mode in PATHS else 1)
    return list(range(needed) if cfg.indices is None else cfg.indices)


def check_translate(cfg: DictConfig) -> None:
    """Refuse values out of range.

    Raises:
        ValueError: With the option, its value and what is allowed.
    """
    at_least_one("", batch_size=cfg.batch_size)
    if cfg.num_workers is not None:
        at_least_one("", num_workers=cfg.num_workers)
    if cfg.sheet < 0:
        raise ValueError(f"sheet={cfg.sheet}: must be >= 0")
    if cfg.format is not None and cfg.format not in FORMATS:
        raise ValueError(unknown_key_message(f"format={cfg.format}", str(cfg.format), FORMATS))
    if cfg.tile not in ("auto", None) and (not isinstance(cfg.tile, int) or cfg.tile < 1):
        raise ValueError(f"tile={cfg.tile}: must be auto, null, or a number of pixels")
