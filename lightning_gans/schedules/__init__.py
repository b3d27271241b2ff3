"""What changes as a training goes on: learning rates, resolutions."""
