"""What tasks state, predict and evaluate, all in one way."""

import functools
from pathlib import Path

import lightning as L
import pytest
import torch
from torch import Tensor

import rnnkit
from rnnkit.batch import ForecastExtra, ForecastInputs, SequenceBatch, TokenInputs
from rnnkit.cells import GRUCell
from rnnkit.cli import run
from rnnkit.models import AutoregressiveForecaster, DirectForecaster, LanguageModel, SequenceModel, Tagger
from rnnkit.models.forecasting.distributions import Gaussian
from rnnkit.predictions import ClassPrediction, CurvePrediction, ForecastPrediction, NumberPrediction, TagPrediction
from rnnkit.tasks import Classification, Forecasting, LanguageModeling, Regression, Tagging, Task

SGD = functools.partial(torch.optim.SGD, lr=0.1)


def forecasting(kind: type = DirectForecaster) -> tuple[Task, SequenceBatch]:
    inputs = ForecastInputs.of(torch.randn(2, 9, 1), horizon=3)
    model = kind(GRUCell, Gaussian(), channels=1, horizon=3, context=9, hidden_size=4)
    extra = ForecastExtra.of(inputs.past)._replace(scale=torch.tensor([[2.0], [3.0]]))
    return Forecasting(model, samples=5), SequenceBatch(inputs, torch.randn(2, 3, 1), extra=extra)


def classification() -> tuple[Task, SequenceBatch]:
    task = Classification(SequenceModel(3, GRUCell, input_size=1, hidden_size=4))
    return task, SequenceBatch(torch.randn(2, 5, 1), torch.tensor([0, 2]))


def numbers() -> tuple[Task, SequenceBatch]:
    task = Regression(SequenceModel(1, GRUCell, input_size=1, hidden_size=4))
    return task, SequenceBatch(torch.randn(2, 5, 1), torch.tensor([0.5, 2.0]))


def curves() -> tuple[Task, SequenceBatch]:
    task = Regression(SequenceModel(1, GRUCell, input_size=1, hidden_size=4, pooling=None))
    return task, SequenceBatch.of(torch.randn(2, 5, 1), torch.randn(2, 5), [5, 2])


def tagging() -> tuple[Task, SequenceBatch]:
    words = torch.tensor([[3, 4, 5], [6, 0, 0]])
    inputs = TokenInputs(words, words, words, torch.ones(7, 4).long(), torch.full((7,), 4))
    task = Tagging(Tagger(50, 20, ["a", "b"], GRUCell, hidden_size=4), tags=["a", "b"])
    return task, SequenceBatch.of(inputs, words % 2, [3, 1])


PREDICTIONS = {
    forecasting: ForecastPrediction,
    functools.partial(forecasting, AutoregressiveForecaster): ForecastPrediction,
    classification: ClassPrediction,
    numbers: NumberPrediction,
    curves: CurvePrediction,
    tagging: TagPrediction,
}


@pytest.mark.parametrize(("make", "kind"), PREDICTIONS.items())
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_a_prediction_is_typed_and_lightning_gives_the_same(make: object, kind: type) -> None:
    task, batch = make()  # type: ignore[operator]
    task.eval()
    assert task.capabilities == {"predict"}
    with torch.no_grad():
        found = task.predict(batch)
    assert [type(one) for one in found] == [kind, kind]
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", devices=1, **quiet)  # type: ignore[arg-type]
    assert trainer.predict(task, torch.utils.data.DataLoader([batch], batch_size=None)) == [found]


@pytest.mark.parametrize("make", PREDICTIONS)
def test_what_metrics_read_is_seen_by_no_model(make: object) -> None:
    """Extra that raises wherever it is touched: training does not."""
    task, batch = make()  # type: ignore[operator]
    seen: list[object] = []
    task.model.register_forward_pre_hook(lambda module, given: seen.extend(given))
    bare = batch._replace(extra=None)
    torch.manual_seed(1)
    first = task.training_step(batch, 0)
    torch.manual_seed(1)
    assert torch.equal(first, task.training_step(bare, 0))
    extra = {id(leaf) for leaf in batch.extra or ()}
    leaves = [leaf for given in seen for leaf in (given if isinstance(given, tuple) else [given])]
    assert not extra & {id(leaf) for leaf in leaves}


def test_evaluation_leaves_the_mode_and_begins_a_stream_afresh() -> None:
    task = LanguageModeling(LanguageModel(7, GRUCell, hidden_size=4, dropout=0.5), unit="char")
    ids = torch.randint(0, 7, (2, 9))
    batch = SequenceBatch(ids[:, :-1], ids[:, 1:], reset=torch.zeros(2, dtype=torch.bool))
    task.train()
    first, second = task.evaluate([batch]), task.evaluate([batch])
    assert task.training
    assert first == second
    assert first["loss"] == pytest.approx(task.eval().loss(task.model(batch.inputs)[0], batch).item(), rel=1e-6)
    assert task.capabilities == {"stream", "generate"}


def test_evaluation_gives_what_lightning_tests() -> None:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    task, batch = classification()
    trainer = L.Trainer(accelerator="cpu", devices=1, **quiet)  # type: ignore[arg-type]
    loader = torch.utils.data.DataLoader([batch, batch], batch_size=None, num_workers=0)
    (expected,) = trainer.test(task, loader, verbose=False)
    assert {f"test/{name}": pytest.approx(value) for name, value in task.evaluate(loader).items()} == expected


OWN = """
import torch
from rnnkit.predictions import NumberPrediction
from rnnkit.tasks import Task


class Sums(Task):
    kind = "regression"
    capabilities = frozenset({"predict"})
    metrics = {"loss": "min"}

    def __init__(self, model, optimizer=None, schedule=None, clip=None, **facts):
        super().__init__(model, optimizer, schedule, clip)
        self.total, self.count = 0.0, 0

    def loss(self, outputs, batch):
        return (outputs[:, 0] - batch.targets).square().mean()

    def update_metrics(self, batch, stage):
        self.total += float(self.loss(self.model(batch.inputs, lengths=batch.lengths), batch))
        self.count += 1

    def compute_metrics(self, stage):
        found = {"loss": self.total / self.count}
        self.total, self.count = 0.0, 0
        return found

    def predict(self, batch):
        return [NumberPrediction(v) for v in self.model(batch.inputs, lengths=batch.lengths)[:, 0].tolist()]


class Mute(Sums):
    capabilities = frozenset()
"""


@pytest.mark.parametrize("name", ["Sums", "Mute"])
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_a_task_of_ones_own_says_what_it_can(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RNNKIT_ALLOW", "own_sums")
    (tmp_path / "own_sums.py").write_text(OWN)
    words = ["train", "task=regression", f"task._target_=own_sums.{name}", "monitor=val/loss", "model.hidden_size=4"]
    small = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.log_every_n_steps=1", "run_dir=run"]
    assert run([*words, *small]) == 0
    (tmp_path / "new.csv").write_text("value\n0.1\n0.3\n6.0\n")
    assert run(["evaluate", "run"]) == 0
    capsys.readouterr()
    assert run(["predict", "run", "--input", "new.csv"]) == (0 if name == "Sums" else 2)
    said = capsys.readouterr()
    if name == "Mute":
        assert "expected a run that predicts; got a run of regression. Try: rnnkit evaluate run" in said.err
    else:
        assert '"value"' in said.out
    assert run(["generate", "run"]) == 2
    assert run(["evaluate", "run", "--lanes", "2"]) == 2
    trained = rnnkit.load("run")
    assert isinstance(trained.model(torch.randn(1, 4, 1)), Tensor)
