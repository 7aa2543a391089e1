"""The commands as a person types them."""

import contextlib
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnkit.cli import run
from rnnkit.data import load_tokenizer
from rnnkit.training import Run

ROOT = Path(__file__).parents[2]


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run([*arguments]) == 0
    return capsys.readouterr().out


def test_help_names_every_command_and_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "--help")
    commands = ["train", "resume", "evaluate", "generate", "board", "data"]
    assert all(command in text for command in commands)
    check = "import sys; from rnnkit.cli import run; run(['--help']); run(['train', '--help']); run(['data', 'list']);"
    check += "assert not {'torch', 'lightning', 'hydra'} & set(sys.modules), set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["train", "resume", "evaluate", "generate", "board", "data"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        run([command, "--help"])
    assert f"rnnkit {command}" in capsys.readouterr().out


def test_evaluation_measures_the_whole_split_in_every_unit(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = json.loads(output_of(capsys, "evaluate", str(trained), "--split", "test", "--json"))
    config = Run.open(trained).config()
    text = Path(config.data.path).read_text()
    split = text[-figures["tokens"] - 1 :]
    ids = load_tokenizer(trained / "vocabulary.json").encode(split).long()
    model = Run.open(trained).task().model
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(ids[None, :-1])[0][0], ids[1:], reduction="sum").item()
    assert figures["loss"] == pytest.approx(loss / figures["tokens"], rel=1e-4)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]))
    assert figures["bits_per_byte"] == pytest.approx(loss / math.log(2) / len(split.encode()), rel=1e-4)
    words = len(split.split()) + split.count("\n")
    assert figures["bits_per_word"] == pytest.approx(loss / math.log(2) / words, rel=1e-4)


def test_evaluation_of_another_text(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.txt").write_text("the sea comes again\n" * 20)
    text = output_of(capsys, "evaluate", str(trained), "--data", str(tmp_path / "other.txt"))
    assert "399 tokens" in text


def test_a_config_of_another_level_than_the_vocabulary_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    written = (folder / "config.yaml").read_text()
    assert "level: char" in written
    (folder / "config.yaml").write_text(written.replace("level: char", "level: byte"))
    assert run(["evaluate", str(folder)]) == 2
    assert "where data.level is char instead of byte" in capsys.readouterr().err


def test_more_lanes_change_the_figure_little(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = [
        json.loads(output_of(capsys, "evaluate", str(trained), "--split", "valid", "--lanes", n, "--json"))["loss"]
        for n in ("1", "4")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.1)


def test_a_seed_repeats_the_text(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", str(trained), "--prompt", "the ", "--length", "60", "--top-p", "0.9", "--top-k", "8"]
    first = output_of(capsys, *arguments, "--seed", "1")
    assert first.startswith("the ")
    assert len(first) == 4 + 60 + 1
    assert output_of(capsys, *arguments, "--seed", "1") == first
    assert output_of(capsys, *arguments, "--seed", "2") != first


def test_without_a_prompt_a_line_begins(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", str(trained), "--length", "30", "--temperature", "0"]
    text = output_of(capsys, *arguments)
    assert len(text) == 30 + 1
    assert output_of(capsys, *arguments, "--prompt", "") == text


def test_several_prompts_are_written_side_by_side(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(
        capsys, "generate", str(trained), "--prompt", "the sea", "--prompt", "so", "--length", "9", "--temperature", "0"
    )
    parts = [part for part in re.split(r"-{20}\n", text) if part]
    assert [len(part.rstrip("\n")) >= 9 for part in parts] == [True, True]
    assert parts[0].startswith("the sea")
    assert parts[1].startswith("so")


def test_text_is_printed_as_it_is_produced(trained: Path) -> None:
    """The first character arrives long before the last could."""
    command = [sys.executable, "-m", "rnnkit", "generate", str(trained), "--prompt", "the", "--length", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.read(50).startswith(b"the")
        process.kill()


def test_multirun_trains_each_combination_and_compares_them(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output_of(
        capsys, "train", "--multirun", "model/cell=elman,gru", "seed=1,2", *small, f"run_dir={tmp_path / 'sweep'}"
    )
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0", "1", "2", "3"]
    table = text.split("All runs, best first:")[1].strip().splitlines()
    losses = [float(line.split()[1]) for line in table]
    assert losses == sorted(losses)
    assert sum("model/cell=gru seed=2" in line for line in table) == 1


def test_a_researchers_own_cell_is_named_by_its_dotted_path(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "my_lab.py").write_text(
        "from torch import nn\n"
        "from rnnkit.cells import Cell\n"
        "class Leaky(Cell):\n"
        "    def __init__(self, input_size, hidden_size, leak):\n"
        "        super().__init__()\n"
        "        self.input_size, self.output_size, self.leak = input_size, hidden_size, leak\n"
        "        self.map = nn.Linear(input_size + hidden_size, hidden_size)\n"
        "    def initial_state(self, batch_size):\n"
        "        return self.map.weight.new_zeros(batch_size, self.output_size)\n"
        "    def forward(self, x, h):\n"
        "        import torch\n"
        "        h = (1 - self.leak) * h + self.leak * torch.tanh(self.map(torch.cat([x, h], -1)))\n"
        "        return h, h\n"
    )
    own = ["~model.cell.nonlinearity", "~model.cell.bias", "model/cell=elman"]
    command = [sys.executable, "-m", "rnnkit", "train", *small, *own, "trainer.max_epochs=1"]
    command += ["model.cell._target_=my_lab.Leaky", "+model.cell.leak=0.3", "run_dir=mine"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / "checkpoints" / "best.ckpt").is_file()


def test_byte_word_and_subword_models_train_and_write(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for level in ("byte", "word", "subword"):
        prompt, folder = "the sea", str(tmp_path / level)
        own = ["data.vocabulary_size=300"] if level == "subword" else []
        assert run(["train", *small, *own, f"data.level={level}", "trainer.max_epochs=1", f"run_dir={folder}"]) == 0
        capsys.readouterr()
        assert output_of(capsys, "generate", folder, "--prompt", prompt, "--length", "5").startswith("the sea")
        assert "bits_per_word" in output_of(capsys, "evaluate", folder, "--json")


def test_the_script_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/train.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "rnnkit train" in done.stdout


def test_the_board_answers_on_this_machine_only(trained: Path) -> None:
    import time
    import urllib.request

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rnnkit", "board", str(trained), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            for _ in range(120):
                try:
                    page = urllib.request.urlopen(f"http://localhost:{port}/data/environment", timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.5)
            assert json.loads(page)["data_location"] == str(trained)
        finally:
            process.kill()


@pytest.mark.slow
def test_two_processes_train_one_model_on_their_shares_of_the_lanes(small: list[str], tmp_path: Path) -> None:
    """DDP on the CPU: as many windows, one run folder, and a validation over all the text."""
    command = [sys.executable, "-m", "rnnkit", "train", *small, "trainer=ddp", "trainer.accelerator=cpu"]
    command += ["trainer.devices=2", "trainer.max_epochs=1", "trainer.limit_train_batches=20", "run_dir=run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 20
    assert summary["time_steps"] == 20 * 4 * 16
    carry = Run.open(tmp_path / "run").checkpoint("last")["carry"]
    assert [leaf.shape[:2] for leaf in carry] == [(2, 2), (2, 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
