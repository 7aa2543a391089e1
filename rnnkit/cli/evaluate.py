"""The `rnnkit evaluate` command."""

import math
import time
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.strict_json import dumps


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("evaluate", "Evaluate a trained model on a split.")
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--split", help="train, valid or test (default: test if the run has a test split, else valid)")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument("--data", metavar="PATH", help="a file to evaluate on instead of the splits of the run")
    parser.add_argument(
        "--lanes",
        type=int,
        metavar="N",
        help="language models: split the text into N parallel streams, each from the initial state (default: 1)",
    )
    parser.add_device()
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse(arguments)
    if given.lanes is not None and given.lanes < 1:
        raise UserError("--lanes", "1 or more", str(given.lanes), fix="--lanes 1")
    quiet()
    from rnnkit.training import load

    trained = load(given.run, checkpoint=given.checkpoint, device=given.device, data=given.data)
    task, data = trained.task, trained.data
    if given.lanes is not None and "stream" not in task.capabilities:
        raise UserError("--lanes", "a language model", f"a run of {task.kind}", fix=f"rnnkit evaluate {given.run}")
    split = trained.split(given.split)
    loader = data.loader(split) if given.lanes is None else data.loader(split, lanes=given.lanes)
    started = time.perf_counter()
    measured = task.evaluate(loader)
    seconds = time.perf_counter() - started
    counts = data.counts(split)
    if given.json:
        for name, value in measured.items():
            if not math.isfinite(value):
                notice(f"rnnkit: {name} is null: {_reason(task, name, measured)}")
        named = {"split": given.data or split, **counts, **measured, "seconds": seconds}
        print(dumps({**named, "checkpoint": given.checkpoint}))
    else:
        print(f"{given.data or split} split of {given.run}, {given.checkpoint}.ckpt: {_text(task, counts, measured)}")
    return 0


def _text(task: Any, counts: dict[str, int], measured: dict[str, float]) -> str:
    """The number of evaluated items, the metrics in a column, and the details of the task."""
    from rnnkit.tasks.metrics.table import shown

    width = max(len(key) for key in measured)
    lines = [
        ", ".join(f"{count:,} {name}" for name, count in counts.items()),
        *(f"  {key:<{width}}  {shown(value)}{_note(task, key, measured)}" for key, value in measured.items()),
    ]
    details = task.report()
    return "\n".join([*lines, *(["", details] if details else [])])


def _note(task: Any, name: str, metrics: dict[str, float]) -> str:
    return "" if math.isfinite(metrics[name]) else f"  ({_reason(task, name, metrics)})"


def _reason(task: Any, name: str, metrics: dict[str, float]) -> str:
    """Why a metric is not a finite number."""
    if math.isfinite(metrics["loss"]):
        for known in (name, name.rstrip("0123456789")):
            if known in task.undefined:
                return str(task.undefined[known])
    return "a prediction or a target is not a number, or too large"
