"""Singular values and eigenvalues of the Jacobian of a step, and of the recurrent weights."""

import warnings
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError
from rnnkit.insight.record import evaluating
from rnnkit.insight.steps import Steps, observed, states_after, step, steps_of
from rnnkit.insight.vectors import from_vector, to_vector

MOST_NUMBERS = 2**27
"""The largest number of elements of all Jacobians of a layer."""


class JacobianSpectrum(NamedTuple):
    """Spectra of :math:`J_t = ds_t / ds_{t-1}` at P steps of a batch.

    Args:
        row, time: [P], the place of each step.
        singular_values: [P, S], in descending order.
        eigenvalues: [P, S], complex.
    """

    row: Tensor
    time: Tensor
    singular_values: Tensor
    eigenvalues: Tensor

    @property
    def spectral_radius(self) -> Tensor:
        """The largest absolute eigenvalue [P] of each Jacobian."""
        return self.eigenvalues.abs().amax(-1)


def jacobian_spectrum(model: Any, batch: Any, state: Any = None, *, points: int = 4) -> dict[str, JacobianSpectrum]:
    """Return the spectra of the Jacobian of a step of each layer, at steps spread evenly over the batch.

    The state is taken as one real vector of all its parts. Whether perturbations grow along a trajectory is told by
    `lyapunov`; the spectrum of one step alone can mislead.

    Args:
        model: see `gradient_flow`.
        batch: see `gradient_flow`.
        state: see `gradient_flow`.
        points: the number of steps.

    Raises:
        UserError: if a Jacobian is too large; and as `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> jacobian_spectrum(RNN(GRUCell, 3, 5), torch.randn(2, 7, 3))["cells.0"].singular_values.shape
    torch.Size([4, 5])
    """
    found = {}
    for name, event in observed(model, batch, state).items():
        steps = steps_of(event, states_after(event))
        chosen = torch.linspace(0, len(steps.row) - 1, min(points, len(steps.row)), device=steps.row.device).long()
        steps = steps.take(chosen)
        with evaluating(event.cell), torch.no_grad():
            jacobians_PSS = jacobians(event.cell, steps)
        values = torch.linalg.svdvals(jacobians_PSS), torch.linalg.eigvals(jacobians_PSS)
        found[name] = JacobianSpectrum(steps.row, steps.time, *values)
    return found


def jacobians(cell: Cell[Any], steps: Steps) -> Tensor:
    """Return the Jacobians [P, S, S] of the state after each step with respect to that before."""
    vector_PS = to_vector(steps.before)
    P, S = vector_PS.shape
    if P * S * S > MOST_NUMBERS:
        got = f"{P} Jacobians of {S} x {S}"
        raise UserError("points", f"at most {MOST_NUMBERS // S**2} for this state", got, fix="points=1")
    # rows are independent: one row for each direction
    many = steps.take(torch.arange(P, device=vector_PS.device).repeat_interleave(S))
    directions = torch.eye(S, dtype=vector_PS.dtype, device=vector_PS.device).repeat(P, 1)
    columns = tangents(cell, many, directions)
    return columns.view(P, S, S).transpose(1, 2)


def tangents(cell: Cell[Any], steps: Steps, directions_NS: Tensor) -> Tensor:
    """Return the product [N, S] of the Jacobian of each step and a direction."""
    _import_forward_mode()
    # dual numbers, which take half as long as torch.func.jvp
    with forward_ad.dual_level():
        dual_NS = forward_ad.make_dual(to_vector(steps.before), directions_NS)
        after = to_vector(step(cell, steps, from_vector(dual_NS, steps.before))[1])
        tangent: Tensor | None = forward_ad.unpack_dual(after).tangent
    return torch.zeros_like(directions_NS) if tangent is None else tangent


@cache
def _import_forward_mode() -> None:
    """Let torch import what forward mode needs; it warns of the deprecation of a function that torch itself uses."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")
        torch.tanh(forward_ad.make_dual(torch.zeros(1), torch.ones(1)))


def recurrent_radii(cell: Cell[Any]) -> dict[str, float]:
    """Return the spectral radius of each square block of the weights named `weight_hh`.

    For a cell with gates it says little about its memory: see `lyapunov`.

    >>> from rnnkit.cells import GRUCell
    >>> list(recurrent_radii(GRUCell(3, 5)))
    ['weight_hh[0:5]', 'weight_hh[5:10]', 'weight_hh[10:15]']
    """
    found = {}
    for name, weight in cell.named_parameters():
        if "weight_hh" in name and weight.dim() == 2 and weight.shape[0] % weight.shape[1] == 0:
            H = weight.shape[1]
            for start in range(0, len(weight), H):
                block_HH = weight.detach()[start : start + H].double()
                found[f"{name}[{start}:{start + H}]"] = float(torch.linalg.eigvals(block_HH).abs().max())
    return found
