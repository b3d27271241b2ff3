"""Trained modules at work: samples, latents, translations."""
