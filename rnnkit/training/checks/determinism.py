"""Reproducibility: the setting `deterministic`, and a search for operations that are not reproducible."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig
from torch import nn

from rnnkit.batch import SequenceBatch
from rnnkit.compat.torch import TorchDispatchMode, current_autograd_node, next_sequence_number, sequence_number
from rnnkit.engines import ScanEvent, observe
from rnnkit.errors import UserError
from rnnkit.tasks import Task
from rnnkit.training.checks.diagnosis import cell_names
from rnnkit.training.checks.dry_run import DryRun, preserving_state


@contextmanager
def preserving_flags() -> Iterator[None]:
    """Restore torch's determinism flags, which a trainer sets, at the end of the block."""
    strict, warning = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warning)
        torch.backends.cudnn.benchmark = benchmark


def sync_deterministic_flag(config: DictConfig) -> None:
    """Set the trainer's `deterministic` to that of the run.

    Raises:
        UserError: if the two settings contradict each other.
    """
    wanted = config.get("deterministic", config.trainer.get("deterministic", False))
    if wanted not in (True, False, "warn"):
        raise UserError("deterministic", "true, false or warn", repr(wanted), fix="deterministic=true")
    if config.trainer.get("deterministic", wanted) != wanted:
        got, fix = str(config.trainer.deterministic).lower(), str(config.trainer.deterministic).lower()
        expected = f"{str(wanted).lower()}, as in the key deterministic"
        raise UserError("trainer.deterministic", expected, got, fix=f"deterministic={fix} alone")


def check_determinism(config: DictConfig, trainer: L.Trainer, task: Task, data: Any) -> None:
    """With `deterministic`, find the operations of a training step and of a validation that are not reproducible.

    One training step runs on the first batch (forward, backward, clipping, the optimizer), and one validation batch
    with its metrics. The state of the task is restored afterward. If all operations are reproducible, one line is
    printed. With `deterministic=warn`, the others are printed.

    Raises:
        UserError: if an operation is not reproducible, with the layer in whose forward or backward pass it runs.
    """
    wanted = config.get("deterministic", False)
    if not wanted or trainer.local_rank:
        return
    device = trainer.strategy.root_device
    threads = f" with {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    with preserving_state(task, weights=True):
        found = _rehearsed(DryRun(task, trainer), task, data)
    if not found:
        print(f"every operation of this step is reproducible on {device}{threads}", flush=True)
    elif wanted == "warn":
        print(f"not reproducible on {device}: {'; '.join(found)}", flush=True)
    else:
        expected = f"operations that are reproducible on {device}"
        fix = "deterministic=warn to train anyway, or another layer"
        raise UserError("deterministic", expected, "; ".join(found), fix=fix)


def _rehearsed(dry_run: DryRun, task: Task, data: Any) -> list[str]:
    """Return the nondeterministic operations of one step and one validation batch, in the order of execution."""
    trial = dry_run.task(training=True)
    with _recording(trial.model) as recorder:
        assert trial.optimizer is not None
        optimizer = trial.optimizer(trial.model.parameters())
        recorder.stage = "the loss"
        loss = dry_run.loss(trial, _first(data.train_dataloader()))
        recorder.stage = "the loss, backward"
        loss.backward()
        if trial.clip is not None:
            recorder.stage = "clipping"
            trial.clip([p for p in trial.model.parameters() if p.grad is not None])
        recorder.stage = "the optimizer"
        optimizer.step()
        trial = dry_run.task(training=False)
        recorder.stage = "validation"
        dry_run.validate(trial, _first(data.val_dataloader()))
        trial.compute_metrics("val")
    return list(recorder.found)


def _first(loader: Any) -> SequenceBatch:
    batch: SequenceBatch = next(iter(loader))
    return batch


class NondeterminismRecorder(TorchDispatchMode):
    """Records operations that torch refuses as nondeterministic, with their layers, and runs them nevertheless."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = ""
        self.found: dict[str, None] = {}
        self.inside: list[str] = []
        """The layers that are running, the innermost last."""
        self.spans: list[tuple[int, int, str]] = []
        """The range of autograd sequence numbers (from, to) of each layer."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if "deterministic" not in str(error):
                raise
        self.found[f"{func.overloadpacket.__name__} in {self._place()}"] = None
        torch.use_deterministic_algorithms(False)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            torch.use_deterministic_algorithms(True)

    def _place(self) -> str:
        if self.inside:
            return f"the forward pass of {self.inside[-1]}"
        node = current_autograd_node()
        if node is not None:
            number = sequence_number(node)()
            around = [(end - begin, name) for begin, end, name in self.spans if begin <= number < end]
            if around:
                return f"the backward pass of {min(around)[1]}"
        return self.stage

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Mark a layer as running within the block."""
        begin = next_sequence_number()
        self.inside.append(name)
        try:
            yield
        finally:
            self.inside.pop()
            self.spans.append((begin, next_sequence_number(), name))


@contextmanager
def _recording(model: nn.Module) -> Iterator[NondeterminismRecorder]:
    """Record the nondeterministic operations of a model and their layers."""
    recorder = NondeterminismRecorder()
    cells = cell_names(model)
    within = {part for cell in cells for part in cell.modules()}
    entered: dict[nn.Module, list[Any]] = {}

    def enter(module: nn.Module, _: Any) -> None:
        running = recorder.running(names[module])
        running.__enter__()
        entered.setdefault(module, []).append(running)

    def leave(module: nn.Module, *_: Any) -> None:
        entered[module].pop().__exit__(None, None, None)

    def place(event: ScanEvent) -> str:
        return cells.get(event.cell, event.name)

    scans: list[Any] = []

    def enter_scan(event: ScanEvent) -> None:
        scans.append(recorder.running(place(event)))
        scans[-1].__enter__()

    # cells are not hooked: with a hook, the engine of a cell would run single steps
    names = {module: name or "the model" for name, module in model.named_modules() if module not in within}
    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave, always_call=True) for module in names]
    try:
        watching = observe(lambda _: scans.pop().__exit__(None, None, None), module=model, before=enter_scan)
        with preserving_flags(), watching, recorder:
            torch.use_deterministic_algorithms(True)
            yield recorder
    finally:
        for hook in hooks:
            hook.remove()
