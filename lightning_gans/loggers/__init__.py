"""Loggers that know where a run lives and go on where it stopped."""
