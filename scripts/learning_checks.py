"""What every cell remembers: three generated tasks that a cell without memory, or with a wrong gradient, cannot do.

    OMP_NUM_THREADS=1 python scripts/learning_checks.py [--cells lstm gru] [--tasks adding copy] [--steps 500]

Each cell of configs/model/cell/ is trained with its default options (but for STACKED and CHRONO) from one seed, with
one learning rate, for the same number of steps; less where the task is solved before. `--output` receives the table in
Markdown.
"""

import argparse
import functools
import importlib
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
import yaml
from learning.tasks import Adding, CopyMemory, Parity, Task
from torch import Generator, Tensor, nn

from rnnkit import RNN
from rnnkit.engines import explain

CELLS = Path(__file__).parents[1] / "configs" / "model" / "cell"
BATCH, HIDDEN, LEARNING_RATE = 32, 64, 5e-3

STACKED = ("min_gru", "min_lstm", "qrnn", "sru", "lru", "rg_lru")
"""Cells whose gates see the input alone: they count and compare only in two layers, and their papers stack them."""

CHRONO = {
    "lstm": ("bias_ih", "ifgo"),
    "peephole_lstm": ("bias", "ifgo"),
    "coupled_lstm": ("bias", "fgo"),
    "layer_norm_lstm": ("norm_ih.bias", "ifgo"),
    "variational_lstm": ("cell.bias_ih", "ifgo"),
    "weight_drop_lstm": ("cell.bias_ih", "ifgo"),
    "zoneout_lstm": ("cell.bias_ih", "ifgo"),
}
"""LSTMs whose biases start as Tallec and Ollivier (2018, arXiv:1804.11188) ask: where they are, in which order."""

TASKS: dict[str, tuple[Callable[[], Task], int]] = {
    "adding": (Adding, 1500),
    "copy": (CopyMemory, 1500),
    "parity": (Parity, 1000),
}
"""Each task and the most steps of training."""


def model_for(name: str, task: Task, hidden: int = HIDDEN) -> "Reader":
    """A cell of configs/model/cell/ with a readout, its first weights those of seed 1."""
    torch.manual_seed(1)
    factory = cell_from(CELLS / f"{name}.yaml")
    model = Reader(factory, task, hidden, layers=2 if name in STACKED else 1)
    if name in CHRONO:
        _spread_memories(model.rnn.cell_at(0), *CHRONO[name], longest=task.steps)
    return model


def _spread_memories(cell: nn.Module, bias: str, order: str, longest: int) -> None:
    """Forget gates that remember from 2 to `longest` steps, input gates that let in as little as is forgotten."""
    gates = dict(zip(order, cell.get_parameter(bias).detach().chunk(len(order)), strict=True))
    gates["f"].copy_(torch.empty_like(gates["f"]).uniform_(1, longest - 1).log())
    if "i" in gates:
        gates["i"].copy_(-gates["f"])


class Reader(nn.Module):
    """An RNN and a linear readout."""

    def __init__(self, cell: Callable[[int, int], Any], task: Task, hidden: int = HIDDEN, layers: int = 1) -> None:
        super().__init__()
        self.rnn = RNN(cell, task.features, hidden, num_layers=layers)
        self.readout = nn.Linear(self.rnn.output_size, task.outputs)

    def forward(self, x_BTI: Tensor) -> Tensor:
        y_BTO: Tensor = self.readout(self.rnn(x_BTI)[0])
        return y_BTO


def train(model: nn.Module, task: Task, steps: int, learning_rate: float = LEARNING_RATE) -> dict[str, Any]:
    """Adam on new sequences at every step; the figures at the end, or when they say that the task is solved."""
    generator = Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for step in range(1, steps + 1):
        x_BTI, target = task.batch(BATCH, generator)
        optimizer.zero_grad()
        task.loss(model(x_BTI), target).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if not norm.isfinite():
            break
        optimizer.step()
        if step % 100 == 0 and task.solved(_figures(model, task)):
            break
    return {**_figures(model, task), "steps": step}  # NaN passes nothing


