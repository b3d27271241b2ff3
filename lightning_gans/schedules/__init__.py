"""Schedule phases, resolutions, learning rates and other values over a training."""
