"""Training a run from a config: trainer, strategy, sweeps."""
