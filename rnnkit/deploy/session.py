"""One live sequence."""

from collections.abc import Mapping
from ctypes import addressof, c_int64
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.deploy.given import restore, rows_of, saved
from rnnkit.engines.live import Frozen, freeze
from rnnkit.engines.live.compiled import Compiled


class Session:
    """A live sequence: an input comes, its output is returned at once, and the state is kept.

    The weights are frozen when the session is opened: copied, and packed for generated code that runs a step in one
    call. Without a C++ compiler, or for a cell that cannot be compiled, a step is a call of the cell; one warning says
    so. A session is for one thread at a time. For many sequences, see `SessionBank`.

    Args:
        step: a cell, such as `model.step()` or `rnnkit.load("runs/RUN").step()`; or a step that is frozen already
            (`session.frozen`), which sessions can share.
        x: an input of one step with one row, for a cell whose input is not a tensor of numbers or ids.

    >>> import rnnkit
    >>> session = Session(rnnkit.cells.GRUCell(3, 5))
    >>> x_TI = torch.randn(7, 3)
    >>> y_TO = session.push(x_TI)
    >>> twin = session.fork()
    >>> torch.equal(session.step(x_TI[0]), twin.push(x_TI[:1])[0])
    True
    """

    __slots__ = ("_address", "_dtype", "_given", "_limit", "_one", "_record", "_shape", "frozen")

    def __init__(self, step: Cell[Any] | Frozen, *, x: Any = None) -> None:
        self.frozen = frozen = step if isinstance(step, Frozen) else freeze(step, x)
        self._record = frozen.initial.clone()
        self._address = self._record.data_ptr()
        # the short way: a tensor of numbers, or one id, in a single call
        self._one: Any = None
        self._given, self._limit = 0, 0
        self._dtype: Any = None
        self._shape: Any = None
        if isinstance(frozen, Compiled) and isinstance(frozen.x, Tensor):
            self._one, self._given = frozen.one, frozen.given
            if frozen.limit is None:
                self._dtype, self._shape = frozen.x.dtype, frozen.x.shape[1:]
            else:
                self._limit = frozen.limit

    def step(self, x: Any) -> Tensor:
        """Run one step: map x [I], or an id, to the output [O].

        Raises:
            UserError: if x does not fit the step.
        """
        if type(x) is Tensor and x.dtype is self._dtype and x.shape == self._shape and x.is_cpu and x.is_contiguous():
            address = x.data_ptr()
        elif type(x) is int and 0 <= x < self._limit:
            number = c_int64(x)
            address = addressof(number)
        else:
            return self._run(x, single=True)[0]
        y_O = torch.empty(self.frozen.y_shape, dtype=self.frozen.y_dtype)
        self._one(self._given, self._address, address, y_O.data_ptr())
        return y_O

    def push(self, x: Any) -> Tensor:
        """Run a chunk of steps: map x [T, I], or ids [T], to the outputs [T, O], bit for bit those of single steps.

        Raises:
            UserError: if x does not fit the step, or has no steps.
        """
        return self._run(x, single=False)

    def reset(self) -> None:
        """Return to the state before the first step."""
        self._record.copy_(self.frozen.initial)

    def fork(self) -> "Session":
        """Return another session that goes on from the present state, with the same frozen weights."""
        twin = Session(self.frozen)
        twin._record.copy_(self._record)
        return twin

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the state, tensors by name, for `safetensors` too, with a fingerprint of the step."""
        return saved(self.frozen, self._record)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state.

        Raises:
            UserError: if it is the state of another model, of other weights or of another dtype.
        """
        restore(self.frozen, self._record, state)

    def _run(self, x: Any, *, single: bool) -> Tensor:
        xs, steps, _ = rows_of(self.frozen, x, single=single)
        y_TO = torch.empty(steps, *self.frozen.y_shape, dtype=self.frozen.y_dtype)
        self.frozen.push(self._record[None], [0], [steps], [0], xs, y_TO)
        return y_TO
