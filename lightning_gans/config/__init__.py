"""Everything between the shell and one checked config. Imports no torch."""
