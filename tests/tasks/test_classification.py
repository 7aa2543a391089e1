"""The task of classes: its loss and figures by hand, and one run through the command line."""

import csv
import functools
import json
import math
import os
import signal
from pathlib import Path

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.cells import GRUCell
from rnnkit.cli import run
from rnnkit.data import Batches
from rnnkit.errors import UserError
from rnnkit.models import SequenceModel
from rnnkit.tasks import Classification
from rnnkit.training import Run

SGD = functools.partial(torch.optim.SGD, lr=0.5)


class Given(nn.Module):
    """A model that answers what it is given."""

    def forward(self, inputs: torch.Tensor, *, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return inputs[:, 0]


def given(logits_BC: torch.Tensor, targets_B: list[int]) -> SequenceBatch:
    return SequenceBatch(logits_BC[:, None], torch.tensor(targets_B), None)


def task(**options: object) -> Classification:
    return Classification(Given(), SGD, classes=["a", "b", "c"], counts=[6, 3, 1], **options)  # type: ignore[arg-type]


def test_the_loss_is_the_mean_of_minus_log_p() -> None:
    logits_BC = torch.randn(3, 3)
    log_p_BC = logits_BC.log_softmax(1)
    expected = -(log_p_BC[0, 2] + log_p_BC[2, 1]) / 2
    assert_close(task().loss(logits_BC, given(logits_BC, [2, IGNORED, 1])), expected)


def test_balanced_weights_let_every_class_count_alike() -> None:
    balanced = task(class_weights="balanced")
    assert balanced.class_weights is not None
    assert_close(balanced.class_weights, torch.tensor([10 / 18, 10 / 9, 10 / 3]))
    logits_BC, targets = torch.randn(10, 3), [0] * 6 + [1] * 3 + [2]
    nll_B = F.cross_entropy(logits_BC, torch.tensor(targets), reduction="none")
    by_class = torch.stack([nll_B[:6].mean(), nll_B[6:9].mean(), nll_B[9]])
    assert_close(balanced.loss(logits_BC, given(logits_BC, targets)), by_class.mean())
    by_hand = task(class_weights=[1, 0, 2])
    assert_close(by_hand.loss(logits_BC, given(logits_BC, targets)), (nll_B[:6].sum() + 2 * nll_B[9]) / 8)


def test_smoothed_labels_ask_for_a_little_of_every_class() -> None:
    logits_BC = torch.randn(2, 3)
    log_p_BC = logits_BC.log_softmax(1)
    expected = -(0.7 * log_p_BC[[0, 1], [2, 0]] + 0.1 * log_p_BC.sum(1)).mean()
    smoothed = task(label_smoothing=0.3)
    assert_close(smoothed.loss(logits_BC, given(logits_BC, [2, 0])), expected)


def test_figures_gather_all_batches_and_forget_them() -> None:
    judged = task(class_weights="balanced", label_smoothing=0.1)
    logits_NC = 3 * torch.eye(3)[[0, 0, 1, 2, 1]]
    judged.update_metrics(given(logits_NC[:2], [0, 1]), "val")
    judged.update_metrics(given(logits_NC[2:], [1, IGNORED, 2]), "val")
    figures = judged.compute_metrics("val")
    # said a a b b, true a b b c: F1 2/3, 1/2 and 0
    assert set(figures) == {"loss", "accuracy", "macro_f1"}
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    right, wrong = -math.log(math.e**3 / (math.e**3 + 2)), -math.log(1 / (math.e**3 + 2))
    assert figures["loss"] == pytest.approx((right + wrong) / 2)  # neither weights nor smoothing are in it
    names, matrix_CC = judged.confusion() or ([], torch.empty(0))
    assert names == ["a", "b", "c"]
    assert matrix_CC.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    judged.update_metrics(given(logits_NC[:1], [0]), "val")
    assert judged.compute_metrics("val")["accuracy"] == 1


def test_details_have_intervals_the_baseline_and_a_line_for_each_class() -> None:
    judged = task()
    assert judged.report() == ""
    judged.update_metrics(given(3 * torch.eye(3)[[0, 0, 1, 1] * 25], [0, 1, 1, 2] * 25), "test")
    figures = judged.compute_metrics("test")
    assert set(figures) == {"loss", "accuracy", "macro_f1", "auroc", "auprc", "calibration_error"}
    lines = judged.report().splitlines()
    (accuracy,) = [line.split() for line in lines if line.startswith("accuracy")]
    value, low, high = map(float, accuracy[1:])
    assert value == 0.5
    assert 0.38 < low < 0.43
    assert 0.57 < high < 0.62
    assert "baseline: always a, the most frequent class in training: accuracy 0.2500" in lines
    assert lines[-3].split() == ["a", "0.5000", "1.0000", "0.6667", "25"]
    assert lines[-1].split() == ["c", "-", "0.0000", "0.0000", "25"]


def test_predictions_are_plain_values() -> None:
    (first, second) = task().predict(given(torch.tensor([[0.0, 0.0, math.log(2)], [9.0, 0.0, 0.0]]), [IGNORED] * 2))
    assert first.label == 2
    assert first.probabilities == pytest.approx([0.25, 0.25, 0.5])
    assert second.label == 0
    json.dumps([first, second])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": "even"}, r"task\.class_weights: expected none, balanced or a list of numbers; got 'even'"),
        ({"class_weights": [1, 2]}, r"task\.class_weights: expected a number, 0 or more, for each of 3 classes: a, b"),
        ({"class_weights": [1, 2, -1]}, r"task\.class_weights: .*got \[1\.0, 2\.0, -1\.0\]"),
        ({"label_smoothing": 1.0}, r"task\.label_smoothing: expected a share in \[0, 1\); got 1\.0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        task(**options)


def test_training_gives_the_weights_of_a_bare_loop() -> None:
    batches = [SequenceBatch(torch.randn(4, 6, 2), torch.randint(0, 3, (4,)), torch.tensor([6, 4, 3, 1]))] * 3
    model, by_hand = (SequenceModel(3, GRUCell, input_size=2, hidden_size=5, bidirectional=True) for _ in range(2))
    by_hand.load_state_dict(model.state_dict())
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trained = Classification(model, SGD, classes=["a", "b", "c"], counts=[1, 1, 1])
    trainer = L.Trainer(accelerator="cpu", devices=1, num_sanity_val_steps=0, max_epochs=1, **quiet)
    loaders = [Batches([6] * 3, lambda indices: batches[indices[0]], batch_size=1) for _ in range(2)]
    trainer.fit(trained, *loaders)
    assert {"val/loss", "val/accuracy", "val/macro_f1"} == set(trainer.callback_metrics)

    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.5)
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(by_hand(batch.inputs, lengths=batch.lengths), batch.targets).backward()
        optimizer.step()
    assert_close(dict(model.named_parameters()), dict(by_hand.named_parameters()))


SMALL = ["model.hidden_size=12", "trainer.max_epochs=2", "trainer.limit_train_batches=8", "data.batch_size=16"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "classification"
    overrides = ["task=classification", "data=cylinder_bell_funnel", *SMALL]
    assert run(["train", *overrides, f"run_dir={folder}"]) == 0
    return folder


def test_a_run_is_evaluated_with_intervals_and_predicts(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads((trained / "summary.json").read_text())["best_val/accuracy"] > 0
    assert run(["evaluate", str(trained), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"loss", "accuracy", "macro_f1", "auroc", "auprc", "calibration_error"} < figures.keys()
    assert run(["evaluate", str(trained), "--split", "valid"]) == 0
    assert "baseline: always" in capsys.readouterr().out
    (tmp_path / "series.csv").write_text("value\n" + "".join(f"{t % 3}\n" for t in range(50)))
    files = ["--input", str(tmp_path / "series.csv"), "--output", str(tmp_path / "predictions.csv")]
    assert run(["predict", str(trained), *files]) == 0
    with (tmp_path / "predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "series.csv"
    shares = {name.removeprefix("p_"): float(share) for name, share in row.items() if name.startswith("p_")}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert row["label"] == max(shares, key=shares.__getitem__)


@pytest.mark.parametrize("variant", [[], ["trainer.precision=bf16-mixed"], ["averaging=ema", "model.pooling=max"]])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_weights_of_one_that_was_not(
    variant: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal in the middle of the second epoch: order, dropout and averages go on."""
    overrides = ["task=classification", "data=cylinder_bell_funnel", *SMALL, "model.dropout=0.2", *variant]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'whole'}"]) == 0
    from rnnkit.training.report.monitor import Monitor

    original = Monitor.on_train_batch_end

    def interrupting(self: Monitor, trainer: L.Trainer, *arguments: object) -> None:
        original(self, trainer, *arguments)  # type: ignore[arg-type]
        if trainer.global_step == 11:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    with pytest.raises(SystemExit, match="130"):
        run(["train", *overrides, f"run_dir={tmp_path / 'parts'}"])
    monkeypatch.undo()
    assert Run.open(tmp_path / "parts").checkpoint("last")["global_step"] == 11
    assert run(["resume", str(tmp_path / "parts")]) == 0
    whole, parts = (Run.open(tmp_path / name).checkpoint("last") for name in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 16
    assert_close(parts["state_dict"], whole["state_dict"], rtol=0, atol=0)


def test_a_language_learned_from_the_first_word_of_each_text(tmp_path: Path) -> None:
    """The class is said by one word at the beginning, and length says nothing: the whole way through the CLI."""
    lines = [f"{'good' if n % 2 else 'bad'} {' '.join(['so'] * (n * 7 % 9 + 1))},{n % 2}" for n in range(400)]
    (tmp_path / "texts.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    overrides = ["task=classification", "data=labeled_text", f"data.path={tmp_path / 'texts.csv'}"]
    small = ["model.hidden_size=8", "model.bidirectional=false", "trainer.max_epochs=8", "data.batch_size=16"]
    assert run(["train", *overrides, *small, "optimizer.lr=2e-2", f"run_dir={tmp_path / 'run'}"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["val/accuracy"] == 1


def test_a_bad_model_is_told_before_data_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The size of the inputs, which only the data know, is not what is complained of."""
    overrides = ["task=classification", "data=labeled_series", "data.path=nowhere.csv", "model.pooling=median"]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'run'}"]) == 2
    assert "model.pooling: expected one of last, mean, max, attention" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
