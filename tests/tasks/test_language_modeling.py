"""The task against bare loops: the same losses, the same gradients, the same weights after training."""

import functools
import math
from itertools import pairwise

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.cells import GRUCell, LSTMCell, state_leaves
from rnnkit.data import Windows
from rnnkit.models import LanguageModel
from rnnkit.tasks import LanguageModeling
from rnnkit.training import ClipNorm, cosine

SGD = functools.partial(torch.optim.SGD, lr=0.5)


def tokens(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 9, (count,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def trainer(**settings: object) -> L.Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return L.Trainer(accelerator="cpu", devices=1, num_sanity_val_steps=0, **quiet, **settings)  # type: ignore[arg-type]


def test_the_loss_is_the_mean_of_minus_log_p_over_valid_targets() -> None:
    task = LanguageModeling(LanguageModel(9, GRUCell, hidden_size=8), SGD)
    batch = SequenceBatch(
        inputs=torch.tensor([[1, 2, 3], [4, 5, 0]]),
        targets=torch.tensor([[2, 3, 4], [5, 6, IGNORED]]),
        lengths=torch.tensor([3, 2]),
        reset=torch.ones(2, dtype=torch.bool),
    )
    log_p_BTV = task.model(batch.inputs, lengths=batch.lengths)[0].log_softmax(-1)
    picked = [log_p_BTV[b, t, batch.targets[b, t]] for b, t in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]]
    assert_close(task.run_window(batch, "train"), -torch.stack(picked).mean())


def test_a_window_without_any_valid_target_costs_nothing() -> None:
    task = LanguageModeling(LanguageModel(9, GRUCell, hidden_size=8), SGD)
    nothing = torch.full((2, 3), IGNORED)
    zeros = torch.zeros(2, 3, dtype=torch.long)
    batch = SequenceBatch(zeros, nothing, lengths=zeros[:, 0], reset=torch.ones(2, dtype=torch.bool))
    assert task.run_window(batch, "train").item() == 0


def test_windows_with_the_carry_measure_what_one_pass_over_the_whole_text_measures() -> None:
    text = tokens(103)
    task = LanguageModeling(LanguageModel(9, LSTMCell, hidden_size=8), SGD).eval()
    logits_1TV, _ = task.model(text[None, :-1].long())
    expected = F.cross_entropy(logits_1TV[0], text[1:].long(), reduction="sum")
    found = task.evaluate(Windows(text, lanes=1, steps=10, units={"char": 103, "word": 20}))
    assert found["loss"] * 102 == pytest.approx(expected.item(), rel=1e-5)
    assert found["bits_per_char"] * 103 == pytest.approx(expected.item() / math.log(2), rel=1e-5)
    assert found["bits_per_word"] * 20 == pytest.approx(expected.item() / math.log(2), rel=1e-5)
    assert task.evaluate(Windows(text, lanes=1, steps=10)) == {
        name: found[name] if name != "bits_per_token" else found["loss"] / math.log(2)
        for name in ("loss", "perplexity", "bits_per_token")
    }


def test_the_carry_is_detached_and_each_stage_has_its_own() -> None:
    task = LanguageModeling(LanguageModel(9, LSTMCell, hidden_size=8), SGD)
    batch = next(iter(Windows(tokens(40), lanes=2, steps=5)))
    task.run_window(batch, "train")
    before = [leaf.clone() for leaf in state_leaves(task.carry["train"])]
    task.run_window(batch, "val")
    assert_close(state_leaves(task.carry["train"]), before)
    assert not any(leaf.requires_grad for leaf in before)
    norm = sum(leaf.square().sum() / 2 for leaf in before) ** 0.5
    assert_close(task.carry_norm(), norm)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_training_gives_the_weights_of_a_bare_loop(cell: type) -> None:
    """Two epochs of truncated BPTT with clipping and a schedule, written out by hand beside the trainer's."""
    text = tokens(203)
    torch.manual_seed(1)
    model = LanguageModel(9, cell, hidden_size=8, num_layers=2)
    by_hand = LanguageModel(9, cell, hidden_size=8, num_layers=2)
    by_hand.load_state_dict(model.state_dict())

    task = LanguageModeling(model, SGD, functools.partial(cosine, final_share=0.1), ClipNorm(0.25))
    trainer(max_epochs=2).fit(task, Windows(text, lanes=3, steps=7), Windows(text[:50], lanes=1, steps=7))

    # by hand: 202 predictions in 3 lanes of 68, 67, 67, ten windows an epoch, the last one ragged
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.5)
    starts = [0, 68, 135, 202]
    step = 0
    for _ in range(2):
        state = by_hand.initial_state(3)
        for begin in range(0, 68, 7):
            rows = [text[a + begin : min(a + begin + 7, b) + 1].long() for a, b in pairwise(starts)]
            lengths = torch.tensor([len(row) - 1 for row in rows])
            width = int(lengths.max())
            inputs = torch.stack([F.pad(row[:-1], (0, width + 1 - len(row))) for row in rows])
            targets = torch.stack([F.pad(row[1:], (0, width + 1 - len(row)), value=-100) for row in rows])
            logits, state = by_hand(inputs, state, lengths=lengths)
            state = torch.utils._pytree.tree_map(torch.Tensor.detach, state)
            optimizer.zero_grad()
            F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.25)
            optimizer.param_groups[0]["lr"] = 0.5 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 20)))
            optimizer.step()
            step += 1
    assert step == 20
    for name, parameter in model.named_parameters():
        assert_close(parameter, by_hand.get_parameter(name), msg=lambda text, name=name: f"{name}: {text}")


def test_accumulated_windows_step_once_with_the_mean_gradient() -> None:
    text = tokens(81)
    model = LanguageModel(9, GRUCell, hidden_size=8, num_layers=1)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    task = LanguageModeling(model, SGD)
    trainer(max_epochs=1, accumulate_grad_batches=2).fit(
        task, Windows(text, lanes=4, steps=10), Windows(text[:50], lanes=1, steps=7)
    )

    by_hand = LanguageModel(9, GRUCell, hidden_size=8, num_layers=1)
    by_hand.load_state_dict(start)
    state = None
    for batch in Windows(text, lanes=4, steps=10):
        logits, state = by_hand(batch.inputs, state)
        state = torch.utils._pytree.tree_map(torch.Tensor.detach, state)
        (F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()) / 2).backward()
    with torch.no_grad():
        for name, parameter in by_hand.named_parameters():
            assert_close(model.get_parameter(name), parameter - 0.5 * parameter.grad)


def test_validation_reports_loss_perplexity_and_bits_over_the_whole_split() -> None:
    text = tokens(57)
    task = LanguageModeling(LanguageModel(9, LSTMCell, hidden_size=8), SGD, unit="char")
    (figures,) = trainer().validate(task, Windows(text, lanes=1, steps=10), verbose=False)
    logits_1TV, _ = task.model(text[None, :-1].long())
    loss = F.cross_entropy(logits_1TV[0], text[1:].long()).item()
    assert figures["val/loss"] == pytest.approx(loss, rel=1e-5)
    assert figures["val/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert figures["val/bits_per_char"] == pytest.approx(loss / math.log(2), rel=1e-5)
