"""The task's report, in TensorBoard after every validation."""

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from rnnkit.tasks import Task
from rnnkit.training.report.loggers import boards, log_text


class ReportText(L.Callback):
    """Logs `Task.report` as the text `val/report`."""

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        report = pl_module.report() if boards(trainer) and not trainer.sanity_checking else ""
        if report:
            log_text(trainer, "val/report", report)
