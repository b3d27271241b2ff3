"""Networks only, one file per architecture."""
