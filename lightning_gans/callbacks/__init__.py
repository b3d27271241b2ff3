"""Callbacks of a training: progress, grids, scores, checkpoints, stability."""
