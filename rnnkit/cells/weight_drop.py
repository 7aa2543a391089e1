"""DropConnect on recurrent weights (Merity et al., 2018, arXiv:1708.02182)."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils import parametrize

from rnnkit.cells.base import Cell, State
from rnnkit.cells.probability import check_probability
from rnnkit.cells.wrapper import Wrapper
from rnnkit.errors import UserError
from rnnkit.ranges import Probability


class DropConnect(nn.Module):
    """A parametrization that zeroes each element of a weight with probability `p` in training and scales the others."""

    def __init__(self, p: Probability) -> None:
        super().__init__()
        self.p = p

    def forward(self, weight: Tensor) -> Tensor:
        return dropout(weight, self.p, self.training)


class WeightDrop(Wrapper[State]):
    r"""Drops single recurrent weights, the same ones at every step of a scan and in every row, in training only.

    .. math::
        W_{hh} \leftarrow \frac{M \odot W_{hh}}{1 - p}, \qquad M \sim \mathrm{Bernoulli}(1 - p)

    `rnnkit.scan` draws one mask for all its steps. A cell that is stepped by hand draws one for each step, unless it is
    called under `torch.nn.utils.parametrize.cached()`.

    Args:
        cell: the cell to wrap.
        p: the probability of dropping an element.
        weights: names of the wrapped cell's parameters; None for all whose last part is `weight_hh`. In `state_dict`,
            the weight `weight_hh` is then named `parametrizations.weight_hh.original`, as in torch.

    Raises:
        UserError: if `p` is not in [0, 1) or the cell has no parameter of a name.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> cell = WeightDrop(LSTMCell(3, 50), p=0.5)
    >>> 0.4 < (cell.cell.weight_hh == 0).float().mean() < 0.6
    tensor(True)
    >>> cell.eval().cell.weight_hh.all()
    tensor(True)
    """

    only_in_training: ClassVar[bool] = True

    def __init__(self, cell: Cell[Any], p: Probability, weights: Sequence[str] | None = None) -> None:
        super().__init__(cell)
        check_probability("p", p)
        self.p = p
        names = [name for name, _ in cell.named_parameters()]
        recurrent = [name for name in names if name.rpartition(".")[2] == "weight_hh"]
        chosen = recurrent if weights is None else list(weights)
        unknown = [name for name in chosen if name not in names]
        if unknown or not chosen:
            got = ", ".join(unknown) or "none named weight_hh"
            fix = f"weights=[{(recurrent or names or ['weight_hh'])[0]}]"
            raise UserError("weights", f"some of {', '.join(names)}", got, fix=fix)
        for name in chosen:
            module, _, weight = name.rpartition(".")
            parametrize.register_parametrization(cell.get_submodule(module), weight, DropConnect(p))

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step of the wrapped cell, which draws the masks of weights as it reads them."""
        return self.inner(x, state, context)

    def extra_repr(self) -> str:
        """Return the sizes and the probability, for `print(cell)`."""
        return f"{super().extra_repr()}, p={self.p}"
