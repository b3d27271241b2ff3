"""Scores: the evaluator, what it compares, and the history of scores."""
