"""The gradient of one step's loss with respect to the states and the inputs before it, by lag."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.engines import ScanEvent
from rnnkit.insight.losses import Losses, one_step, step_losses
from rnnkit.insight.record import as_batch, as_module, checked, evaluating, input_steps, recording, valid_lengths
from rnnkit.insight.record import call as call_model
from rnnkit.insight.replay import StepGradients, cotangents, replay


class Length(NamedTuple):
    """A number of steps; `is_censored` if it is at least that, since the window is not longer."""

    steps: int
    is_censored: bool

    def __str__(self) -> str:
        return f"> {self.steps}" if self.is_censored else str(self.steps)


class Flow(NamedTuple):
    r"""The gradient flow of a layer.

    .. math::
        g_{b,k} = \left\| \frac{\partial \ell_{b,\tau_b}}{\partial s_{b,\tau_b-k}} \right\|_2, \qquad
        G_k = \exp\bigl(\mathrm{mean}_b \ln g_{b,k}\bigr)

    Args:
        norms: [B, T], g for k = 1 to T; NaN for steps before the sequence, and for rows whose loss has no gradient. The
            state before the first step of a sequence is included.
        reverse: whether the layer runs backward in time; the loss is then that of the first step.
    """

    norms: Tensor
    reverse: bool

    @property
    def by_lag(self) -> Tensor:
        """G [K] for k = 1 to K, the longest lag of any row."""
        known_BK = ~self.norms.isnan()
        lags = int(known_BK.any(0).sum())
        logs_BK = torch.where(known_BK, self.norms, 1).log()[:, :lags]
        return (logs_BK.sum(0) / known_BK[:, :lags].sum(0)).exp()

    @property
    def relative(self) -> Tensor:
        """G_k / G_1 [K]. Norms of different kinds of state have different units; these can be compared."""
        by_lag_K = self.by_lag
        return by_lag_K / by_lag_K[:1]


def gradient_flow(
    model: Any, batch: Any, state: Any = None, *, loss: Losses = step_losses, engine: str = "reference"
) -> dict[str, Flow]:
    r"""Return how the gradient of one step's loss falls with the lag, for each recurrent layer and direction.

    :math:`\ell_{b,\tau_b}` is the loss of the last valid step of row b alone (of the first one for layers that run
    backward), and the parts of the state s are taken as independent: for an LSTM the gradient with respect to
    :math:`c_t` does not contain the path through :math:`h_t`. Complex numbers count as two reals. Padding, resets and a
    given state are those of the batch. The model runs in eval mode and is not changed.

    Args:
        model: an `rnnkit.RNN`, a cell, any module that runs `rnnkit.scan`, or a `torch.nn.LSTM`, `GRU` or `RNN`, whose
            input must be batch-first here.
        batch: a `SequenceBatch`, or its inputs.
        state: the state before the first step; None for the initial state.
        loss: maps outputs and batch to losses [B, T], or [B] for one output for each sequence.
        engine: the engine that computes the gradients through time.

    Raises:
        UserError: if the model runs no scan over the batch or does not accept what the batch has.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import LSTMCell
    >>> flow = gradient_flow(RNN(LSTMCell, 3, 5, num_layers=2), torch.randn(4, 20, 3))
    >>> list(flow), flow["cells.0"].by_lag.shape
    (['cells.0', 'cells.1'], torch.Size([20]))
    """
    gradients = step_gradients(model, batch, state, loss=loss, engine=engine)
    return {name: Flow(by_lag(event, found.state), event.reverse) for name, (event, found) in gradients.items()}


def input_sensitivity(
    model: Any, batch: Any, state: Any = None, *, loss: Losses = step_losses, engine: str = "reference"
) -> dict[str, Flow]:
    """Return the same as `gradient_flow` for the inputs of each layer: `norms[:, k]` is for the input k steps before.

    Layers whose input is not a floating-point tensor are left out. Arguments and errors are those of `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> input_sensitivity(RNN(GRUCell, 3, 5), torch.randn(4, 20, 3))["cells.0"].norms.shape
    torch.Size([4, 20])
    """
    gradients = step_gradients(model, batch, state, loss=loss, engine=engine)
    return {
        name: Flow(by_lag(event, found.x), event.reverse)
        for name, (event, found) in gradients.items()
        if found.x is not None
    }


def memory_length(flow: Flow, share: float = 0.01) -> Length:
    """Return the longest lag at which the gradient is at least `share` of that at lag 1.

    >>> memory_length(Flow(0.5 ** torch.arange(20.0)[None], reverse=False)).steps
    7
    """
    relative_K = flow.relative
    if len(relative_K) == 0:
        return Length(0, False)
    reached = (relative_K >= share).nonzero()
    steps = int(reached[-1]) + 1 if len(reached) else 0
    return Length(steps, steps == len(relative_K))


def step_gradients(
    model: Any, batch: Any, state: Any = None, *, loss: Losses = step_losses, engine: str = "reference"
) -> dict[str, tuple[ScanEvent, StepGradients]]:
    """Return the scan of each layer, and the gradients of the loss of one step with respect to what its steps read."""
    module, batch = as_module(model), as_batch(batch)
    with evaluating(module), torch.enable_grad(), recording(module) as scans:
        outputs = call_model(module, batch, state)
        events = checked(scans)
        losses = loss(outputs, batch)
    found: dict[str, tuple[ScanEvent, StepGradients]] = {}
    for backward in (False, True):
        chosen = {name: event for name, event in events.items() if event.reverse == backward}
        if chosen:
            total = one_step(losses, batch, first=backward)
            for name, given in cotangents(total, chosen).items():
                with evaluating(events[name].cell):
                    found[name] = (events[name], replay(events[name], given, engine=engine))
    return {name: found[name] for name in events}


def by_lag(event: ScanEvent, gradients: Tensor) -> Tensor:
    """Return the norms of gradients [B, T, S], sorted by the lag between the loss and the step."""
    B, T = input_steps(event)
    t_T = torch.arange(T, device=gradients.device)
    lengths_B1 = valid_lengths(event).to(gradients.device)[:, None]
    first_B1, last_B1 = _sequence(event, lengths_B1, t_T)
    # lag 0 is the step of the loss
    at_BK = t_T.expand(B, T) + first_B1 if event.reverse else last_B1 - t_T
    inside_BK = (at_BK >= first_B1) & (at_BK <= last_B1)
    norms_BT = torch.linalg.vector_norm(gradients.flatten(2), dim=2)
    norms_BK = norms_BT.gather(1, at_BK.clamp(0, T - 1)).masked_fill(~inside_BK, torch.nan)
    silent_B1 = (norms_BK.nan_to_num() == 0).all(1, keepdim=True)
    return torch.masked_fill(norms_BK, silent_B1, torch.nan)


def _sequence(event: ScanEvent, lengths_B1: Tensor, t_T: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last step [B, 1] of the sequence that the loss belongs to."""
    if event.reset is None:
        return torch.zeros_like(lengths_B1), lengths_B1 - 1
    begins_BT = event.reset & (t_T < lengths_B1)
    if not event.reverse:
        return torch.where(begins_BT, t_T, 0).amax(1, keepdim=True), lengths_B1 - 1
    later_BT = begins_BT & (t_T > 0)
    return torch.zeros_like(lengths_B1), torch.where(later_BT, t_T, lengths_B1).amin(1, keepdim=True) - 1
