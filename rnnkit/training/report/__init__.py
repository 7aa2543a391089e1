"""Progress, logs and figures of a run."""
