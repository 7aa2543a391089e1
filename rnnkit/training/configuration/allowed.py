"""The classes and functions that any configuration may name, whoever wrote it: they compute, and have no side effects.

A class is allowed by the module that defines it and by its base classes. Functions, and classes in modules with others
that write files or call their arguments, are listed one by one.
`tests/training/configuration/allowed_targets.txt` lists every allowed name, so that a new version of a dependency
cannot add one unnoticed.
"""

import inspect
import re
from importlib import import_module

CLASSES = {
    "torch.nn.modules": ("torch.nn.Module",),
    "torch.optim": ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    "rnnkit.cells": ("torch.nn.Module",),
    "rnnkit.layers": ("torch.nn.Module",),
    "rnnkit.models": ("torch.nn.Module", "rnnkit.models.forecasting.distributions.output.Output"),
    "rnnkit.tasks": ("torch.nn.Module",),
    "rnnkit.data": ("lightning.pytorch.LightningDataModule", "rnnkit.data.tokenizers.tokenizer.Tokenizer"),
}
"""The modules that may define classes, and the base classes that these must have."""

TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
CHECKPOINT = "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint"
NAMED = {
    "rnnkit.cells.factory.wrapped",
    *(f"rnnkit.training.optim.averaging.{name}" for name in ("ExponentialAverage", "NonmonotonicAverage")),
    *(f"rnnkit.training.optim.clipping.{name}" for name in ("ClipNorm", "ClipPercentile", "ClipValue", "NoClipping")),
    *(
        f"rnnkit.training.optim.schedules.{name}"
        for name in ("constant", "cosine", "constant_then_decay", "one_cycle", "reduce_on_plateau")
    ),
    "rnnkit.data.builtin.mackey_glass.MackeyGlass",
    "rnnkit.training.insight.callback.Insight",
    "rnnkit.training.report.confusion.ConfusionMatrixFigure",
    "rnnkit.training.report.report_text.ReportText",
    "rnnkit.training.report.forecasts.ForecastFigure",
    "rnnkit.training.report.samples.SampleText",
    TRAINER,
    CHECKPOINT,
    "lightning.pytorch.callbacks.device_stats_monitor.DeviceStatsMonitor",
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
    "lightning.pytorch.callbacks.gradient_accumulation_scheduler.GradientAccumulationScheduler",
    "lightning.pytorch.callbacks.lr_monitor.LearningRateMonitor",
    "lightning.pytorch.callbacks.model_summary.ModelSummary",
    "lightning.pytorch.callbacks.progress.rich_progress.RichProgressBar",
    "lightning.pytorch.callbacks.progress.tqdm_progress.TQDMProgressBar",
    "lightning.pytorch.callbacks.rich_model_summary.RichModelSummary",
    "lightning.pytorch.callbacks.timer.Timer",
}
"""Allowed names by the module that defines them. Callbacks of Lightning neither write files nor call arguments."""

KNOWN_ROOTS = ("rnnkit", "torch", "lightning", "pytorch_lightning", "lightning_fabric")
"""Packages of which nothing else is ever allowed without consent."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_HOMES = (*CLASSES, *(name.rpartition(".")[0] for name in NAMED))


def is_name(target: object) -> bool:
    """Whether a target is a dotted name without private parts, `a.b.C`."""
    return isinstance(target, str) and _NAME.fullmatch(target) is not None


def canonical(target: str) -> str | None:
    """Return the name by which an allowed target is defined, None if it is not allowed.

    The name of its module decides whether a target can be allowed, before that module is imported.

    >>> canonical("torch.nn.Linear")
    'torch.nn.modules.linear.Linear'
    >>> canonical("rnnkit.cells.wrapped")
    'rnnkit.cells.factory.wrapped'
    >>> canonical("torch.nn.modules.module.torch.load"), canonical("torch.nn.Embedding.from_pretrained")
    (None, None)
    """
    place, _, name = target.rpartition(".")
    if not is_name(target) or not _may_import(place):
        return None
    try:
        module = import_module(place)
    except ImportError:
        return None
    found = getattr(module, name, None)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return None
    home, own = str(found.__module__), str(found.__qualname__)
    # defined in this module, or exported by a package around it: not a name that another module has imported
    if own != name or not _within(home, place):
        return None
    full = f"{home}.{name}"
    return full if full in NAMED or _is_class_of(found, home) else None


def is_missing(target: str) -> bool:
    """Whether the module of a target is allowed and has no such name, as after a typo.

    >>> is_missing("torch.nn.Liner"), is_missing("torch.nn.Liner.forward"), is_missing("torch.nn.Linear")
    (True, False, False)
    """
    place, _, name = target.rpartition(".")
    if not is_name(target) or not _may_import(place):
        return False
    try:
        return not hasattr(import_module(place), name)
    except ImportError:
        return False


def _may_import(module: str) -> bool:
    """Whether a module has allowed names, or is a package around such a module."""
    return any(_within(module, home) for home in CLASSES) or any(_within(home, module) for home in _HOMES)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _is_class_of(found: object, home: str) -> bool:
    if not inspect.isclass(found):
        return False
    bases = [base for place, bases in CLASSES.items() if _within(home, place) for base in bases]
    return any(issubclass(found, _imported(base)) for base in bases)


def _imported(name: str) -> type:
    place, _, last = name.rpartition(".")
    found: type = getattr(import_module(place), last)
    return found
