"""What a refusal proposes is pasted behind `Try:` as it stands, and then the command works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import every_key
import pytest

from rnnkit.cli import run

LAB = """
import torch
from rnnkit.cells import ElmanCell

class Leaky(ElmanCell):
    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.3) -> None:
        super().__init__(input_size, hidden_size)
        self.leak = leak
"""
REFUSED = [
    "optimizer.lrr=1e-3",
    "optimzer.lr=1e-3",
    "optimzer=adam",
    "cell=gru",
    "model/cell=gruu",
    "model/cel=gru",
    "model.cell=gru",
    "model/cell=null",
    "task=taging",
    "averaging=null",
    "averaging.decay=0.9",
    "schedule=cosin",
    "trainer.devices=0",
    "trainer.devices=[]",
    "trainer.devices=-2",
    "trainer.devices=x",
    "trainer.accelerator=cpuu",
    "trainer.precision=33-true",
    "trainer.max_epochs=-1",
    "trainer.max_epochs=0",
    "trainer.max_time=x",
    "+trainer.logger=true",
    "trainer.limit_val_batches=1.5",
    "trainer.profiler=x",
    "trainer.strategy=x",
    "monitor=val/los",
    "monitor=x",
    "monitor_mode=max",
    "seed=-1",
    "seed=1.5",
    "run_dir=",
    "run_dir=null",
    "run_dir=7",
    "save_minutes=0",
    "max_nonfinite_steps=0",
    "patience=-1",
    "deterministic=maybe",
    "model.num_layers=2.0",
    "model.dropout=1",
    "model.bidirectional=true",
    "model=tagger",
    "data.level=chars",
    "data.lanes=1000",
    "data.split.valid_fraction=0",
    "data.split.test_fraction=1",
    "data.vocabulary_size=1",
    "data.min_count=100000",
    "data.level=word data.split.test_fraction=1e-6",
    "+model.depth=3",
    "+model.layers=3",
    "+trainer.x=1",
    "~data",
    "~data data.lanes=2",
    "~model model.dropout=0.1",
    "~task task.unit=x",
    "~optimizer",
    "~trainer trainer.max_epochs=1",
    "~model/cell",
    "~seed",
    "~monitor",
    "~run_dir",
    "clipping.max_norm=-1",
    "optimizer.lr=-1",
    "optimizer.lr=x",
    "callbacks.sample.length=-1",
    "model.cell._target_=my_lab.Leaky model.cell.lek=0.5",
    "model.cell._target_=my_lab.Leaky model.cell.leak=x",
    "model.cell._target_=my_lab.Leaky model.cell.forget_bias=1",
    "lr",
    "hydra/launcher=joblib",
    "hydra.job_logging=x",
]
ACCEPTED = [
    "model.cell._target_=my_lab.Leaky model.cell.leak=0.5",
    "model.cell.leak=0.5 model.cell._target_=my_lab.Leaky",
    "model.cell._target_=my_lab.Leaky +model.cell.leak=0.5",
    "model.cell._target_=my_lab.Leaky ++model.cell.leak=0.5",
    "optimizer._target_=torch.optim.Adagrad optimizer.lr_decay=0.1",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    every_key.write_files(tmp_path)
    (tmp_path / "my_lab.py").write_text(LAB)
    return tmp_path


def pasted(given: list[str], fix: str) -> list[str]:
    """The overrides when what is proposed, the first of several, is typed: in place of those with the same keys."""
    fix = re.split(r", or |, (?=which|where|beside|if|so|a )", fix)[0]
    words = shlex.split(fix.removeprefix("leaving out "))
    if fix.startswith("leaving out "):
        return given
    if words[:2] == ["rnnkit", "train"]:
        return words[2:]
    assert all("=" in word or word.startswith("~") for word in words), f"{fix!r} cannot be pasted"
    kinds = {re.split("[=.]", word.lstrip("~"))[0] for word in words if "." not in word.split("=")[0]}
    keys = {word.lstrip("+~").split("=")[0] for word in words}
    kept = [
        item
        for item in given
        if item.lstrip("+~").split("=")[0] not in keys and item.lstrip("+~").split("=")[0].split("/")[0] not in kinds
    ]
    return [*kept, *words]


@pytest.mark.parametrize(
    "refused", [case if n % 4 == 0 else pytest.param(case, marks=pytest.mark.slow) for n, case in enumerate(REFUSED)]
)
def test_what_is_proposed_works(refused: str, capsys: pytest.CaptureFixture[str]) -> None:
    base = [*every_key.LANGUAGE, *every_key.TINY]
    given = refused.split()
    assert run(["train", *base, *given]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Try: " in told, told
    fix = told.rpartition("Try: ")[2]
    if fix in ("rnnkit train --help", "rnnkit board, which shows the log of every run"):
        return
    wrong = {item.lstrip("+~").split("=")[0] for item in given[-1:]}
    left = [item for item in given if fix.startswith("rnnkit") or item.lstrip("+~").split("=")[0] not in wrong]
    again = pasted([*base, *left], fix)
    if fix.startswith("rnnkit"):
        assert {*base} <= {*again}
    if "task=tagging" in again:
        again = ["task=tagging", *every_key.TASKS["tagging"], *every_key.TINY]
    assert run(["train", *again]) == 0, (told, capsys.readouterr().err)


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_options_of_a_class_of_ones_own_are_typed_like_others(
    accepted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [*every_key.LANGUAGE, *every_key.TINY]
    assert run(["train", *base, *accepted.split(), "run_dir=run"]) == 0, capsys.readouterr().err
    config = Path("run/config.yaml").read_text()
    assert "leak: 0.5" in config or "lr_decay: 0.1" in config


REFUSED_AT_ONCE = [
    "optimizer.lrr=1",
    "optimzer=adam",
    "model/cell=gruu",
    "model.cell=gru",
    "lr",
    "~data",
    "output=point",
]


def test_frequent_refusals_need_no_torch(here: Path) -> None:
    tried = "; ".join(f"assert run(['train', '{item}']) == 2" for item in REFUSED_AT_ONCE)
    check = f"import sys; from rnnkit.cli import run; {tried}; "
    check += "assert not {'torch', 'lightning', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)
