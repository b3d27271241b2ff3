"""Configs between the shell and the run: composed, normalised, checked. Imports no torch."""
