"""What AWD-LSTM asks of the task: penalties on activations, and learning rates for windows of any length."""

import functools
import math

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.cells import GRUCell, LSTMCell, WeightDrop, wrapped
from rnnkit.data import Windows
from rnnkit.models import LanguageModel
from rnnkit.tasks import LanguageModeling
from rnnkit.training import ClipNorm, cosine

SGD = functools.partial(torch.optim.SGD, lr=0.5)


def trainer(**settings: object) -> L.Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return L.Trainer(accelerator="cpu", devices=1, num_sanity_val_steps=0, **quiet, **settings)  # type: ignore[arg-type]


def batch(lengths: list[int] | None, steps: int = 4) -> SequenceBatch:
    targets = torch.randint(0, 9, (3, steps))
    if lengths is not None:
        targets[torch.arange(steps) >= torch.tensor(lengths)[:, None]] = IGNORED
    return SequenceBatch(
        inputs=torch.randint(0, 9, (3, steps)),
        targets=targets,
        lengths=None if lengths is None else torch.tensor(lengths),
        reset=torch.ones(3, dtype=torch.bool),
    )


@pytest.mark.parametrize("lengths", [None, [4, 2, 0], [1, 1, 1], [0, 0, 0]])
def test_the_penalties_are_mean_squares_over_the_valid_steps(lengths: list[int] | None) -> None:
    model = LanguageModel(9, LSTMCell, hidden_size=5, dropout=0.5)
    task = LanguageModeling(model, SGD, activation_penalty=2.0, temporal_penalty=3.0)
    plain = LanguageModeling(model, SGD)
    window = batch(lengths)
    torch.manual_seed(0)
    found = task.run_window(window, "train")
    torch.manual_seed(0)
    without = plain.run_window(window, "train")
    torch.manual_seed(0)
    y_BTH, dropped_BTH, _ = model.features(window.inputs, lengths=window.lengths)
    assert (dropped_BTH == 0).any()
    valid = lengths or [4, 4, 4]
    small = [dropped_BTH[b, t, h].item() ** 2 for b in range(3) for t in range(valid[b]) for h in range(5)]
    slow = [
        (y_BTH[b, t + 1, h] - y_BTH[b, t, h]).item() ** 2
        for b in range(3)
        for t in range(valid[b] - 1)
        for h in range(5)
    ]
    expected = 2 * sum(small) / max(1, len(small)) + 3 * sum(slow) / max(1, len(slow))
    assert (found - without).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert_close(task.carry["train"], plain.carry["train"])
    assert not task.carry["train"][0].hidden.requires_grad


def test_a_window_of_one_step_has_no_change_to_penalize() -> None:
    task = LanguageModeling(LanguageModel(9, GRUCell, hidden_size=5), SGD, temporal_penalty=3.0)
    window = batch(None, steps=1)
    loss = task.run_window(window, "train")
    loss.backward()
    assert loss.item() == pytest.approx(math.log(9), abs=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in task.parameters())


def test_validation_measures_the_loss_alone() -> None:
    model = LanguageModel(9, GRUCell, hidden_size=5).eval()
    window = batch(None)
    penalized = LanguageModeling(model, SGD, activation_penalty=1e4, temporal_penalty=1e4)
    assert_close(penalized.run_window(window, "val"), LanguageModeling(model, SGD).run_window(window, "val"))
    assert penalized.run_window(window, "train") > 1.1 * penalized.run_window(window, "test")


def test_the_rate_is_in_proportion_to_the_window_under_a_schedule_and_clipping() -> None:
    """Two epochs with windows of random length, written out by hand beside the trainer's."""
    text = torch.randint(0, 9, (603,), dtype=torch.int32)
    model, by_hand = (LanguageModel(9, GRUCell, hidden_size=8, num_layers=1) for _ in range(2))
    by_hand.load_state_dict(model.state_dict())
    task = LanguageModeling(
        model, SGD, functools.partial(cosine, final_share=0.1), ClipNorm(0.25), lr_reference_steps=20
    )
    windows = Windows(text, lanes=2, steps=20, random_steps=True)
    trainer(max_epochs=2).fit(task, windows, Windows(text[:50], lanes=1, steps=7))

    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.5)
    again = Windows(text, lanes=2, steps=20, random_steps=True)
    widths = []
    for step, window in enumerate([*again, *again]):
        if window.reset.all():
            state = by_hand.initial_state(2)
        logits, state = by_hand(window.inputs, state)
        state = torch.utils._pytree.tree_map(torch.Tensor.detach, state)
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), window.targets.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.25)
        widths.append(window.inputs.shape[1])
        schedule = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / (2 * len(again))))
        optimizer.param_groups[0]["lr"] = 0.5 * schedule * widths[-1] / 20
        optimizer.step()
    assert len(set(widths)) > 3
    for name, parameter in model.named_parameters():
        assert_close(parameter, by_hand.get_parameter(name), msg=lambda text, name=name: f"{name}: {text}")


def test_without_a_nominal_length_every_window_has_the_whole_rate() -> None:
    text = torch.randint(0, 9, (101,), dtype=torch.int32)
    weights = []
    for lr_reference_steps in (None, 10, 20):
        torch.manual_seed(0)
        model = LanguageModel(9, GRUCell, hidden_size=8, num_layers=1)
        task = LanguageModeling(model, SGD, lr_reference_steps=lr_reference_steps)
        trainer(max_epochs=1).fit(task, Windows(text, lanes=2, steps=10), Windows(text, lanes=1, steps=10))
        weights.append(model.output.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weight_drop_trains_with_a_carry_and_is_the_plain_cell_when_measured() -> None:
    text = torch.arange(9).repeat(60).int()
    cell = functools.partial(wrapped, cell=LSTMCell, wrappers=[functools.partial(WeightDrop, p=0.5)])
    task = LanguageModeling(LanguageModel(9, cell, hidden_size=16, num_layers=1), functools.partial(SGD, lr=5.0))
    trainer(max_epochs=6).fit(task, Windows(text, lanes=4, steps=12), Windows(text[:50], lanes=1, steps=7))
    (figures,) = trainer().validate(task, Windows(text, lanes=1, steps=10), verbose=False)
    assert figures["val/loss"] < 0.5 * math.log(9)
    (again,) = trainer().validate(task, Windows(text, lanes=1, steps=10), verbose=False)
    assert again == figures
