"""Training of each task's default through the command line against a bare loop; throughput and peak memory.

    python scripts/bench_tasks.py [--blocks 20] [--threads 2] [--only tagging,regression]

After every block of steps of `rnnkit train`, as many as lie between two lines of its log, a bare loop takes as many on
the same batches: each pair of neighboring blocks is a comparison, so that a machine whose speed drifts treats both
alike. Neither validates. The bare loop runs the same model and loss and no more than a person would write around them.
Where that is short, another is the same model written in plain torch as well, `nn.LSTM` over packed sequences.
Printed are medians of valid steps a second, and of the ratios of the pairs with their quartiles; the peak is the
resident memory of a process that does nothing but train.
"""

import argparse
import contextlib
import importlib
import io
import itertools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from operator import truediv
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnkit.cli import run
from rnnkit.cli.configuration import config_folder
from rnnkit.training.configuration.construct import construct
from rnnkit.training.run.build import build_trainable

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
    config.model.update(data.model_kwargs)
    config.task.update(data.task_kwargs)
    return config, data


def bare_loop(config: DictConfig, data: Any, *, written: bool) -> Iterator[int]:
    """Trains without end; the valid steps of every batch."""
    torch.manual_seed(config.seed)
    task = build_trainable(config)
    model: Callable[..., Any] = task.model.train()
    parameters = list(task.model.parameters())
    if written:
        plain = Written(config.model)
        model = plain
        parameters = list(plain.parameters())
        assert sum(p.numel() for p in parameters) == sum(p.numel() for p in task.model.parameters())
    optimizer = construct(config, "optimizer")(parameters)
    loader = data.train_dataloader()
    for batch in (batch for _ in itertools.count() for batch in loader):
        outputs = model(batch.inputs, lengths=batch.lengths)
        loss = task.loss(outputs, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        yield batch.num_valid_steps


class Pairs(Checkpoint):
    """Lets the bare loops follow every block of steps; a checkpoint callback, so that it comes after all others."""

    def __init__(self, loops: list[Iterator[int]], block: int) -> None:
        self.loops = loops
        self.block = block
        self.speeds: list[list[float]] = []
        """Of each block but the first, which warms up: valid steps a second of the run, then of each loop."""

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._tokens, self._clock = 0, time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._tokens += batch.num_valid_steps
        if trainer.global_step % self.block:
            return
        speeds = [self._tokens / (time.perf_counter() - self._clock)]
        for loop in self.loops:
            started = time.perf_counter()
            tokens = sum(itertools.islice(loop, self.block))
            assert tokens == self._tokens
            speeds.append(tokens / (time.perf_counter() - started))
        if trainer.global_step > self.block:
            self.speeds.append(speeds)
        self._tokens, self._clock = 0, time.perf_counter()


def compared(case: str, blocks: int, folder: Path) -> list[list[float]]:
    """What `Pairs` has seen of a run."""
    config, data = prepared(case)
    block = config.trainer.log_every_n_steps
    loops = [bare_loop(config, data, written=False)]
    if case in WRITTEN:
        loops.append(bare_loop(config, data, written=True))
    pairs = Pairs(loops, block)
    module = importlib.import_module("rnnkit.training.fit")
    callbacks = module._callbacks  # type: ignore[attr-defined]
    module._callbacks = lambda *arguments: [*callbacks(*arguments), pairs]
    with contextlib.redirect_stdout(io.StringIO()):
        steps = f"trainer.max_steps={block * (blocks + 1)}"
        assert run(["train", *CASES[case], *USUAL, steps, f"run_dir={folder}"]) == 0
    module._callbacks = callbacks
    return pairs.speeds


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
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="tasks by the beginning of their names, divided by commas")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.disable(logging.WARNING)  # what the data say of themselves, every time
    print(f"{given.threads} threads, {given.blocks} pairs of blocks, torch {torch.__version__}; valid steps a second")
    print(f"{'':<24}{'beside':<13}{'rnnkit train':>12}{'beside':>10}{'ratio':>7}{'quartiles':>12}{'peak MiB':>10}")
    only = tuple(given.only.split(","))
    with tempfile.TemporaryDirectory() as folder:
        for place, case in enumerate(case for case in CASES if case.startswith(only)):
            ours, *others = zip(*compared(case, given.blocks, Path(folder, str(place))), strict=True)
            peak = peak_mebibytes(case, 40, Path(folder, f"{place}-peak"), given.threads)
            for beside, other in zip(("bare loop", "plain torch"), others, strict=False):
                low, ratio, high = statistics.quantiles(map(truediv, ours, other), n=4)
                print(
                    f"{case:<24}{beside:<13}{statistics.median(ours):>12,.0f}{statistics.median(other):>10,.0f}", end=""
                )
                print(f"{ratio:>7.2f}{f'{low:.2f}-{high:.2f}':>12}{peak:>10,.0f}", flush=True)


if __name__ == "__main__":
    main()
