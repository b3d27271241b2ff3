"""Turn captions into vectors for generators that are conditioned on text."""
