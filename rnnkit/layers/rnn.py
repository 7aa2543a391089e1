"""The recurrent layer: any cell, stacked and in one or both directions."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from rnnkit.cells.base import Cell
from rnnkit.cells.probability import check_probability
from rnnkit.engines import scan
from rnnkit.engines.both import scan_both
from rnnkit.errors import UserError
from rnnkit.layers import torch_interop
from rnnkit.layers.states import by_cell, by_layer
from rnnkit.layers.torch_interop import TorchRNN, TorchState
from rnnkit.masks import Lengths, Resets
from rnnkit.ranges import Layers

Kind = Callable[[int, int], Cell[Any]]
"""A factory of cells, called as `kind(input_size, hidden_size)`."""


class RNN(nn.Module):
    r"""A stack of recurrent layers.

    .. math::
        h^l_{1..T} &= \mathrm{scan}(\mathrm{cell}_l, x^l_{1..T}) \\
        x^{l+1}_t &= \mathrm{dropout}(h^l_t) \quad \text{and with residual} \quad h^l_t \leftarrow h^l_t + x^l_t, l > 1

    A bidirectional layer has a second cell that runs backward in time (Schuster and Paliwal, 1997). The outputs of both
    are concatenated, so that `output_size` is D times that of the cell.

    The state is a tuple with one entry for each layer: the cell's own state, or `BothDirections` of two of them.

    Args:
        cell: called as `cell(input_size, hidden_size)` for each layer and direction: a `Cell` class, or a
            `functools.partial` of one that sets other options; or a sequence with one of these for each layer.
        input_size: I, the number of input features.
        hidden_size: the width of every layer, or a sequence with one width for each layer.
        num_layers: the number of layers.
        bidirectional: whether each layer has a second cell that runs backward.
        dropout: dropout between layers. A float is elementwise dropout as in `torch.nn.LSTM`; a module, such as
            `LockedDropout`, is used as it is.
        residual: add the input of each layer after the first to its output (He et al., 2016, arXiv:1512.03385).

    Raises:
        UserError: if `num_layers` is below 1, the number of cells or widths does not fit it, `residual` cannot add the
            widths, or dropout is not in [0, 1).

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> rnn = RNN(LSTMCell, input_size=3, hidden_size=5, num_layers=2, bidirectional=True)
    >>> y_BTO, state = rnn(torch.randn(2, 7, 3), lengths=torch.tensor([7, 4]))
    >>> y_BTO.shape, state[1].backward.hidden.shape
    (torch.Size([2, 7, 10]), torch.Size([2, 5]))

    Layers of different kinds, and a context for those whose cell takes one:

    >>> from rnnkit.cells import GRUCell
    >>> mixed = RNN([GRUCell, LSTMCell], input_size=3, hidden_size=5, num_layers=2)
    >>> [type(state).__name__ for state in mixed(torch.randn(2, 7, 3))[1]]
    ['Tensor', 'LSTMState']
    """

    def __init__(
        self,
        cell: Kind | Sequence[Kind],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: Layers = 1,
        *,
        bidirectional: bool = False,
        dropout: float | nn.Module = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise UserError("num_layers", "a whole number of at least 1", str(num_layers), fix="model.num_layers=1")
        if not isinstance(dropout, nn.Module):
            check_probability("dropout", dropout, key="model.dropout")
        widths = [hidden_size] * num_layers if isinstance(hidden_size, int) else list(hidden_size)
        if len(widths) != num_layers:
            raise UserError(
                "hidden_size",
                f"one width, or one for each of {num_layers} layers",
                str(widths),
                fix=f"num_layers={len(widths)}",
            )
        kinds = list(cell) if isinstance(cell, Sequence) else [cell] * num_layers
        if len(kinds) != num_layers:
            raise UserError(
                "cell",
                f"one kind of cell, or one for each of {num_layers} layers",
                f"{len(kinds)} kinds",
                fix=f"num_layers={max(1, len(kinds))}",
            )
        self.input_size = input_size
        self.hidden_size = hidden_size if isinstance(hidden_size, int) else tuple(widths)
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.residual = residual
        self.dropout = dropout if isinstance(dropout, nn.Module) else nn.Dropout(dropout)
        directions = 2 if bidirectional else 1
        # layer by layer, forward before backward: the order in which torch stacks states
        self.cells = nn.ModuleList()
        for layer, (kind, width) in enumerate(zip(kinds, widths, strict=True)):
            self.cells.extend(_build(kind, input_size, width) for _ in range(directions))
            output_size = directions * self.cell_at(-1).output_size
            if residual and layer > 0 and output_size != input_size:
                raise UserError(
                    "residual",
                    "layers of one width, so that inputs and outputs can be added",
                    f"{input_size} and {output_size}",
                    fix="model.residual=false",
                )
            input_size = output_size
        self.output_size = input_size

    def cell_at(self, index: int) -> Cell[Any]:
        """Return the cell of one layer and direction: `layer`, or `2 * layer + direction` with two directions."""
        return cast("Cell[Any]", self.cells[index])

    def named_cells(self) -> Iterator[tuple[str, Cell[Any]]]:
        """Yield every cell with its layer and direction.

        >>> from rnnkit.cells import GRUCell
        >>> [name for name, cell in RNN(GRUCell, 3, 5, bidirectional=True).named_cells()]
        ['layer 1, forward', 'layer 1, backward']
        """
        for i in range(len(self.cells)):
            layer, is_backward = divmod(i, 2) if self.bidirectional else (i, 0)
            direction = ", backward" if is_backward else ", forward" if self.bidirectional else ""
            yield f"layer {layer + 1}{direction}", self.cell_at(i)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Return the initial state of every cell, in the structure that `forward` takes and returns."""
        return by_layer(
            [self.cell_at(i).initial_state(batch_size) for i in range(len(self.cells))],
            bidirectional=self.bidirectional,
        )

    def forward(
        self,
        x: Any,
        state: tuple[Any, ...] | None = None,
        *,
        context: Any = None,
        lengths: Lengths | None = None,
        reset: Resets | None = None,
        engine: str = "auto",
        checkpoint_every: int | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Run all layers over a batch; return outputs [B, T, O] and the state after each row's last step.

        The arguments are those of `rnnkit.scan`. Every layer and direction gets them, and the context if its cell takes
        one. If x is a NamedTuple, only the first layer reads it; the others read tensors.

        Raises:
            UserError: if the state has another structure, and as `scan`.
        """
        before = by_cell(state, self.num_layers, bidirectional=self.bidirectional)
        options: dict[str, Any] = {"lengths": lengths, "reset": reset, "checkpoint_every": checkpoint_every}
        cells = [self.cell_at(i) for i in range(len(self.cells))]
        # if no cell takes a context, all cells are given it, and raise an error
        takes = [cell.takes_context for cell in cells] if context is not None else [False] * len(cells)
        after: list[Any] = []
        for layer in range(self.num_layers):
            if layer > 0:
                x = self.dropout(x)
            i = len(after)
            own: dict[str, Any] = {"context": context if takes[i] or not any(takes) else None}
            if self.bidirectional:
                y_BTO, ends = scan_both(
                    (cells[i], cells[i + 1]), x, (before[i], before[i + 1]), engine=engine, **own, **options
                )
                after.extend(ends)
            else:
                y_BTO, end = scan(cells[i], x, before[i], engine=engine, **own, **options)
                after.append(end)
            x = y_BTO + x if self.residual and layer > 0 else y_BTO
        return x, by_layer(after, bidirectional=self.bidirectional)

    if TYPE_CHECKING:  # torch does not type calls of a module
        __call__ = forward

    @classmethod
    def from_torch(cls, module: TorchRNN) -> "RNN":
        """Return the same network as a `torch.nn.LSTM`, `GRU` or `RNN`, with copies of its weights. Input is
        batch-first.

        Raises:
            UserError: if the module has a projection (`proj_size`), which rnnkit does not support.

        >>> rnn = RNN.from_torch(nn.GRU(3, 5, num_layers=2))
        >>> type(rnn.cell_at(0)).__name__
        'GRUCell'
        """
        rnn = cls(**torch_interop.arguments_for(module))
        torch_interop.copy_weights(module, rnn.cells, from_torch=True)
        return rnn.train(module.training)

    def to_torch(self) -> TorchRNN:
        """Return the same network as a `torch.nn` module with `batch_first=True` and copies of the weights.

        Raises:
            UserError: if torch has no such network: another cell, a residual stack, a dropout module.

        >>> from rnnkit.cells import ElmanCell
        >>> RNN(ElmanCell, 3, 5).to_torch()
        RNN(3, 5, batch_first=True)
        """
        module = torch_interop.module_for(self)
        torch_interop.copy_weights(module, self.cells, from_torch=False)
        return module.train(self.training)

    def state_from_torch(self, state: TorchState) -> tuple[Any, ...]:
        """Convert the state of the torch module: h_n [L * D, B, H], for an LSTM (h_n, c_n)."""
        return by_layer(torch_interop.unstack_states(state), bidirectional=self.bidirectional)

    def state_to_torch(self, state: tuple[Any, ...]) -> TorchState:
        """Convert a state to that of the torch module, the inverse of `state_from_torch`."""
        return torch_interop.stack_states(by_cell(state, self.num_layers, bidirectional=self.bidirectional))


def _build(factory: Kind, input_size: int, hidden_size: int) -> Cell[Any]:
    # a cell instance is callable too, and would take the sizes for its input and state
    built = factory if isinstance(factory, nn.Module) else factory(input_size, hidden_size)
    if built is factory or not isinstance(built, Cell):
        raise UserError(
            "cell",
            "a factory, called as cell(input_size, hidden_size), that returns a rnnkit.cells.Cell",
            f"a {type(built).__name__} instance" if built is factory else f"one that returns {type(built).__name__}",
            fix="model.cell._partial_=true",
        )
    return built
