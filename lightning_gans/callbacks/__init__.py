"""What watches a training: progress, grids, scores, checkpoints, stability."""
