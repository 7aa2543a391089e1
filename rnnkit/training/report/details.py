"""The task's report, in TensorBoard after every validation."""

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from rnnkit.tasks import Task


class DetailsText(L.Callback):
    """Logs `Task.report` as the text `val/details`."""

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        details = pl_module.report() if boards and not trainer.sanity_checking else ""
        indented = "\n".join("    " + line for line in details.splitlines())  # a Markdown code block keeps spaces
        for board in boards if details else ():
            board.experiment.add_text("val/details", indented, trainer.global_step)
