"""One LightningModule per family: what the paper adds, and no more."""
