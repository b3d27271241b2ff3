"""Import published weights as checkpoints of this package."""
