"""Attribution is complete, agrees with closed forms, and follows what the score depends on."""

import pytest
import torch
from insight_cells import CELLS, INPUTS, H, Linear
from torch import Tensor

from rnnkit import RNN, SequenceBatch
from rnnkit.cells import GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.insight import attribute
from rnnkit.insight.attribution import last_output
from rnnkit.models import LanguageModel, SequenceModel


@pytest.mark.parametrize("kind", CELLS)
def test_integrated_gradients_are_complete(kind: str) -> None:
    rnn = RNN(CELLS[kind], INPUTS, H, num_layers=2, dropout=0.5).double()
    batch = SequenceBatch(torch.randn(3, 9, INPUTS).double(), torch.empty(0), torch.tensor([9, 4, 6]))
    found = attribute(rnn, batch, baseline=torch.zeros(INPUTS))
    assert found.error < 0.01
    assert torch.allclose(found.by_step.sum(1), found.score - found.baseline_score, rtol=0.01)
    assert not found.values[1, 4:].any()  # padding


def test_all_methods_agree_on_a_linear_model() -> None:
    cell = Linear(0.5 * torch.randn(H, H).double(), torch.randn(H, INPUTS).double())
    x = torch.randn(2, 6, INPUTS).double()

    def first(outputs: tuple[Tensor, Tensor], batch: SequenceBatch) -> Tensor:
        return outputs[0][:, -1, 0]

    weights = torch.stack([torch.linalg.matrix_power(cell.recurrent, 5 - t) @ cell.write for t in range(6)])[:, 0]
    expected = x * weights
    for method in ("integrated_gradients", "gradient_x_input"):
        found = attribute(cell, x, score=first, method=method, baseline=torch.zeros(1))
        assert torch.allclose(found.values, expected)
    hidden = attribute(cell, x, score=first, method="occlusion", baseline=torch.zeros(1))
    assert torch.allclose(hidden.by_step, expected.sum(-1))
    wide = attribute(cell, x, score=first, method="occlusion", window=4, baseline=torch.zeros(1))
    assert torch.allclose(wide.by_step[:, :4].sum(1), expected[:, :4].sum((1, 2)))


def test_ids_are_attributed_where_the_network_reads_them() -> None:
    model = LanguageModel(9, LSTMCell, hidden_size=16, num_layers=1, dropout=0.3)
    ids = torch.randint(0, 9, (2, 12))
    carry = model(ids)[1]
    found = attribute(model, SequenceBatch(ids, ids), carry)
    assert found.values.shape == (2, 12, 16)
    assert found.error < 0.01
    assert model.training
    assert all(not part._forward_pre_hooks for part in model.modules())


def test_a_classifier_of_a_planted_event_looks_at_it() -> None:
    """The class depends on the sign of one step of one channel."""
    model = SequenceModel(2, GRUCell, input_size=2, hidden_size=16, pooling="mean")
    x = 0.1 * torch.randn(32, 8, 2)
    at, labels = torch.randint(0, 8, (32,)), torch.randint(0, 2, (32,))
    x[torch.arange(32), at, 1] = 4.0 * labels - 2
    weights = list(model.parameters())
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= 0.5 * gradient
    assert float(loss.detach()) < 0.1
    for method in ("integrated_gradients", "gradient_x_input", "occlusion"):
        found = attribute(model, SequenceBatch(x, labels), method=method)
        assert float((found.by_step.abs().argmax(1) == at).float().mean()) > 0.7  # chance is 1 of 8
    assert found.score.shape == last_output(model(x), SequenceBatch(x, labels))[:, 0].shape


def test_another_library_agrees() -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed: pip install 'rnnkit[explain]'")
    rnn = RNN(GRUCell, INPUTS, H).double()
    x = torch.randn(3, 7, INPUTS).double()
    found = attribute(rnn, x, score=lambda outputs, batch: outputs[0][:, -1, 0], baseline=torch.zeros(1))
    peer = captum.IntegratedGradients(lambda x: rnn(x)[0][:, -1, 0])
    assert torch.allclose(found.values, peer.attribute(x, n_steps=500), atol=1e-6)


def test_bad_arguments_are_refused() -> None:
    rnn, x = RNN(GRUCell, INPUTS, H), torch.randn(2, 5, INPUTS)
    with pytest.raises(UserError, match="one of integrated_gradients"):
        attribute(rnn, x, method="lime")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="window"):
        attribute(rnn, x, method="occlusion", window=0)
