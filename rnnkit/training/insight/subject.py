"""What is measured: a twin of a model, with a probe of each cell that is kept between measurements."""

from typing import Any

from torch import nn

from rnnkit.cells import Cell
from rnnkit.engines import ScanEvent
from rnnkit.engines.policy import LEAST_WORK
from rnnkit.insight.probe import Probed
from rnnkit.insight.twin import is_shared
from rnnkit.tasks import Task


class Subject:
    """A twin of the model of a task, in eval mode, and the probes of its cells.

    Args:
        task: the task.
        twin: a copy of its model that shares the weights.
    """

    def __init__(self, task: Task, twin: nn.Module) -> None:
        self.task, self.twin = task, twin
        self.probes: dict[str, Probed] = {}
        self.engine = "reference"
        self._hooks: list[Any] = []

    def probe(self, name: str, event: ScanEvent) -> Probed:
        """Return the probe of a cell."""
        if name not in self.probes:
            self.probes[name] = Probed(event.cell)
        return self.probes[name]

    def is_current(self, model: nn.Module) -> bool:
        """Whether the twin still shares the weights of a model."""
        return is_shared(model, self.twin)

    def run_as_loops(self) -> None:
        """Run cells without a kernel of torch as Python loops, which need no compilation: a hook needs every step."""
        own = [cell for cell in outermost_cells(self.twin).values() if type(cell) not in LEAST_WORK]
        self._hooks = [cell.register_forward_pre_hook(lambda *_: None) for cell in own]
        self.engine = "reference"

    def run_compiled(self) -> None:
        """Let the cells and their probes be compiled, which takes seconds once."""
        for hook in self._hooks:
            hook.remove()
        self.engine = "auto"


def outermost_cells(model: nn.Module) -> dict[str, nn.Module]:
    """Return the cells of a model by their paths, without those inside of other cells."""
    cells = {name: part for name, part in model.named_modules() if isinstance(part, Cell)}
    inside = {part for cell in cells.values() for part in cell.modules() if part is not cell}
    return {name: cell for name, cell in cells.items() if cell not in inside}
