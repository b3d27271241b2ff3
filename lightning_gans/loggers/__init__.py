"""Log to CSV, TensorBoard and W&B in the run's folder, and continue there when a run resumes."""
