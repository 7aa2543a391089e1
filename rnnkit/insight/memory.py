"""Linear memory probes: which earlier inputs can be read from the state."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.insight.record import as_batch, valid_lengths
from rnnkit.insight.steps import observed, states_after
from rnnkit.insight.vectors import to_vector

COMMONEST = 100
"""The number of ids that are told apart."""


class Memory(NamedTuple):
    """Scores on rows that were not used to fit, for lags 0 to K.

    Args:
        state: [K + 1], how well the input that many steps back is read from the state: R squared for values, the
            accuracy minus that of the most frequent id for ids.
        current: [K + 1], the same, read from the input of the present step, whose correlation with earlier inputs is no
            memory.
    """

    state: Tensor
    current: Tensor

    @property
    def gain(self) -> Tensor:
        """What the state knows beyond the present input [K], for lags 1 to K."""
        return (self.state - self.current.clamp(min=0))[1:]

    @property
    def capacity(self) -> float:
        """The sum of the scores above 0. For independent inputs of one feature it is the memory capacity of Jaeger
        (2001), at most the size of the state; for other inputs it is not.
        """
        return float(self.state.clamp(min=0).sum())


def memory_probe(
    model: Any, batch: Any, state: Any = None, *, lags: int = 32, held_out: float = 0.25
) -> dict[str, Memory]:
    r"""Return how well the inputs of earlier steps can be read from the states of each layer, by ridge regression.

    .. math::
        W_k = (X^\top X + r I)^{-1} X^\top Y_k, \qquad r = 10^{-6} \, \mathrm{tr}(X^\top X) / S

    X are the states, Y_k the inputs k steps back: values, or which of the 100 most frequent ids. The last rows of the
    batch are held out: scores on the rows that were fitted rise by themselves with the size of the state.

    Args:
        model: see `gradient_flow`.
        state: see `gradient_flow`.
        batch: a batch whose inputs are a tensor, of two rows or more; or the inputs.
        lags: K.
        held_out: the share of the rows on which the scores are computed, in (0, 1).

    Raises:
        UserError: if there are too few rows or steps, or the inputs are not a tensor; and as `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> memory_probe(RNN(GRUCell, 1, 8), torch.randn(8, 60, 1), lags=10)["cells.0"].state.shape
    torch.Size([11])
    """
    batch = as_batch(batch)
    inputs = batch.inputs
    if not isinstance(inputs, Tensor):
        got = f"a {type(inputs).__name__}"
        raise UserError("batch", "inputs that are one tensor [B, T] or [B, T, I]", got, fix="probe_states(states, x)")
    found = {}
    for name, event in observed(model, batch, state).items():
        assert event.y is not None
        if event.y.shape[1] != inputs.shape[1]:
            continue  # subsampled: its steps are not those of the input
        vectors_BTS = to_vector(states_after(event), axes=2)
        found[name] = probe_states(vectors_BTS, inputs, valid_lengths(event), lags=lags, held_out=held_out)
    return found


def probe_states(
    states_BTS: Tensor, inputs: Tensor, lengths_B: Tensor | None = None, *, lags: int = 32, held_out: float = 0.25
) -> Memory:
    """Return the scores for given states [B, T, S] and inputs, ids [B, T] or values [B, T, I].

    Raises:
        UserError: if there are too few rows or steps.
    """
    B, T, _ = states_BTS.shape
    if B < 2 or not 0 < held_out < 1:
        got = f"{B} rows, held_out={held_out}"
        raise UserError("batch", "two rows or more, some of them held out", got, fix="a batch of several sequences")
    steps_BT = torch.arange(T, device=states_BTS.device).expand(B, T)
    valid_BT = steps_BT >= lags
    if lengths_B is not None:
        valid_BT = valid_BT & (steps_BT < lengths_B[:, None])
    fitted = B - max(1, round(held_out * B))
    if not bool(valid_BT[:fitted].any()) or not bool(valid_BT[fitted:].any()):
        raise UserError("lags", f"fewer than the {T} steps of the sequences", str(lags), fix=f"lags={max(1, T // 4)}")
    is_ids = not inputs.is_floating_point()
    labels_BT = _commonest(inputs) if is_ids else None
    values = F.one_hot(labels_BT, COMMONEST + 1)[..., :-1].double() if labels_BT is not None else inputs.double()
    values = values if values.dim() == 3 else values[..., None]
    current = _scores(values, values, labels_BT, valid_BT, fitted, lags)
    return Memory(_scores(states_BTS.double(), values, labels_BT, valid_BT, fitted, lags), current)


def _scores(
    features_BTS: Tensor, values_BTI: Tensor, labels_BT: Tensor | None, valid_BT: Tensor, fitted: int, lags: int
) -> Tensor:
    """Return the scores [lags + 1] on the rows from `fitted` on of a regression on the rows before."""
    back_BTKI = torch.stack([values_BTI.roll(k, 1) for k in range(lags + 1)], dim=2)
    x_NS, y_NKI = features_BTS[:fitted][valid_BT[:fitted]], back_BTKI[:fitted][valid_BT[:fitted]]
    x_mean_S, y_mean_KI = x_NS.mean(0), y_NKI.mean(0)
    x_NS, y_ND = x_NS - x_mean_S, (y_NKI - y_mean_KI).flatten(1)
    gram_SS = x_NS.T @ x_NS
    ridge = 1e-6 * gram_SS.diagonal().mean()
    eye_SS = torch.eye(len(gram_SS), dtype=gram_SS.dtype, device=gram_SS.device)
    weights_SD = torch.linalg.lstsq(gram_SS + ridge.clamp(min=1e-30) * eye_SS, x_NS.T @ y_ND).solution
    x_MS, y_MKI = features_BTS[fitted:][valid_BT[fitted:]], back_BTKI[fitted:][valid_BT[fitted:]]
    guess_MKI = ((x_MS - x_mean_S) @ weights_SD).view_as(y_MKI) + y_mean_KI
    if labels_BT is None:
        rest_K = (y_MKI - guess_MKI).square().sum((0, 2))
        whole_K = (y_MKI - y_mean_KI).square().sum((0, 2))
        return torch.sub(1, rest_K / whole_K)
    truth_MK = torch.stack([labels_BT.roll(k, 1)[fitted:][valid_BT[fitted:]] for k in range(lags + 1)], dim=1)
    usual_K = y_mean_KI.argmax(-1)
    right_K = (guess_MKI.argmax(-1) == truth_MK).double().mean(0)
    return torch.sub(right_K, (truth_MK == usual_K).double().mean(0))


def _commonest(ids_BT: Tensor) -> Tensor:
    """Return the rank of each id by its frequency; `COMMONEST` for all that are rarer."""
    known, index_BT, counts = ids_BT.unique(return_inverse=True, return_counts=True)
    rank = torch.empty_like(known)
    rank[counts.argsort(descending=True, stable=True)] = torch.arange(len(known), device=known.device)
    return rank[index_BT].clamp(max=COMMONEST)
