"""Log to CSV, TensorBoard and W&B in the run's folder, and continue there when a run resumes."""

from lightning_gans.runtime.aliases import moved_from

__getattr__ = moved_from(__name__)
