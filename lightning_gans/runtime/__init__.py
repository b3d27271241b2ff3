"""Provide seeds, collectives, devices and atomic files. Imports nothing else of this package."""
