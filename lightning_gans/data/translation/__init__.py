"""Pairs of images, and images of two domains."""
