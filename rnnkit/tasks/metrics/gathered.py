"""Results of each sequence of a split, gathered over all batches and processes."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Gathered(Metric):
    """Rows [N, K], one for each sequence, in the order of the updates.

    >>> gathered = Gathered()
    >>> gathered.update(torch.tensor([[1.0, 2.0]]))
    >>> gathered.update(torch.tensor([[3.0, 4.0]]))
    >>> gathered.compute().tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    full_state_update = False
    rows: Any

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, rows_BK: Tensor) -> None:
        """Adds the rows of a batch."""
        self.rows.append(rows_BK.detach())

    def compute(self) -> Tensor:
        """Returns all rows, on the CPU and in float64."""
        rows = self.rows if isinstance(self.rows, Tensor) else torch.cat(self.rows)
        return rows.cpu().double()
