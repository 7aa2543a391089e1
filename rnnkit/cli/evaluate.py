"""`rnnkit evaluate runs/RUN`."""

import math
import sys
import time
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError
from rnnkit.strict_json import dumps


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser("evaluate", "Measure a trained model over a whole split.")
    parser.add_argument("run", help="the folder of the run")
    parser.add_argument("--split", help="train, valid or test; by default test where there is one, else valid")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument("--data", metavar="PATH", help="another file to measure on, in place of the run's own splits")
    parser.add_argument(
        "--lanes", type=int, help="language models: parts read side by side, each from a fresh state (1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse(arguments)
    if given.lanes is not None and given.lanes < 1:
        raise UserError("--lanes", "1 or more", str(given.lanes), fix="--lanes 1")
    quiet()
    from rnnkit.tasks import LanguageModeling
    from rnnkit.training import Run

    run = Run.open(given.run)
    task = run.task(given.checkpoint)
    config = run.config()
    if given.data is not None:
        for key in ("dataset", "path", "train", "valid", "test"):
            config.data[key] = None
        config.data.test = given.data
    if isinstance(task, LanguageModeling):
        from rnnkit.cli.perplexity import measured

        figures, text = measured(run, task, config, given.split, given.lanes or 1)
    elif given.lanes is not None:
        raise UserError("--lanes", "a language model", f"a run of {task.kind}", fix="no --lanes")
    else:
        figures, text = _measured(run, task, config, given.split)
    if given.data is not None:
        figures["split"] = given.data
    figures["checkpoint"] = given.checkpoint
    if given.json:
        for name, value in figures.items():
            if isinstance(value, float) and not math.isfinite(value):
                print(f"rnnkit: {name} is null: {_reason(task, name, figures)}", file=sys.stderr)
        print(dumps(figures))
    else:
        print(f"{figures['split']} split of {given.run}, {given.checkpoint}.ckpt: {text}")
    return 0


def _measured(run: Any, task: Any, config: Any, split: str | None) -> tuple[dict[str, Any], str]:
    """The task's own figures over a whole split, and the lines to print."""
    import lightning as L

    from rnnkit.tasks.metrics.table import shown

    data = run.data(config)
    data.setup("test")
    task.check_data(data)
    name = split or ("test" if "test" in data.splits else "valid")
    loader = data.loader(name)
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        inference_mode=True,
    )
    started = time.perf_counter()
    trainer.test(task, loader, verbose=False)
    seconds = time.perf_counter() - started
    measured = {key.removeprefix("test/"): float(value) for key, value in trainer.callback_metrics.items()}
    figures = {"split": name, "sequences": len(data.splits[name]), **measured, "seconds": seconds}
    width = max(len(key) for key in measured)
    lines = [
        f"{len(data.splits[name]):,} sequences",
        *(f"  {key:<{width}}  {shown(value)}{_note(task, key, measured)}" for key, value in measured.items()),
    ]
    details = task.details()
    return figures, "\n".join([*lines, *(["", details] if details else [])])


def _note(task: Any, name: str, figures: dict[str, Any]) -> str:
    return "" if math.isfinite(figures[name]) else f"  ({_reason(task, name, figures)})"


def _reason(task: Any, name: str, figures: dict[str, Any]) -> str:
    """Why a metric is not a finite number."""
    if math.isfinite(figures["loss"]):
        for known in (name, name.rstrip("0123456789")):
            if known in task.undefined:
                return str(task.undefined[known])
    return "a prediction or a target is not a number, or too large"
