"""Training of each task's default through the command line against a bare loop; throughput and peak memory.

    python scripts/bench_tasks.py [--rounds 7] [--steps 40] [--threads 2] [--only tagging,regression]

Both sides train on the same batches, one after the other in one process, so that a machine whose speed drifts treats
them alike; neither validates. The bare loop runs the same model and loss and no more than a person would write around
them. Where that is short, the third column is the same model written in plain torch as well, `nn.LSTM` over packed
sequences. Printed are medians of valid steps a second, and of the ratios of each round; the peak is the resident memory
of a process that does nothing but train.
"""

import argparse
import contextlib
import io
import itertools
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnkit.cli import run
from rnnkit.cli.configuration import config_folder
from rnnkit.training.construct import construct
from rnnkit.training.runs import build_task

CASES = {
    "tagging": ["task=tagging"],
    "classification (text)": ["task=classification"],
    "classification (series)": ["task=classification", "data=cylinder_bell_funnel"],
    "regression": ["task=regression"],
    "forecasting": ["task=forecasting"],
}
WRITTEN = ("classification (text)", "classification (series)", "regression")
USUAL = [
    "schedule=constant",
    "trainer.max_epochs=-1",
    "trainer.limit_val_batches=0",
    "trainer.enable_progress_bar=false",
]


class Written(nn.Module):
    """The default of classification and regression as a person writes it."""

    def __init__(self, model: DictConfig) -> None:
        super().__init__()
        hidden = model.hidden_size
        self.embedding = nn.Embedding(model.vocabulary_size, hidden) if "vocabulary_size" in model else None
        size = model.get("input_size") or hidden
        self.lstm = nn.LSTM(size, hidden, model.num_layers, bidirectional=True, batch_first=True)
        self.output = nn.Linear(2 * hidden, model.outputs)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        x = inputs if self.embedding is None else self.embedding(inputs)
        _, (h, _) = self.lstm(x if lengths is None else pack_padded_sequence(x, lengths, batch_first=True))
        return self.output(torch.cat([h[-2], h[-1]], dim=1))


def prepared(case: str) -> tuple[DictConfig, Any]:
    """The configuration and the data, ready to train on."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", [*CASES[case], "run_dir=unused"])
    OmegaConf.set_struct(config, False)
    data = construct(config, "data")
    data.setup("fit")
    config.model.update(data.sizes)
    config.task.update(data.facts)
    return config, data


def bare_loop(config: DictConfig, data: Any, steps: int, *, written: bool) -> float:
    """Valid steps a second."""
    torch.manual_seed(config.seed)
    task = build_task(config)
    model: Callable[..., Any] = task.model.train()
    parameters = list(task.model.parameters())
    if written:
        plain = Written(config.model)
        model = plain
        parameters = list(plain.parameters())
        assert sum(p.numel() for p in parameters) == sum(p.numel() for p in task.model.parameters())
    optimizer = construct(config, "optimizer")(parameters)
    loader = data.train_dataloader()
    seen = 0
    started = time.perf_counter()
    for batch in itertools.islice((batch for _ in itertools.count() for batch in loader), steps):
        outputs = model(batch.inputs, lengths=batch.lengths)
        loss = task.loss(outputs, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        seen += batch.tokens
    return seen / (time.perf_counter() - started)


def through_the_command_line(case: str, steps: int, folder: Path) -> float:
    """Valid steps a second that the run reports: everything but validation, logging included."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["train", *CASES[case], *USUAL, f"trainer.max_steps={steps}", f"run_dir={folder}"]) == 0
    return float(json.loads((folder / "summary.json").read_text())["tokens_per_second"])


def peak_mebibytes(case: str, steps: int, folder: Path, threads: int) -> float:
    """Of a process that reads the data and trains: the kernel's own high-water mark."""
    arguments = ["train", *CASES[case], *USUAL, f"trainer.max_steps={steps}", f"run_dir={folder}"]
    # asked of the process itself: what wait4 tells of a child begins with the memory of its parent
    code = "import sys; from rnnkit.cli import run; run(sys.argv[1:]); print(open('/proc/self/status').read())"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="tasks by the beginning of their names, divided by commas")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.disable(logging.WARNING)  # what the data say of themselves, every time
    print(f"{given.threads} threads, {given.steps} steps a round, {given.rounds} rounds, torch {torch.__version__}")
    print(
        f"{'valid steps a second':<24}{'rnnkit train':>14}{'bare loop':>12}{'ratio':>7}{'plain torch':>13}{'ratio':>7}",
        end="",
    )
    print(f"{'peak MiB':>10}")
    only = tuple(given.only.split(","))
    with tempfile.TemporaryDirectory() as folder:
        for place, case in enumerate(case for case in CASES if case.startswith(only)):
            config, data = prepared(case)
            rounds = []  # of which the first warms up
            for number in range(given.rounds + 1):
                ours = through_the_command_line(case, given.steps, Path(folder, f"{place}-{number}"))
                bare = bare_loop(config, data, given.steps, written=False)
                plain = bare_loop(config, data, given.steps, written=True) if case in WRITTEN else float("nan")
                rounds.append((ours, bare, ours / bare, plain, ours / plain))
            ours, bare, ratio, plain, plain_ratio = (
                statistics.median(column) for column in zip(*rounds[1:], strict=True)
            )
            peak = peak_mebibytes(case, given.steps, Path(folder, f"{place}-peak"), given.threads)
            beside = f"{plain:>13,.0f}{plain_ratio:>7.2f}" if case in WRITTEN else f"{'-':>13}{'-':>7}"
            print(f"{case:<24}{ours:>14,.0f}{bare:>12,.0f}{ratio:>7.2f}{beside}{peak:>10,.0f}", flush=True)


if __name__ == "__main__":
    main()
