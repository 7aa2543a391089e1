"""Filters for log messages of libraries that do not help the user."""

import logging
import warnings


def quiet() -> None:
    """Hide Lightning's messages about devices and other products. Errors and other warnings remain."""
    import lightning.pytorch  # noqa: F401  its import sets the levels that are set here

    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # every metric is already reduced over all processes
    warnings.filterwarnings("ignore", message=".*recommended to use .*sync_dist=True.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
