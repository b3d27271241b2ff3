"""Read, write, check and load checkpoints, and decide what they may name."""
