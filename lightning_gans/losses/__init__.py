"""Objectives, penalties and perceptual distances."""

from lightning_gans.runtime.aliases import moved_from

__getattr__ = moved_from(__name__)
