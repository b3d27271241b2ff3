"""Use trained modules: samples, walks through latents, translations."""
