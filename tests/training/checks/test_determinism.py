"""The same numbers again: which operations stand in the way is told, by layer, before a run begins."""

from pathlib import Path

import pytest
import torch
from curves import figures

from rnnkit.cli import run
from rnnkit.training.checks.diagnosis import cell_names

# put_ is one of the operations that torch has no reproducible form of on a CPU
LAYERS = """
import rnnkit
import torch
from rnnkit.cells import ElmanCell
from rnnkit.models import LanguageModel


def put(x):
    return torch.zeros_like(x).put_(torch.arange(x.numel()).view_as(x), x)


class Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return put(gradient)


class Putting(torch.nn.Module):
    def forward(self, x):
        return put(x)


class PuttingBack(torch.nn.Module):
    def forward(self, x):
        return Back.apply(x)


class Cell(ElmanCell):
    def forward(self, x_BI, h_BH):
        y_BO, h_BH = super().forward(x_BI, h_BH)
        return put(y_BO), h_BH


class Model(LanguageModel):
    def __init__(self, vocabulary_size, cell, **options):
        super().__init__(vocabulary_size, cell, **options)
        self.there, self.back = Putting(), PuttingBack()

    def forward(self, ids_BT, state=None, *, lengths=None, reset=None):
        logits_BTV, state = super().forward(ids_BT, state, lengths=lengths, reset=reset)
        return self.back(self.there(logits_BTV)), state


class Own(torch.nn.Module):
    def __init__(self, vocabulary_size, **options):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary_size, 8)
        self.memory = Cell(8, 8)
        self.logits = torch.nn.Linear(8, vocabulary_size)

    def forward(self, ids_BT, state=None, *, lengths=None, reset=None):
        y_BTO, state = rnnkit.scan(self.memory, self.embedding(ids_BT), state, lengths=lengths, reset=reset)
        return self.logits(y_BTO), state


class Optimizer(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                put(weight.detach())
        return super().step(closure)
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of layers that cannot be had again."""
    (tmp_path / "odd_layers.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "odd_layers"


def test_every_operation_is_named_with_its_layer_and_pass(
    odd: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*small, "deterministic=true", f"model._target_={odd}.Model", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *given]) == 2
    found = "got put_ in the forward pass of there; put_ in the backward pass of back. Try: deterministic=warn"
    assert found in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_cells_and_optimizers_are_named_too(
    odd: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ["optimizer=sgd", f"optimizer._target_={odd}.Optimizer", "~optimizer.fused"]
    given = [*small, *others, "deterministic=true", "model/cell=elman", f"model.cell._target_={odd}.Cell"]
    assert run(["train", *given, f"run_dir={tmp_path / 'run'}"]) == 2
    said = capsys.readouterr().err
    assert "put_ in the forward pass of rnn, layer 1" in said
    assert "put_ in the optimizer" in said


def test_a_scan_of_a_model_of_ones_own_is_named(
    odd: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*small, "deterministic=true", f"model._target_={odd}.Own", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *given]) == 2
    assert "put_ in the forward pass of memory" in capsys.readouterr().err


def test_warn_goes_on_with_what_is_named(
    odd: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*small, "deterministic=warn", f"model._target_={odd}.Model", "trainer.max_epochs=1"]
    with pytest.warns(UserWarning, match="put_ does not have a deterministic"):
        assert run(["train", *given, f"run_dir={tmp_path / 'run'}"]) == 0
    assert "not reproducible on cpu: put_ in the forward pass of there" in capsys.readouterr().out


def test_a_run_whose_operations_can_all_be_had_again_says_so_and_is_the_same_run(
    small: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *small, "deterministic=true", f"run_dir={tmp_path / 'run'}"]) == 0
    assert "every operation of this step is reproducible on cpu with 1 thread" in capsys.readouterr().out
    assert not torch.are_deterministic_algorithms_enabled()
    assert figures(tmp_path / "run") == figures(trained)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["trainer.deterministic=true"], "trainer.deterministic: expected false, as in the key deterministic"),
        (["deterministic=true", "trainer.deterministic=false"], "trainer.deterministic: expected true"),
        (["deterministic=often"], "deterministic: expected true or false or warn; got 'often'"),
    ],
)
def test_one_key_rules(
    given: list[str], message: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *small, *given, f"run_dir={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err


def test_cells_have_the_names_of_their_layers() -> None:
    from rnnkit import RNN
    from rnnkit.cells import GRUCell

    model = torch.nn.ModuleDict({"encoder": RNN(GRUCell, 2, 3, num_layers=2, bidirectional=True)})
    names = [
        "encoder, layer 1, forward",
        "encoder, layer 1, backward",
        "encoder, layer 2, forward",
        "encoder, layer 2, backward",
    ]
    assert list(cell_names(model).values()) == names


SENTENCES = "the DET\nriver NOUN\nruns VERB\n\nit PRON\ncomes VERB\nagain ADV\nand CCONJ\nagain ADV\n\n"
TASKS = {
    "language_modeling": ["model.hidden_size=16", "data.lanes=4", "data.bptt_steps=20", "model.dropout=0.1"],
    "tagging": ["data=columns", "data.batch_size=8", "model.hidden_size=16"],
    "classification": ["data=cylinder_bell_funnel", "model.hidden_size=8", "data.train_size=96", "data.valid_size=20"],
    "regression": ["model.hidden_size=8", "model.dropout=0.1"],
    "forecasting": ["model.hidden_size=8", "data.generator.series=1", "data.generator.steps=900"],
}


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_figures(task: str, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "sentences.txt").write_text(SENTENCES * 20)
    own = {"language_modeling": [f"data.path={corpus}"], "tagging": [f"data.path={tmp_path / 'sentences.txt'}"]}
    few = ["trainer.max_epochs=2", "trainer.limit_train_batches=3", "trainer.limit_val_batches=2"]
    few += ["trainer.log_every_n_steps=1", "trainer.enable_progress_bar=false"]
    for name in ("one", "other"):
        folder = tmp_path / name
        assert run(["train", f"task={task}", *TASKS[task], *own.get(task, []), *few, f"run_dir={folder}"]) == 0
    assert len(figures(tmp_path / "one")) == 6
    assert figures(tmp_path / "one") == figures(tmp_path / "other")
