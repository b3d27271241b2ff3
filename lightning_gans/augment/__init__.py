"""Augmentations of what the discriminator sees."""
