"""Feature extractors and scores."""
