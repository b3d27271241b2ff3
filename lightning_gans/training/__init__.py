"""A run from a config: trainer, strategy, sweeps."""
