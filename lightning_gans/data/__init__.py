"""Image sets: what lies behind ``data=NAME``."""
