"""Pairs of images, and images of two domains."""

from lightning_gans.runtime.aliases import moved_from

__getattr__ = moved_from(__name__)
