"""Text written by the model, in TensorBoard after every validation."""

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from rnnkit.ranges import NonNegative, NonNegativeInt, PositiveInt
from rnnkit.tasks import Task, generate
from rnnkit.tasks.generation import NotFiniteError


class SampleText(L.Callback):
    """Lets the model go on from the first tokens of the validation text, and logs what it writes as `val/sample`.

    The seed is the same every time and apart from the training's own, so that samples can be compared and training
    does not change with them.

    Args:
        length: tokens to write; 0 writes none.
        prompt_length: tokens of the validation text to go on from.
        temperature: see `rnnkit.tasks.generate`.
    """

    def __init__(
        self, length: NonNegativeInt = 200, prompt_length: PositiveInt = 32, temperature: NonNegative = 0.8
    ) -> None:
        self.length, self.prompt_length, self.temperature = length, prompt_length, temperature

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if trainer.sanity_checking or not self.length or not boards:
            return
        assert isinstance(pl_module, Task)
        data = trainer.datamodule  # type: ignore[attr-defined]
        unknown = data.tokenizer.unknown
        prompt = data.splits["valid"].tokens[: self.prompt_length]
        drawn = generate(
            pl_module.model,
            [prompt],
            length=self.length,
            temperature=self.temperature,
            forbidden=[] if unknown is None else [unknown],
            generator=torch.Generator(pl_module.device).manual_seed(0),
        )
        try:
            text = data.tokenizer.decode([*prompt.tolist(), *(int(ids_B[0]) for ids_B in drawn)])
        except NotFiniteError as error:  # the training itself goes back or stops
            text = str(error)
        indented = "\n".join("    " + line for line in text.splitlines())  # Markdown's code block keeps blanks
        for board in boards:
            board.experiment.add_text("val/sample", indented, trainer.global_step)
