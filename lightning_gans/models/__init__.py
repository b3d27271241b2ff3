"""Train GAN families: one LightningModule each, with what its paper adds."""
