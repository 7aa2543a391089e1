"""Parts of a model are choices by a group, by their earlier name, or classes of one's own."""

import csv
import sys
from pathlib import Path

import pytest
import torch

import rnnkit
from rnnkit.cells import GRUCell, LSTMCell
from rnnkit.cli import run
from rnnkit.cli.configuration import CHOICES_WITH_NAMES, groups
from rnnkit.layers import AttentionPooling, CharRNN, LastPooling, WindowScaling
from rnnkit.models import DirectForecaster, SequenceModel, Tagger
from rnnkit.models.forecasting.distributions import Gaussian

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
FEW = ["trainer.max_epochs=1", "trainer.limit_train_batches=3", "trainer.log_every_n_steps=1"]
FEW += ["trainer.enable_progress_bar=false", "check_memory=false"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [f"{'good' if n % 3 else 'bad'} film {n},{'yes' if n % 3 else 'no'}" for n in range(60)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (tmp_path / "tags.txt").write_text("the DET\nriver NOUN\nruns VERB\n\nthe DET\nsea NOUN\n\n" * 30)
    rows = [f"{n},{n % 7 + n / 50}" for n in range(200)]
    (tmp_path / "load.csv").write_text("\n".join(["step,load", *rows]) + "\n")
    return tmp_path


COMMANDS = {
    "model/pooling": ["task=classification", "data=labeled_text", "data.path=reviews.csv", "model.hidden_size=4"],
    "model/characters": ["task=tagging", "data=columns", "data.path=tags.txt", "model.hidden_size=4"],
    "model/scaling": ["task=forecasting", "data=series", "data.path=load.csv", "data.context=12", "data.horizon=3"],
}
COMMANDS["model/characters"] += ["model.character_size=5", "model.embedding_size=4"]
COMMANDS["model/scaling"] += ["model.hidden_size=4", "callbacks.forecasts=null"]


def losses(folder: Path) -> list[str]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [row["train/loss"] for row in csv.DictReader(file)]


CHOICES = [(group, choice) for group in CHOICES_WITH_NAMES for choice in groups()[group] if choice != "from_data"]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_a_choice_is_what_its_earlier_name_was(
    group: str, choice: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = group.replace("/", ".")
    assert run(["train", *COMMANDS[group], *FEW, f"{group}={choice}", "run_dir=group"]) == 0
    assert "is now" not in capsys.readouterr().err
    assert run(["train", *COMMANDS[group], *FEW, f"{key}={choice}", "run_dir=name"]) == 0
    assert capsys.readouterr().err.count(f"{key}={choice} is now {group}={choice}") == 1
    assert losses(here / "group") == losses(here / "name")
    one, other = (rnnkit.load(name).task.state_dict() for name in ("group", "name"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_keys_of_the_model_reach_the_part(here: Path) -> None:
    words = ["model/pooling=attention", "model.attention_heads=3", "run_dir=run"]
    assert run(["train", *COMMANDS["model/pooling"], *FEW, *words]) == 0
    pooling = rnnkit.load("run").model.pooling
    assert isinstance(pooling, AttentionPooling)
    assert pooling.output_size == 3 * 8
    words = ["model/characters=rnn", "model/cell=gru", "model.character_embedding_size=6", "run_dir=tags"]
    assert run(["train", *COMMANDS["model/characters"], *FEW, *words]) == 0
    encoder = rnnkit.load("tags").model.characters
    assert isinstance(encoder, CharRNN)
    assert (type(encoder.rnn.cell_at(0)), encoder.output_size, encoder.embedding.weight.shape[1]) == (GRUCell, 6, 6)


def test_the_last_step_is_that_of_each_direction() -> None:
    both = SequenceModel(2, GRUCell, input_size=1, hidden_size=4, bidirectional=True, pooling=LastPooling)
    named = SequenceModel(2, GRUCell, input_size=1, hidden_size=4, bidirectional=True)
    named.load_state_dict(both.state_dict())
    x_BTI, lengths = torch.randn(3, 6, 1), torch.tensor([6, 2, 4])
    assert torch.equal(both(x_BTI, lengths=lengths), named(x_BTI, lengths=lengths))


OWN = """
import torch
from torch import nn


class FirstPooling(nn.Module):
    def __init__(self, input_size, share=1.0):
        super().__init__()
        self.output_size, self.share = input_size, share

    def forward(self, y_BTH, lengths=None):
        return self.share * y_BTH[:, 0]


class Bag(nn.Module):
    def __init__(self, alphabet_size, width=3):
        super().__init__()
        self.table = nn.EmbeddingBag(alphabet_size, width, padding_idx=0)
        self.output_size = width

    def forward(self, characters_UK, sizes_U):
        return self.table(characters_UK)


class Level(nn.Module):
    def __init__(self, channels, share=0.5):
        super().__init__()
        self.level = nn.Parameter(torch.full((channels,), share))

    def forward(self, x_BTC):
        mean_BC = x_BTC.nanmean(1)
        return self.level * mean_BC, torch.ones_like(mean_BC)
"""
TARGETS = {
    "model/pooling": ("FirstPooling", "share", 0.5),
    "model/characters": ("Bag", "width", 7),
    "model/scaling": ("Level", "share", 0.25),
}


@pytest.mark.parametrize("group", TARGETS)
def test_a_class_of_ones_own_is_a_part(group: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, option, value = TARGETS[group]
    monkeypatch.syspath_prepend(here)
    sys.modules.pop("own_parts", None)
    (here / "own_parts.py").write_text(OWN)
    key = group.replace("/", ".")
    own = [f"{key}._target_=own_parts.{name}", f"+{key}.{option}={value}"]
    assert run(["train", *COMMANDS[group], *FEW, *own, "run_dir=run"]) == 0
    trained = rnnkit.load("run")
    part = getattr(trained.model, key.removeprefix("model."))
    assert type(part).__name__ == name
    assert trained.config[key.partition(".")[0]][key.partition(".")[2]][option] == value
    assert "loss" in trained.evaluate("valid")
    source = next(item.partition("=")[2] for item in COMMANDS[group] if item.startswith("data.path="))
    assert len(list(trained.predict(source))) >= 1


def test_classes_are_given_in_python_too() -> None:
    tagger = Tagger(9, 5, ["a", "b"], LSTMCell, characters=lambda alphabet: CharRNN(alphabet, GRUCell, hidden_size=3))
    assert tagger.characters.output_size == 6
    scaling = WindowScaling
    model = DirectForecaster(
        GRUCell, Gaussian(), channels=2, horizon=3, context=9, scaling=lambda channels: scaling("robust", channels)
    )
    assert model.scaling.kind == "robust"


def test_a_distribution_that_goes_through_some_scalings_asks_for_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*COMMANDS["model/scaling"], *FEW, "output=negative_binomial", "data.scaling=none"]
    assert run(["train", *words, "model/scaling=robust", "run_dir=run"]) == 2
    assert (
        "model.scaling: expected one of none, mean, with output NegativeBinomial; got 'robust'"
        in capsys.readouterr().err
    )
    assert run(["train", *words, "model.scaling=last", "run_dir=run"]) == 2
    assert "got 'last'" in capsys.readouterr().err


@pytest.mark.parametrize("override", ["model/pooling=max", "model/characters=cnn", "model/scaling=last"])
def test_a_part_that_a_model_does_not_have_is_told_with_a_task_that_has_it(
    override: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", override]) == 2
    said = capsys.readouterr().err
    assert "a task with this group" in said
    fix = said.partition("Try: ")[2].split()
    assert run(["train", *fix, "--cfg", "job"]) == 0
