"""Objectives, penalties and perceptual distances."""
