"""The line that describes a run at its start, and the metrics of summary.json."""

import platform
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf

from rnnkit.tasks import Task
from rnnkit.training.report.loggers import RunTensorBoardLogger
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.resume.checkpoints import RunCheckpoint


def describe(config: DictConfig, trainer: L.Trainer, task: Task, inputs: Any) -> None:
    """Print one line about the model, device and seed; log the hyperparameters and the graph to TensorBoard."""
    parameters = sum(p.numel() for p in task.parameters())
    device = trainer.strategy.root_device
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    print(f"{parameters:,} parameters on {device}{threads}, seed {config.seed}", flush=True)
    board = trainer.loggers[0]
    assert isinstance(board, RunTensorBoardLogger)
    board.describe(OmegaConf.to_container(config, resolve=True), [config.monitor])  # type: ignore[arg-type]
    if isinstance(inputs, torch.Tensor):
        board.draw(task.model, inputs[:1, :2])


def summary(trainer: L.Trainer, task: Task, monitor: Monitor) -> dict[str, Any]:
    """Return the metrics of the run, and the circumstances under which they were computed."""
    best = next(one for one in trainer.checkpoint_callbacks if isinstance(one, RunCheckpoint))
    final = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {
        **monitor.latest,
        **monitor.validated,
        **final,
        f"best_{best.monitor}": None if best.best_model_score is None else float(best.best_model_score),
        "epochs": monitor.epochs,
        "steps": trainer.global_step,
        "time_steps": monitor.time_steps,
        "seconds": round(monitor.seconds, 3),
        "time_steps_per_second": round(monitor.time_steps / monitor.seconds, 1),
        "parameters": sum(p.numel() for p in task.parameters()),
        "device": str(trainer.strategy.root_device),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
