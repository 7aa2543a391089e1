"""The AWD-LSTM of Merity et al. (2018) is a configuration: the published size, and each of its parts at work."""

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from rnnkit.cli import run
from rnnkit.cli.configuration import config_folder
from rnnkit.training import NonmonotonicAverage, Run
from rnnkit.training.configuration.construct import construct
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.run.build import build_trainable

SMALL = [
    "experiment=awd_lstm_ptb",
    "data.dataset=null",
    "data.lanes=4",
    "data.bptt_steps=16",
    "model.embedding_size=24",
    "model.hidden_size=48",
    "model.num_layers=2",
    "optimizer.lr=10.0",  # 30 is for a model twenty times as wide
    "callbacks.sample.length=5",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=10",
]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", ["experiment=awd_lstm_ptb", *overrides, "run_dir=runs/test"])
    OmegaConf.set_struct(config, False)
    return config


def test_it_has_the_parameters_of_the_paper() -> None:
    config = composed()
    config.model.vocabulary_size = 10_000
    with torch.device("meta"):
        task = build_trainable(config)
    lstm = [4 * h * (i + h) + 2 * 4 * h for i, h in ((400, 1150), (1150, 1150), (1150, 400))]
    embedding, bias = 400 * 10_000, 10_000
    assert sum(parameter.numel() for parameter in task.parameters()) == embedding + bias + sum(lstm) == 24_221_600


def test_every_part_is_there() -> None:
    config = composed()
    config.model.vocabulary_size = 12
    config.monitor_mode = "min"  # as the task has it, which a run looks up
    task = build_trainable(config)
    model = task.model
    assert [cell.p for cell in model.rnn.cells] == [0.5] * 3
    dropouts = (model.word_dropout, model.input_dropout, model.rnn.dropout, model.output_dropout)
    assert [dropout.p for dropout in dropouts] == [0.1, 0.4, 0.25, 0.4]
    assert model.output.weight is model.embedding.weight
    assert (task.activation_penalty, task.temporal_penalty, task.lr_reference_steps) == (2.0, 1.0, 70)
    optimizer = task.optimizer(model.parameters())
    assert type(optimizer) is torch.optim.SGD
    assert [optimizer.defaults[name] for name in ("lr", "weight_decay", "momentum")] == [30.0, 1.2e-6, 0.0]
    assert task.clip.max_norm == 0.25
    assert isinstance(construct(config, "averaging"), NonmonotonicAverage)
    data = construct(config, "data")
    assert (data.origin.dataset, data.bptt_steps, data.random_steps) == ("ptb", 70, True)


def test_a_small_one_learns_and_goes_on_after_a_stop_as_if_there_had_been_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cycle.txt").write_text("the river runs to a sea\n" * 800)
    overrides = [*SMALL, f"data.path={tmp_path / 'cycle.txt'}"]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'whole'}"]) == 0
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    # what the frequencies of the seven words alone allow is ln 7
    assert summary["val/loss"] < 0.8 * math.log(7)

    original = Monitor.on_train_batch_end
    windows = 0

    def interrupting(self: Monitor, *arguments: object) -> None:
        nonlocal windows
        windows += 1
        if windows == summary["steps"] * 3 // 4:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    with pytest.raises(SystemExit, match="130"):
        run(["train", *overrides, f"run_dir={tmp_path / 'stopped'}"])
    assert run(["resume", str(tmp_path / "stopped")]) == 0
    whole, resumed = (Run.open(tmp_path / name).checkpoint("last")["state_dict"] for name in ("whole", "stopped"))
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert json.loads((tmp_path / "stopped" / "summary.json").read_text())["time_steps"] == summary["time_steps"]


@pytest.mark.parametrize("cell", ["zoneout_lstm", "variational_lstm", "weight_drop_lstm"])
def test_any_wrapped_cell_trains_evaluates_and_generates_from_the_command_line(
    cell: str, small: list[str], tmp_path: Path
) -> None:
    overrides = [*small, f"model/cell={cell}", "model.checkpoint_every=4", "trainer.max_epochs=1"]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'run'}"]) == 0
    assert run(["evaluate", str(tmp_path / "run"), "--split", "valid"]) == 0
    assert run(["generate", str(tmp_path / "run"), "--length", "5", "--temperature", "0"]) == 0
