"""Schedule phases, resolutions, learning rates and other values over a training."""

from lightning_gans.runtime.aliases import moved_from

__getattr__ = moved_from(__name__)
