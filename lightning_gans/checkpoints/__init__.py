"""Checkpoints: files, loading, trust."""
