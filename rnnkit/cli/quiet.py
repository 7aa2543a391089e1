"""Silence for what libraries say that helps nobody who trains a model."""

import logging
import warnings


def quiet() -> None:
    """Keeps lightning from announcing devices and other products; errors and other warnings stay."""
    import lightning.pytorch  # noqa: F401  its import sets the levels that are set here

    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # every metric is that of all processes already: metrics add up what each has counted
    warnings.filterwarnings("ignore", message=".*recommended to use .*sync_dist=True.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
