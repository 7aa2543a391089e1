"""Whether a run's numbers can be had again: `deterministic=true`, and which operations stand in its way."""

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
from rnnkit.training.checks.rehearsal import Rehearsal, preserving_state


@contextmanager
def preserving_flags() -> Iterator[None]:
    """What a trainer asks of torch for its run ends with the run."""
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


def agree(config: DictConfig) -> None:
    """Let the trainer be as deterministic as the run, UserError where its own key says otherwise."""
    wanted = config.get("deterministic", config.trainer.get("deterministic", False))
    if wanted not in (True, False, "warn"):
        raise UserError("deterministic", "true, false or warn", repr(wanted), fix="deterministic=true")
    if config.trainer.get("deterministic", wanted) != wanted:
        got, fix = str(config.trainer.deterministic).lower(), str(config.trainer.deterministic).lower()
        expected = f"{str(wanted).lower()}, as the key deterministic has it"
        raise UserError("trainer.deterministic", expected, got, fix=f"deterministic={fix} alone")


def check_determinism(config: DictConfig, trainer: L.Trainer, task: Task, data: Any) -> None:
    """With `deterministic`, name every operation of a step and of a validation that torch cannot repeat bit by bit.

    One training step is rehearsed on the first batch: forward, backward, clipping, the optimizer; and one validation
    batch with its metrics. Nothing of it is left. Where all can be repeated that is said in one line.

    Raises UserError for the others, each with the layer in whose forward or backward pass it stands; with
    `deterministic=warn` they are printed.
    """
    wanted = config.get("deterministic", False)
    if not wanted or trainer.local_rank:
        return
    device = trainer.strategy.root_device
    threads = f" with {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    with preserving_state(task, weights=True):
        found = _rehearsed(Rehearsal(task, trainer), task, data)
    if not found:
        print(f"every operation of this step is reproducible on {device}{threads}", flush=True)
    elif wanted == "warn":
        print(f"not reproducible on {device}: {'; '.join(found)}", flush=True)
    else:
        expected = f"operations that are reproducible on {device}"
        fix = "deterministic=warn to go on with them, or another layer"
        raise UserError("deterministic", expected, "; ".join(found), fix=fix)


def _rehearsed(rehearsal: Rehearsal, task: Task, data: Any) -> list[str]:
    """What was found in one step and one validation batch, in the order in which it ran."""
    trial = rehearsal.task(training=True)
    with _told(trial.model) as told:
        assert trial.optimizer is not None
        optimizer = trial.optimizer(trial.model.parameters())
        told.stage = "the loss"
        loss = rehearsal.loss(trial, _first(data.train_dataloader()))
        told.stage = "the loss, backward"
        loss.backward()
        if trial.clip is not None:
            told.stage = "clipping"
            trial.clip([p for p in trial.model.parameters() if p.grad is not None])
        told.stage = "the optimizer"
        optimizer.step()
        trial = rehearsal.task(training=False)
        told.stage = "validation"
        rehearsal.validate(trial, _first(data.val_dataloader()))
        trial.compute_metrics("val")
    return list(told.found)


def _first(loader: Any) -> SequenceBatch:
    batch: SequenceBatch = next(iter(loader))
    return batch


class NondeterminismRecorder(TorchDispatchMode):
    """Lets torch refuse what it cannot repeat, notes what and where that is, and has it done all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = ""
        self.found: dict[str, None] = {}
        self.inside: list[str] = []
        """The layers that are running, the innermost last."""
        self.spans: list[tuple[int, int, str]] = []
        """Which nodes of the backward pass belong to which layer, by torch's count of them: from, to."""

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
        """While a layer of this name runs."""
        begin = next_sequence_number()
        self.inside.append(name)
        try:
            yield
        finally:
            self.inside.pop()
            self.spans.append((begin, next_sequence_number(), name))


@contextmanager
def _told(model: nn.Module) -> Iterator[NondeterminismRecorder]:
    """Watches the layers of a model, with torch set to refuse."""
    told = NondeterminismRecorder()
    cells = cell_names(model)
    within = {part for cell in cells for part in cell.modules()}
    entered: dict[nn.Module, list[Any]] = {}

    def enter(module: nn.Module, _: Any) -> None:
        running = told.running(names[module])
        running.__enter__()
        entered.setdefault(module, []).append(running)

    def leave(module: nn.Module, *_: Any) -> None:
        entered[module].pop().__exit__(None, None, None)

    def place(event: ScanEvent) -> str:
        return cells.get(event.cell, event.name)

    scans: list[Any] = []

    def enter_scan(event: ScanEvent) -> None:
        scans.append(told.running(place(event)))
        scans[-1].__enter__()

    # a hook on a cell would make its engine take single steps
    names = {module: name or "the model" for name, module in model.named_modules() if module not in within}
    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave, always_call=True) for module in names]
    try:
        watching = observe(lambda _: scans.pop().__exit__(None, None, None), module=model, before=enter_scan)
        with preserving_flags(), watching, told:
            torch.use_deterministic_algorithms(True)
            yield told
    finally:
        for hook in hooks:
            hook.remove()
