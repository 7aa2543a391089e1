"""DropConnect on recurrent weights (Merity et al., 2018, arXiv:1708.02182)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils import parametrize

from rnnkit.cells.base import Cell, State
from rnnkit.cells.probability import check_probability
from rnnkit.cells.wrapper import Wrapper
from rnnkit.errors import UserError
from rnnkit.ranges import Probability


class DropConnect(nn.Module):
    """A parametrization: each element of a weight is zero with probability `p` in training, the others scaled up."""

    def __init__(self, p: Probability) -> None:
        super().__init__()
        self.p = p

    def forward(self, weight: Tensor) -> Tensor:
        return dropout(weight, self.p, self.training)


class WeightDrop(Wrapper[State]):
    r"""Drop single recurrent weights, the same ones at every step of a scan and in every lane, in training only.

    .. math::
        W_{hh} \leftarrow \frac{M \odot W_{hh}}{1 - p}, \qquad M \sim \mathrm{Bernoulli}(1 - p)

    `rnnkit.scan` draws one mask for all its steps; a cell that is stepped by hand draws one a step, unless that
    happens under `torch.nn.utils.parametrize.cached()`.

    * `weights`: names of the wrapped cell's parameters; None for all whose last part is `weight_hh`. In `state_dict`
      the weight `weight_hh` is then called `parametrizations.weight_hh.original`, as torch calls it.

    Raises `UserError` for a `p` outside [0, 1) and for names that the cell does not have.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> cell = WeightDrop(LSTMCell(3, 50), p=0.5)
    >>> 0.4 < (cell.cell.weight_hh == 0).float().mean() < 0.6
    tensor(True)
    >>> cell.eval().cell.weight_hh.all()
    tensor(True)
    """

    def __init__(self, cell: Cell[Any], p: Probability, weights: Sequence[str] | None = None) -> None:
        super().__init__(cell)
        check_probability("p", p)
        self.p = p
        names = [name for name, _ in cell.named_parameters()]
        recurrent = [name for name in names if name.rpartition(".")[2] == "weight_hh"]
        chosen = recurrent if weights is None else list(weights)
        unknown = [name for name in chosen if name not in names]
        if unknown or not chosen:
            got = ", ".join(unknown) or "none that is called weight_hh"
            fix = f"weights=[{(recurrent or names or ['weight_hh'])[0]}]"
            raise UserError("weights", f"some of {', '.join(names)}", got, fix=fix)
        for name in chosen:
            module, _, weight = name.rpartition(".")
            parametrize.register_parametrization(cell.get_submodule(module), weight, DropConnect(p))

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """One step of the wrapped cell, whose weights are drawn as they are read."""
        return self.inner(x, state, context)

    def extra_repr(self) -> str:
        """The sizes and the probability, as `print(cell)` shows them."""
        return f"{super().extra_repr()}, p={self.p}"