def _figures(model: nn.Module, task: Task) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        figures = task.figures(model)
    model.train()
    return figures


def cell_from(path: Path) -> Callable[[int, int], Any]:
    """The factory that a YAML of configs/model/cell/ describes."""
    factory: Callable[[int, int], Any] = _built(yaml.safe_load(path.read_text()))
    return factory


def _built(node: Any) -> Any:
    """What Hydra would make of a node, partials and lists of them included."""
    if isinstance(node, list):
        return [_built(item) for item in node]
    if not isinstance(node, dict) or "_target_" not in node:
        return node
    module, name = node["_target_"].rsplit(".", 1)
    options = {key: _built(value) for key, value in node.items() if not key.startswith("_")}
    target = functools.partial(getattr(importlib.import_module(module), name), **options)
    return target if node.get("_partial_") else target()


def check(cell: str, task: str, steps: int | None) -> dict[str, Any]:
    """One cell on one task: its figures, whether it passed, the engine that ran and the seconds it took."""
    torch.set_num_threads(1)
    kind, most = TASKS[task]
    built = kind()
    model = model_for(cell, built)
    started = time.perf_counter()
    figures = train(model, built, steps or most)
    seconds = time.perf_counter() - started
    x_BTI, _ = built.batch(BATCH, Generator())
    engine = explain(model.rnn.cell_at(0), x_BTI.requires_grad_()).engine
    return {"figures": figures, "passed": built.passed(figures), "engine": engine, "seconds": seconds}


def table(results: Mapping[tuple[str, str], dict[str, Any]]) -> str:
    """The results in Markdown: what passed is bold, and what no memory at all reaches stands in the head."""
    names, tasks = (list(dict.fromkeys(column)) for column in zip(*results, strict=True))
    heads = ["cell", "engine", *(TASKS[task][0]().head for task in tasks), "steps", "seconds"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in names:
        found = [results[name, task] for task in tasks]
        measures = [", ".join(_shown(x) for key, x in each["figures"].items() if key != "steps") for each in found]
        shown = [f"**{text}**" if each["passed"] else text for text, each in zip(measures, found, strict=True)]
        engines = ", ".join(dict.fromkeys(each["engine"] for each in found))
        steps = ", ".join(str(each["figures"]["steps"]) for each in found)
        seconds = f"{sum(each['seconds'] for each in found):.0f}"
        lines.append(f"| {' | '.join([f'`{name}`', engines, *shown, steps, seconds])} |")
    return "\n".join(lines) + "\n"


def _shown(figure: float) -> str:
    return f"{figure:.4f}" if abs(figure) < 1e3 else "diverged"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(path.stem for path in CELLS.glob("*.yaml"))
    parser.add_argument("--cells", nargs="+", choices=names, default=names, metavar="CELL", help=", ".join(names))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--steps", type=int, help="most steps of training, in place of each task's own")
    parser.add_argument("--processes", type=int, default=2, help="cells trained side by side, with one thread each")
    parser.add_argument("--output", type=Path, help="a file for the table")
    given = parser.parse_args()
    work = [(cell, task) for cell in given.cells for task in given.tasks]
    results = {}
    # Fresh processes: what one cell leaves behind reaches no other.
    with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(check, cell, task, given.steps): (cell, task) for cell, task in work}
        for done in as_completed(running):
            results[running[done]] = found = done.result()
            figures = ", ".join(f"{name} {value:.4g}" for name, value in found["figures"].items())
            verdict = "passed" if found["passed"] else "not passed"
            print(f"{' on '.join(running[done])}: {verdict}; {figures}; {found['seconds']:.0f} s", flush=True)
    text = table({key: results[key] for key in work})
    print(f"\n{text}", end="")
    if given.output is not None:
        given.output.write_text(text)


if __name__ == "__main__":
    main()
