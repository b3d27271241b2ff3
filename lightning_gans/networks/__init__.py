"""Define networks and nothing else, one file per architecture."""
